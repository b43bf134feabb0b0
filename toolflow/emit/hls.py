"""Write the HLS C++ of one unit: the library unchanged, and sources that set the engine's parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from toolflow.emit.render import banner, render, sources, write_if_changed
from toolflow.engine.config import MEMORIES, EngineConfig
from toolflow.engine.errors import ErrorCode
from toolflow.engine.registers import PAGE_BYTES, Register
from toolflow.ir.errors import ToolflowError

TEMPLATES = "hls_templates"
# The arguments that are memory, and the AXI master of each; then the register of every argument.
MASTERS = {"program": "gmem0", "weights": "gmem1", "images": "gmem0", "results": "gmem0", "maps": "gmem0"}
ARGUMENTS = {**{name: Register[name.upper()] for name in MASTERS}, "count": Register.COUNT, "status": Register.ERROR}
LONGEST_BURST_BEATS = 256
# A direction of an AXI adapter buffers its bursts in flight: as many beats as one block RAM is deep.
BUFFER_BEATS = 512
_BLOCK_RAM_BYTES = 8  # of a word at that depth, parity bits beside them


def top_function(unit: str) -> str:
    """Return the name of a unit's top function and the stem of its files.

    Raises:
        ToolflowError: the unit's name is no lower-case identifier.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", unit):
        raise ToolflowError(f"a unit's name must be made of lower-case letters, digits and _, not '{unit}'")
    return f"cascade_{unit}"


def burst_beats(config: EngineConfig) -> int:
    """Return the beats of the longest burst: AXI's own limit, and none crosses 4,096 bytes."""
    return min(LONGEST_BURST_BEATS, PAGE_BYTES // config.bus_bytes)


def adapter_block_rams(config: EngineConfig) -> int:
    """Return the 36 Kb block RAMs in the AXI adapters that Vitis HLS adds to one unit, which no resource model counts.

    By the vendor's formula, bursts in flight × length × width, for two directions of gmem0 and one of gmem1.
    """
    return 3 * -(-config.bus_bytes // _BLOCK_RAM_BYTES)


def emit_hls(config: EngineConfig, unit: str, folder: Path, port_bytes: Mapping[str, int] | None = None) -> list[Path]:
    """Write the sources of one unit into `folder` and return them, library first.

    The files are `lib/*.hpp` and `cascade_<unit>.hpp`, `.cpp` and `_tb.cpp`. Files that are already as
    they must be are left alone. Units of one project share a folder.

    Args:
        config: the engine, or what programs of one of its precisions see.
        unit: its name.
        folder: where the sources go.
        port_bytes: what co-simulation finds behind each of `MASTERS`, in bytes; None if there are no vectors.

    Raises:
        ToolflowError: the unit's name does not suit C++, or the folder cannot be written.
    """
    top, config = top_function(unit), config.built
    written = []
    for source in sources(TEMPLATES, "lib", suffix=".hpp"):
        written.append(folder / "lib" / source.name)
        write_if_changed(written[-1], source.read_text(encoding="utf-8"))
    depths: dict[str, int] = {}  # in beats, one of a master
    for port, size in (port_bytes or {}).items():
        depths[MASTERS[port]] = max(depths.get(MASTERS[port], 1), -(-size // config.bus_bytes))
    burst = burst_beats(config)
    built = config.model_dump(exclude=MEMORIES)
    parameters = [(name, value) for name, value in built.items() if not isinstance(value, str)]
    packing = config.of(narrow=False).packing
    narrow = config.of(narrow=True).packing if config.narrow_bits else None
    values = {
        "banner": banner(config),
        "unit": unit,
        "top": top,
        "config_name": "".join(part.capitalize() for part in top.split("_")) + "Config",
        "signature": f"{config.signature:016x}",
        "parameters": [
            *parameters,
            ("operand_bits", config.operand_bits),
            ("bank_ultra", config.bank_memory == "ultra"),
            ("weight_step", packing.weight_step),
            ("operand_step", packing.operand_step),
            ("packed_weight_bits", max(each.weight_bits for each in (packing, narrow) if each)),
            ("packed_operand_bits", max(each.operand_bits for each in (packing, narrow) if each)),
            ("symmetric_weights", packing.weights.lower == -packing.weights.upper),
            ("narrow_weight_step", narrow.weight_step if narrow else 0),
            ("narrow_operand_step", narrow.operand_step if narrow else 0),
        ],
        "bus_bits": config.bus_bits,
        "masters": MASTERS,
        "arguments": ARGUMENTS,
        "read_error": ErrorCode.AXI_READ,
        "write_error": ErrorCode.AXI_WRITE,
        "depths": depths,
        "burst": burst,
        "outstanding": BUFFER_BEATS // burst,
    }
    for suffix in (".hpp", ".cpp", "_tb.cpp"):
        written.append(folder / f"{top}{suffix}")
        write_if_changed(written[-1], render(TEMPLATES, f"cascade_unit{suffix}.j2", **values))
    return written
