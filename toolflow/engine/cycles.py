"""Cycle model of the engine: what each instruction costs, and what bounds it.

The array takes one step a cycle; a position costs the rows of its group, or the drain's beats where
those are more. A Winograd tile costs its rows, or what the fold, the input transform or the drain need where that
is more: all four work on different tiles at once. The first position of a group waits for its rows, which the
weight port delivers in program order into a FIFO of `weight_depth` rows. Everything else is movers and fixed
latencies, whose constants (`Latencies`) were read off the RTL engine (docs/results.md compares both).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import INSTRUCTION_WORDS, Flag, Instruction, Opcode
from toolflow.engine.program import Header
from toolflow.engine.stream import parameter_beats, row_beats
from toolflow.numerics.winograd import WINOGRAD

SHORTEST_TAP = 2  # cycles between the ends of two taps
FETCH = 6  # cycles from a position's last step until its residual is read; the next one's last step waits for that
PARAMETER_BANKS = 2  # groups whose parameters the drain holds: the one at work and the next
Bound = Literal["array", "drain", "transform", "weights", "memory", "control"]


@dataclass(frozen=True)
class Latencies:
    """Cycles that do not depend on the layer.

    Attributes:
        memory: from a read address to its first beat.
        start: from the start bit to the first instruction, the program's two readings left out.
        convolution: a CONV's pipeline, from its last step to the next instruction.
        transform: of the input transform's pipeline, before a layer's first tile.
        pool: the same for MAXPOOL.
        mover: the same for TABLE, LOAD and STORE_MAP, memory latency left out.
        image: between two images of a mover.
    """

    memory: int = 64
    start: int = 160
    convolution: int = 16
    transform: int = 12
    pool: int = 5
    mover: int = 11
    image: int = 1


@dataclass(frozen=True)
class InstructionCycles:
    """One instruction's predicted cost in a pass.

    Attributes:
        name: the node, or what a mover does.
        cycles: from the end of the instruction before to its own.
        bound: what limits it.
        macs: useful multiply-accumulates of all images of the pass.
        utilisation: macs / (multipliers · cycles).
        reads: input channels that each output of a CONV reads; 0 for all of them.
    """

    name: str
    opcode: Opcode
    cycles: int
    bound: Bound
    macs: int
    utilisation: float
    reads: int = 0


@dataclass(frozen=True)
class CycleReport:
    """Predicted cycles of one start of the engine.

    Attributes:
        images: images processed.
        passes: ceil(images / lanes_p).
        total_cycles: from start to the last write response.
        instructions: of the last pass.
        utilisation: useful multiply-accumulates / (multipliers · total cycles).
    """

    images: int
    passes: int
    total_cycles: int
    instructions: tuple[InstructionCycles, ...]
    utilisation: float

    @property
    def cycles_per_image(self) -> float:
        """Average over the images."""
        return self.total_cycles / self.images


def predict(
    config: EngineConfig,
    header: Header,
    instructions: tuple[Instruction, ...],
    macs: Mapping[str, int],
    images: int,
    latencies: Latencies | None = None,
) -> CycleReport:
    """Predict the cycles of `images` images.

    Args:
        config: the engine.
        header: the program's header.
        instructions: the program's instructions.
        macs: useful multiply-accumulates per image, by instruction name.
        images: N of the start.
        latencies: constants; the defaults are the RTL engine's at the standard memory.
    """
    wait = latencies or Latencies()
    passes = -(-images // config.lanes_p)
    words = INSTRUCTION_WORDS * (len(instructions) + 1)
    time = (
        wait.start + 2 * wait.memory + words
    )  # the CRC takes a word a cycle; then the first instruction is read again
    weights = _WeightPort(config, time + wait.memory)
    costs: list[InstructionCycles] = []
    index = 0
    entered: tuple[object, int] = None, time
    while index < passes:
        here = min(config.lanes_p, images - index * config.lanes_p)
        costs = []
        taps = Instruction(Opcode.TAPS)
        for instruction in instructions:
            began = time
            taps = instruction if instruction.opcode is Opcode.TAPS else taps
            if instruction.opcode is Opcode.CONV:
                time, bound = _conv(config, instruction, taps, time, weights, wait)
            else:
                cost, bound = _other(config, header, instruction, here, wait)
                time += cost
            useful = macs.get(instruction.name, 0) * here if instruction.opcode is Opcode.CONV else 0
            share = useful / (config.multipliers * max(time - began, 1))
            costs.append(
                InstructionCycles(
                    instruction.name, instruction.opcode, time - began, bound, useful, share, instruction.reads
                )
            )
        index += 1
        now = weights.state(time)
        if now == entered[0]:  # every further pass of full lanes is like this one
            skipped = max(passes - index - 1, 0)
            index, time = index + skipped, weights.skip(skipped, time - entered[1], time)
        entered = now, time
    useful_total = sum(macs.get(i.name, 0) for i in instructions if i.opcode is Opcode.CONV) * images
    return CycleReport(images, passes, time, tuple(costs), useful_total / (config.multipliers * time))


class _WeightPort:
    """When each packet has arrived: one beat a cycle, while the row FIFO has room and a parameter bank is free."""

    def __init__(self, config: EngineConfig, start: int) -> None:
        self.config = config
        self.arrived = start
        self.rows_sent = 0
        self.rows_taken = 0
        # (rows taken in all, time at which the last of them was), as far back as a packet may wait for
        self.taken: deque[tuple[int, int]] = deque()
        # time at which each group ended and gave its parameter bank back
        self.ended: deque[int] = deque(maxlen=PARAMETER_BANKS)

    def packet(self, channels: int, rows: int, indexed: bool) -> int:
        """Return the time at which the next packet is complete."""
        self.rows_sent += rows
        room_needed = self.rows_sent - self.config.weight_depth
        while self.taken and self.taken[0][0] < room_needed:
            self.taken.popleft()
        ready = self.taken[0][1] if self.taken and room_needed > 0 else 0
        beats = parameter_beats(self.config, channels) + row_beats(self.config, rows, indexed)
        bank_free = self.ended[0] if len(self.ended) == PARAMETER_BANKS else 0
        self.arrived = max(max(self.arrived, bank_free) + beats, ready + 1)
        return self.arrived

    def consumed(self, rows: int, time: int) -> None:
        """Note that a group's first position ended at `time`: its rows have left the FIFO."""
        self.rows_taken += rows
        self.taken.append((self.rows_taken, time))

    def finished(self, time: int) -> None:
        """Note that a group ended at `time`."""
        self.ended.append(time)

    def state(self, time: int) -> tuple[object, ...]:
        """Return all that later packets depend on, seen from `time`."""
        taken = tuple((rows - self.rows_sent, at - time) for rows, at in self.taken)
        return self.arrived - time, taken, self.rows_taken - self.rows_sent, tuple(at - time for at in self.ended)

    def skip(self, passes: int, cycles: int, time: int) -> int:
        """Move on by passes of so many cycles that leave the state as it is; return the time afterwards."""
        later = passes * cycles
        self.arrived += later
        self.taken = deque((rows, at + later) for rows, at in self.taken)
        self.ended = deque((at + later for at in self.ended), maxlen=PARAMETER_BANKS)
        return time + later


@dataclass(frozen=True)
class _Places:
    """What a group's positions, or its tiles, cost.

    Attributes:
        count: positions or tiles of a map.
        cycles: of each, by what might bound it.
        filling: before the first one of the layer can begin.
        draining: after the last one.
    """

    count: int
    cycles: Mapping[Bound, int]
    filling: int
    draining: int

    @property
    def bound(self) -> Bound:
        """What takes longest; the array where several do."""
        return max(self.cycles, key=lambda name: self.cycles[name])

    @property
    def last(self) -> int:
        """Cycles of a layer's last position or tile, while which nothing more is transformed."""
        return max(cycles for name, cycles in self.cycles.items() if name != "transform")


def drain_cycles(config: EngineConfig, first: int, channels: int, residual: bool, to_result: bool) -> int:
    """Return the cycles between the last steps of two positions that the drain needs for the first of them.

    Args:
        config: the engine.
        first: channel of a group.
        channels: of it.
        residual: whether a residual is added.
        to_result: whether the outputs are results, which leave one by one.
    """
    pace = config.drain_k if to_result else 1
    beats = -(-channels // config.drain_k) * pace
    if not residual:
        return beats
    last_word = (first + channels - 1) // config.sub_row * config.sub_row - first
    return max(beats, max(last_word, 0) // config.drain_k * pace + _fetch(config))


def _fetch(config: EngineConfig) -> int:
    return FETCH + (config.slots > 1)  # an adder tree is one cycle more


def _reads(i: Instruction, step: int) -> bool:
    """Return whether a step of a direct layer's position, from 0 on, begins a word."""
    words = (i.sub_rows - 1) * i.steps
    place = step % (words + i.steps_last)
    return place % i.steps == 0 if place < words else place == words


def _positions(config: EngineConfig, i: Instruction, first: int, channels: int) -> _Places:
    residual, to_result = Flag.RESIDUAL in i.flags, Flag.TO_RESULT in i.flags
    drain = drain_cycles(config, first, channels, residual, to_result)
    rows = i.rows
    if residual:  # each of its words takes the bank's read port: a cycle that no input word needs, or one more
        free = rows - i.levels * i.kernel_h * i.kernel_w * i.sub_rows
        rows += max(-(-channels // config.sub_row) - free, 0)
        meets = _fetch(config) - 2  # the step of the next position that is at the port when the residual would be
        drain += i.rows > meets + 1 and _reads(i, meets)
    early = max(drain - rows, 0)  # the layer's first position waits for none before it
    last = drain_cycles(config, first, channels, False, to_result)
    return _Places(i.out_height * i.out_width, {"array": rows, "drain": drain}, 0, last - early)


def _tiles(config: EngineConfig, i: Instruction, taps: Instruction, channels: int, wait: Latencies) -> _Places:
    form = WINOGRAD[i.tile]
    down, across = form.tiles(i.out_height, i.out_width)
    beats = -(-channels // config.drain_k)
    words = form.taps**2 * i.sub_rows * config.transform_cycles
    residual = form.tile**2 * -(-channels // config.sub_row) if Flag.RESIDUAL in i.flags else 0
    rows = np.maximum(i.rows_of_taps(taps), SHORTEST_TAP).reshape(-1)
    cycles: dict[Bound, int] = {
        "array": int(rows.sum()),
        "drain": int(np.maximum(rows, beats).sum()),  # a tap's fold takes a beat for each chunk of channels
        "transform": words + residual,
    }
    filling = words + form.taps**2 + 2 * form.taps + wait.transform
    kept = (i.out_height - form.tile * (down - 1)) * (i.out_width - form.tile * (across - 1))  # of the last tile
    waited = max(beats - int(rows[0]), 0)  # by a tap, but not by a layer's first
    return _Places(down * across, cycles, filling, (form.tile + kept) * beats - waited)


def _conv(
    config: EngineConfig, i: Instruction, taps: Instruction, time: int, weights: _WeightPort, wait: Latencies
) -> tuple[int, Bound]:
    late, bounds, spent, places = 0, set(), 0, None
    for group in range(i.groups):
        channels = min(config.lanes_k, i.channels - group * config.lanes_k)
        first = group * config.lanes_k
        places = _tiles(config, i, taps, channels, wait) if i.tile else _positions(config, i, first, channels)
        time += places.filling if group == 0 else 0
        cost = places.cycles[places.bound]
        bounds.add(places.bound)
        arrived = weights.packet(channels, i.rows, Flag.INDEXED in i.flags)
        first_end = max(time + cost, arrived + 2)
        late += first_end - (time + cost)
        weights.consumed(i.rows, first_end)
        time = first_end + (places.count - 1) * cost
        spent += places.count * cost
        weights.finished(time)
    bound: Bound = next((name for name in ("transform", "drain") if name in bounds), "array")
    if late > spent:
        bound = "weights"
    ending = places.last - places.cycles[places.bound] + places.draining if places else 0
    return time + ending + wait.convolution, bound


def _other(config: EngineConfig, header: Header, i: Instruction, images: int, wait: Latencies) -> tuple[int, Bound]:
    if i.opcode is Opcode.TABLE:
        beats = -(-i.sub_rows * 256 * i.in_words // config.bus_bytes)
        return wait.memory + max(beats, i.sub_rows * 256) + wait.mover, "memory"
    if i.opcode is Opcode.LOAD:
        words = i.out_height * i.out_width * i.sub_rows
        beats = -(-words * i.in_words // config.bus_bytes)
        return wait.memory + images * (max(words * i.levels, beats) + wait.image) + wait.mover, "memory"
    if i.opcode is Opcode.MAXPOOL:
        return i.out_height * i.out_width * i.kernel_h * i.kernel_w * i.sub_rows + wait.pool, "memory"
    if i.opcode is Opcode.STORE_RESULT:
        # an image's record is written, and its response awaited, while the next is scanned twice
        return images * (wait.memory + 2 * header.classes), "control"
    if i.opcode is Opcode.STORE_MAP:
        words = i.in_height * i.in_row_words
        return images * (words + wait.image) + wait.mover + wait.memory, "memory"
    return 1, "control"
