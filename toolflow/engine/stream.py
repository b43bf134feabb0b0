"""Bits of the weight stream: packets of parameters and rows, packed and unpacked (PROGRAM.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.engine.config import EngineConfig
from toolflow.engine.records import PARAMETER_DTYPE, PARAMETER_RECORD_BYTES
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.requantise import fits_signed

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Packet:
    """What one output-channel group needs.

    Attributes:
        bias, multiplier, residual_multiplier, shift, residual_shift: int64 (channels of the group,).
        values: int64 (rows, lanes_k, slots).
        indices: int64 (rows, lanes_k / index_k, slots), or None if the layer is dense.
    """

    bias: Int64Array
    multiplier: Int64Array
    residual_multiplier: Int64Array
    shift: Int64Array
    residual_shift: Int64Array
    values: Int64Array
    indices: Int64Array | None = None


def suited(config: EngineConfig, packet: Packet, name: str) -> Packet:
    """Return the packet of the layer `name`, which not every engine takes.

    Raises:
        ToolflowError: a bias is wider than the engine's; there is a residual shift, and the engine has no tiles; or a
            weight is one that the engine's packing excludes.
    """
    smallest = int(packet.values.min(initial=0))
    if smallest < config.packing.weights.lower:
        raise ToolflowError(
            f"'{name}': {smallest} is a weight, or a digit of one, that {config.dsp_primitive} with "
            f"pack_k={config.pack_k}, pack_p={config.pack_p} and chain={config.chain} does not take: quantise to "
            f"weights of at least {config.packing.weights.lower}, or take a shorter chain"
        )
    if not fits_signed(packet.bias, config.bias_bits):
        largest = int(np.abs(packet.bias).max())
        raise ToolflowError(
            f"'{name}': biases must fit the engine's bias_bits = {config.bias_bits}, not reach {largest}"
        )
    left = int(packet.residual_shift.max(initial=0))
    if config.tile == 0 and left:
        raise ToolflowError(f"'{name}': without tiles an engine takes residual shifts of 0, not {left}")
    return packet


def parameter_beats(config: EngineConfig, channels: int) -> int:
    """Return the beats of a parameter section for so many channels of a group."""
    records = -(-channels // config.drain_k) * config.drain_k
    return -(-records * PARAMETER_RECORD_BYTES // config.bus_bytes)


def row_beats(config: EngineConfig, rows: int, indexed: bool) -> int:
    """Return the beats of a row section."""
    return -(-rows // config.rows_per_beat(indexed)) * config.beats_per_row(indexed)


def pack(config: EngineConfig, packet: Packet) -> bytes:
    """Return the bytes of one packet: whole beats."""
    channels = len(packet.bias)
    records = np.zeros(-(-channels // config.drain_k) * config.drain_k, dtype=PARAMETER_DTYPE)
    records["bias_low"][:channels] = packet.bias & 0xFFFFFFFF
    records["bias_high"][:channels] = packet.bias >> 32
    for name in ("multiplier", "residual_multiplier", "shift", "residual_shift"):
        records[name][:channels] = getattr(packet, name)
    head = records.tobytes()
    head += bytes(-len(head) % config.bus_bytes)
    return head + _pack_rows(config, packet.values, packet.indices)


def unpack(config: EngineConfig, stream: memoryview, channels: int, rows: int, indexed: bool) -> tuple[Packet, int]:
    """Return the packet at the beginning of `stream` and its length in bytes.

    Raises:
        ToolflowError: the stream ends inside the packet.
    """
    head_bytes = parameter_beats(config, channels) * config.bus_bytes
    total = head_bytes + row_beats(config, rows, indexed) * config.bus_bytes
    if len(stream) < total:
        raise ToolflowError(f"the weight stream must hold {total} more bytes, not {len(stream)}")
    records = np.frombuffer(stream, dtype=PARAMETER_DTYPE, count=channels)
    values, indices = _unpack_rows(config, stream[head_bytes:total], rows, indexed)
    packet = Packet(
        bias=records["bias_low"].astype(np.int64) + (records["bias_high"].astype(np.int64) << 32),
        multiplier=records["multiplier"].astype(np.int64),
        residual_multiplier=records["residual_multiplier"].astype(np.int64),
        shift=records["shift"].astype(np.int64),
        residual_shift=records["residual_shift"].astype(np.int64),
        values=values,
        indices=indices,
    )
    return packet, total


def _bits(values: Int64Array, width: int) -> npt.NDArray[np.uint8]:
    """Expand (rows, n) integers into (rows, n·width) bits, lowest first."""
    bits = (values[..., None] >> np.arange(width)) & 1
    return bits.astype(np.uint8).reshape(len(values), -1)


def _pack_rows(config: EngineConfig, values: Int64Array, indices: Int64Array | None) -> bytes:
    rows = len(values)
    indexed = indices is not None
    bits = _bits(values.reshape(rows, -1), config.row_weight_bits)
    if indices is not None:
        bits = np.concatenate([bits, _bits(indices.reshape(rows, -1), config.index_bits)], axis=1)
    share = config.rows_per_beat(indexed)
    beats = row_beats(config, rows, indexed)
    if share > 1:
        padded = np.zeros((beats * share, bits.shape[1]), dtype=np.uint8)
        padded[:rows] = bits
        bits = padded.reshape(beats, -1)
    width = config.bus_bits * (1 if share > 1 else config.beats_per_row(indexed))
    out = np.zeros((len(bits), width), dtype=np.uint8)
    out[:, : bits.shape[1]] = bits
    return np.packbits(out, bitorder="little").tobytes()


def _unpack_rows(
    config: EngineConfig, section: memoryview, rows: int, indexed: bool
) -> tuple[Int64Array, Int64Array | None]:
    share = config.rows_per_beat(indexed)
    row_bits = config.row_bits(indexed)
    bits = np.unpackbits(np.frombuffer(section, dtype=np.uint8), bitorder="little")
    if share > 1:
        bits = bits.reshape(-1, config.bus_bits)[:, : share * row_bits].reshape(-1, row_bits)[:rows]
    else:
        bits = bits.reshape(rows, -1)[:, :row_bits]
    per_row = config.lanes_k * config.slots
    shape = (rows, config.lanes_k, config.slots)
    cut = per_row * config.row_weight_bits
    raw = bits[:, :cut].reshape(rows, per_row, config.row_weight_bits).astype(np.int64)
    values = raw @ (np.int64(1) << np.arange(config.row_weight_bits))
    values -= (values >> (config.row_weight_bits - 1)) << config.row_weight_bits
    if not indexed:
        return values.reshape(shape), None
    index_bits = bits[:, cut:].reshape(rows, -1, config.slots, config.index_bits).astype(np.int64)
    return values.reshape(shape), index_bits @ (np.int64(1) << np.arange(config.index_bits))
