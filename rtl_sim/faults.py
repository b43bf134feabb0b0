"""Random faults in programs and weight streams, to prove that a level's comparison can fail.

A fault flips one bit of a weight or its index, a bias, a multiplier, a shift, a residual's multiplier or shift, or an
instruction word. The CRC of an instruction is corrected, as if the compiler had been wrong. A level is red if it ends
with an error code or writes other integers than the reference. A fault that leaves a level green is unobservable if
the executor's results do not change either, on many more images.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from rtl_sim.verify import Executor, ProgramExecutor, Unit, compare
from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import INSTRUCTION_WORDS, LAYOUT
from toolflow.engine.program import HEADER_WORDS
from toolflow.engine.records import PARAMETER_RECORD, PARAMETER_RECORD_BYTES
from toolflow.engine.steps import Compute
from toolflow.ir.errors import ToolflowError
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.lower.lower import compile_program

Kind = Literal["weight", "bias", "multiplier", "shift", "instruction", "residual", "index"]
KINDS: tuple[Kind, ...] = ("weight", "bias", "multiplier", "shift", "instruction", "residual", "index")
JUDGED_AT_ONCE = 128  # images that the executor holds all maps of
# fields of a channel's record; the second one is read by engines with tiles alone
_RECORD_FIELDS: dict[str, tuple[str, ...]] = {
    "bias": ("bias_low", "bias_high"),
    "multiplier": ("multiplier",),
    "shift": ("shift",),
    "residual": ("residual_multiplier", "residual_shift"),
}


@dataclass(frozen=True)
class Fault:
    """One flipped bit.

    Attributes:
        kind: what the bit belongs to.
        place: layer and element, or instruction and field, for people.
        bit: offset in the weight stream, or for an instruction in the program.
    """

    kind: Kind
    place: str
    bit: int


@dataclass(frozen=True)
class FaultOutcome:
    """The result of a level for a fault: the first difference, or None if the level stayed green."""

    fault: Fault
    difference: str | None
    unobservable: bool

    @property
    def red(self) -> bool:
        """Whether the level's comparison failed, as it must."""
        return self.difference is not None


@dataclass(frozen=True)
class _Packet:
    """Where a packet lies in the weight stream: bits."""

    layer: Compute
    group: int
    channels: int
    parameters: int
    rows: int


def draw_faults(compiled: CompiledProgram, count: int, seed: int) -> list[Fault]:
    """Draw `count` faults, the kinds that the program has in turn, every bit of a kind with the same chance."""
    rng = np.random.default_rng(seed)
    everywhere = list(_packets(compiled))
    packets = dict.fromkeys(KINDS, everywhere) | {
        "residual": [packet for packet in everywhere if packet.layer.residual is not None],
        "index": [packet for packet in everywhere if packet.layer.walk.indexed],
    }
    kinds = tuple(kind for kind in KINDS if packets[kind])
    faults = []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        rows = kind in ("weight", "index")
        sizes = np.array([p.channels * (p.layer.rows if rows else 1) for p in packets[kind]], dtype=np.float64)
        if kind == "instruction":
            faults.append(_instruction_fault(compiled, rng))
        elif rows:
            faults.append(_row_fault(compiled.config, packets[kind][_choose(sizes, rng)], kind, rng))
        else:
            faults.append(_parameter_fault(compiled.config, packets[kind][_choose(sizes, rng)], kind, rng))
    return faults


def apply_fault(compiled: CompiledProgram, fault: Fault) -> CompiledProgram:
    """Return the program with the fault in it and a good CRC."""
    if fault.kind != "instruction":
        return replace(compiled, weights=_flipped(compiled.weights, fault.bit))
    program = bytearray(_flipped(compiled.program, fault.bit))
    end = 4 * (HEADER_WORDS + INSTRUCTION_WORDS * len(compiled.instructions))
    crc = zlib.crc32(program[: 4 * 15] + program[4 * HEADER_WORDS : end])
    program[60:64] = crc.to_bytes(4, "little")
    return replace(compiled, program=bytes(program))


def campaign(
    unit: Unit,
    executor: Executor,
    images: npt.NDArray[np.uint8],
    faults: Sequence[Fault],
    more_images: npt.NDArray[np.uint8],
    progress: Callable[[int], None] | None = None,
) -> list[FaultOutcome]:
    """Run every fault on a level.

    Args:
        unit: the engine and its network.
        executor: the executor under test.
        images: uint8 images that the level runs.
        faults: from `draw_faults` on the same unit.
        more_images: images on which the executor judges faults that left the level green.
        progress: called with 1 after each fault.
    """
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    outcomes = []
    for fault in faults:
        damaged = apply_fault(compiled, fault)
        outcome = executor.run(unit, damaged, damaged.pack_images(images), len(images))
        difference = compare(unit, compiled, outcome, images)
        unobservable = difference is None and _invisible(unit, compiled, damaged, more_images)
        outcomes.append(FaultOutcome(fault, None if difference is None else str(difference), unobservable))
        if progress is not None:
            progress(1)
    return outcomes


def _invisible(unit: Unit, compiled: CompiledProgram, damaged: CompiledProgram, images: npt.NDArray[np.uint8]) -> bool:
    for start in range(0, len(images), JUDGED_AT_ONCE):
        some = images[start : start + JUDGED_AT_ONCE]
        outcome = ProgramExecutor().run(unit, damaged, compiled.pack_images(some), len(some))
        if compare(unit, compiled, outcome, some) is not None:
            return False
    return True


def _packets(compiled: CompiledProgram) -> Iterator[_Packet]:
    config, at = compiled.config, 0
    for layer in compiled.schedule.computes:
        for group, size in enumerate(layer.packets(config)):
            rows = at + size.parameter_beats * config.bus_bits
            yield _Packet(layer, group, size.channels, at, rows)
            at = rows + size.row_beats * config.bus_bits


def _row_fault(config: EngineConfig, packet: _Packet, kind: Kind, rng: np.random.Generator) -> Fault:
    """Flip a bit of a weight, or of the index that lies behind the row's weights."""
    indexed = packet.layer.walk.indexed
    width = config.row_weight_bits if kind == "weight" else config.index_bits
    row, k = int(rng.integers(packet.layer.rows)), int(rng.integers(packet.channels))
    slot, bit = int(rng.integers(config.slots)), int(rng.integers(width))
    share = config.rows_per_beat(indexed)
    beat = row // share * config.beats_per_row(indexed) * config.bus_bits
    before = 0 if kind == "weight" else config.lanes_k * config.slots * config.row_weight_bits
    place_k = k if kind == "weight" else k // config.index_k
    inside = row % share * config.row_bits(indexed) + before + (place_k * config.slots + slot) * width + bit
    channel = packet.group * config.lanes_k + k
    place = f"{packet.layer.name}, output channel {channel}, row {row}, slot {slot}, bit {bit}"
    return Fault(kind, place, packet.rows + beat + inside)


def _parameter_fault(config: EngineConfig, packet: _Packet, kind: Kind, rng: np.random.Generator) -> Fault:
    fields = [PARAMETER_RECORD[name] for name in _RECORD_FIELDS[kind]]
    places = [field.low + n for field in fields if config.tile or not field.tiles_only for n in range(field.kept)]
    places = places[: config.bias_bits] if kind == "bias" else places
    k, bit = int(rng.integers(packet.channels)), int(rng.integers(len(places)))
    place = f"{packet.layer.name}, record {k} of group {packet.group}, bit {bit}"
    return Fault(kind, place, packet.parameters + 8 * PARAMETER_RECORD_BYTES * k + places[bit])


def _instruction_fault(compiled: CompiledProgram, rng: np.random.Generator) -> Fault:
    index = int(rng.integers(len(compiled.instructions)))
    name = list(LAYOUT)[int(rng.integers(len(LAYOUT)))]
    word, low, width, _ = LAYOUT[name]
    bit = int(rng.integers(width))
    instruction = compiled.instructions[index]
    place = f"{instruction.opcode.name} '{instruction.name}', {name}, bit {bit}"
    return Fault("instruction", place, 32 * (HEADER_WORDS + INSTRUCTION_WORDS * index + word) + low + bit)


def _choose(weights: npt.NDArray[np.float64], rng: np.random.Generator) -> int:
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _flipped(data: bytes, bit: int) -> bytes:
    if bit >= 8 * len(data):
        raise ToolflowError(f"a fault must lie within {8 * len(data)} bits, not at bit {bit}")
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)
