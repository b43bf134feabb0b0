"""Records in external memory: one channel's parameters in the weight stream, and one image's results (PROGRAM.md)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from toolflow.engine.config import EngineConfig

PARAMETER_RECORD_BYTES = 16
RESULT_BITS = 16  # of one result, signed
RESULT_HEAD = np.dtype([("klass", "<u4"), ("confident", "<u4"), ("numerator", "<i4"), ("total", "<u4")])


class RecordField(NamedTuple):
    """A field of the parameter record.

    Attributes:
        low: its first bit in the record.
        width: its bits in the record.
        kept: the low bits of it that an engine looks at.
        signed: whether it is signed.
        tiles_only: whether engines with tiles alone look at it.
    """

    low: int
    width: int
    kept: int
    signed: bool = False
    tiles_only: bool = False


PARAMETER_RECORD = {
    "bias_low": RecordField(0, 32, 32),
    "multiplier": RecordField(32, 16, 16),
    "residual_multiplier": RecordField(48, 16, 16),
    "shift": RecordField(64, 8, 6),
    "bias_high": RecordField(72, 8, 8, signed=True),
    "residual_shift": RecordField(80, 8, 4, tiles_only=True),
}
PARAMETER_DTYPE = np.dtype(
    {
        "names": list(PARAMETER_RECORD),
        "formats": [f"<{'i' if f.signed else 'u'}{f.width // 8}" for f in PARAMETER_RECORD.values()],
        "offsets": [f.low // 8 for f in PARAMETER_RECORD.values()],
        "itemsize": PARAMETER_RECORD_BYTES,
    }
)


def kept_parameter_bits(config: EngineConfig) -> int:
    """Return the bits of a parameter record that the engine keeps: of the bias the low `bias_bits`."""
    others = [field for name, field in PARAMETER_RECORD.items() if name not in ("bias_low", "bias_high")]
    return config.bias_bits + sum(field.kept for field in others if config.tile or not field.tiles_only)


def result_header_bytes(config: EngineConfig) -> int:
    """Return the bytes before the results of a result record: `RESULT_HEAD`, then zeros to the end of the beat."""
    return max(RESULT_HEAD.itemsize, config.bus_bytes)


def result_record_bytes(config: EngineConfig, classes: int) -> int:
    """Return the bytes of a result record, before it is rounded up to whole beats."""
    return result_header_bytes(config) + classes * RESULT_BITS // 8
