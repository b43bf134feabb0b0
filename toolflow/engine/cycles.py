"""Cycle model of the engine: the cycles and the bottleneck of each instruction.

The array takes one step a cycle; a position costs the rows of its group, or the drain's beats where
those are more. A Winograd tile costs its rows, or what the fold, the input transform or the drain need where that
is more: all four work on different tiles at once. The first position of a group waits for its rows, which the
weight port delivers in program order into a ring of `ring_rows` rows. Everything else is movers and fixed
latencies, whose constants (`Latencies`) were read off the RTL engine (docs/results-tables.md compares both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolflow.engine.config import EngineConfig, one_precision
from toolflow.engine.decoder import Decoder
from toolflow.engine.isa import INSTRUCTION_WORDS, Opcode
from toolflow.engine.places import map_row_bytes
from toolflow.engine.positions import Bound, position_cycles, sums_latency, tile_cycles
from toolflow.engine.steps import (
    Compute,
    Fill,
    Load,
    Part,
    Pool,
    SetStripes,
    Shift,
    Spill,
    Step,
    StoreMap,
    StoreResults,
    images_of_pass,
    moved_rows,
)
from toolflow.engine.weight_port import WeightPort

LANE_ROWS = 4  # cycles of cascade_lane_rows, and one for each row
EMPTY_LANE = 3  # of a lane that stores nothing
PIECE_BEATS = 32  # beats that a load beside compute asks for at a time
WRITE_BEATS = 16  # of a burst that is written


@dataclass(frozen=True)
class Latencies:
    """Cycles that do not depend on the layer.

    Attributes:
        memory: from a read address to its first beat.
        start: from the start bit to the first instruction, the program's two readings left out.
        convolution: a CONV's pipeline, from its last step to the next instruction, beside the sum over the slots.
        transform: of the input transform's pipeline, before a layer's first tile.
        pool: the same for MAXPOOL.
        mover: the same for TABLE and LOAD, memory latency left out.
        image: between two images of a mover.
        lane: between two lanes of a LOAD in stripes: the words of one are looked up before the next one's.
        store: of a STORE_MAP or SPILL, beside what each image takes.
        record: of each image of them, beside its words.
        piece: of a load beside compute, between two pieces of an image, memory latency left out.
    """

    memory: int = 64
    start: int = 152
    convolution: int = 17
    transform: int = 13
    pool: int = 6
    mover: int = 15
    image: int = 1
    lane: int = 3
    store: int = 7
    record: int = 4
    piece: int = 14


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
        passes: ceil(images / lanes_p), of a striped program one for each image.
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
    config: EngineConfig, steps: Sequence[Step], images: int, latencies: Latencies | None = None
) -> CycleReport:
    """Predict the cycles of `images` images.

    Args:
        config: the engine, as the program sees it (`EngineConfig.of`).
        steps: of the schedule.
        images: N of the start.
        latencies: constants; the defaults are the RTL engine's at the standard memory.
    """
    one_precision(config)
    wait = latencies or Latencies()
    of_pass = images_of_pass(steps, config)
    passes = -(-images // of_pass)
    instructions = sum(len(step.parts) for step in steps)
    load = next((step for step in steps if isinstance(step, Load)), None)  # no other is loaded ahead
    words = INSTRUCTION_WORDS * (instructions + 1)
    # the CRC takes a word a cycle; then the first instruction is read again
    time = wait.start + 2 * wait.memory + words
    weights = WeightPort(config, time + wait.memory)
    decoder = Decoder(config, time)
    costs: list[InstructionCycles] = []
    index = 0
    loaded = None  # when the images of the next pass are there, where they are loaded ahead
    written = 0  # when what was spilled is in memory
    entered: tuple[object, int] = None, time
    while index < passes:
        here = min(of_pass, images - index * of_pass)
        costs = []
        for step in steps:
            for part in step.parts:
                ended = time
                tile = step.tile if isinstance(step, Compute) else 0
                time = began = decoder.begin(part.opcode, tile, ended)
                bound: Bound = "control"
                if part.opcode is Opcode.FILL:
                    time = max(time, written)
                if part.opcode is Opcode.TABLE and index > 0:
                    time += 1  # the tables are filled
                elif part.opcode is Opcode.LOAD and loaded is not None:
                    time, bound = max(loaded, time + 1), "memory" if loaded > time else "control"
                else:
                    time, bound = _end(config, step, part, here, time, weights, wait)
                if isinstance(step, Spill | StoreMap):
                    leaves = time - _passed_over(config, step)
                    written = leaves + (_stored_beats(config, step, here)[-1] - 1) % WRITE_BEATS + 2 + wait.memory
                if load and load.ahead == part.name and part.opcode in (Opcode.CONV, Opcode.MAXPOOL):
                    later = min(of_pass, images - (index + 1) * of_pass)
                    loaded = began + _load_ahead(config, load, later, wait)
                costs.append(_cost(config, step, part, here, time - ended, bound))
        index += 1
        moves = None if loaded is None else max(loaded - time, 0), max(written - time, 0)
        now = weights.state(time), time - decoder.free, moves
        if now == entered[0]:  # every further pass of full lanes is like this one
            skipped = max(passes - index - 2, 0)  # the last but one loads what the last one needs
            later = time
            index, time = index + skipped, weights.skip(skipped, time - entered[1], time)
            decoder.skip(time - later)
            loaded = None if loaded is None else loaded + time - later
            written += time - later
        entered = now, time
    useful = sum(step.macs for step in steps if isinstance(step, Compute)) * images
    return CycleReport(images, passes, time, tuple(costs), useful / (config.multipliers * time))


def _cost(config: EngineConfig, step: Step, part: Part, images: int, cycles: int, bound: Bound) -> InstructionCycles:
    macs = reads = 0
    if isinstance(step, Compute) and part.opcode is Opcode.CONV:
        macs, reads = step.macs * images, step.reads
    share = macs / (config.multipliers * max(cycles, 1))
    return InstructionCycles(part.name, part.opcode, cycles, bound, macs, share, reads)


def _end(
    config: EngineConfig, step: Step, part: Part, images: int, time: int, weights: WeightPort, wait: Latencies
) -> tuple[int, Bound]:
    """Return when an instruction ends that begins at `time`, in a pass of so many images, and what bounds it."""
    if part.opcode in (Opcode.TAPS, Opcode.END):
        return time + 1, "control"
    match step:
        case SetStripes():
            return time + config.lanes_p + 3, "control"  # a window for each lane
        case Shift():
            words = step.out.height * step.out.width * step.source.words
            return time + words + wait.pool, "memory"
        case Compute():
            return _conv(config, step, time, weights, wait)
        case Load():
            return time + _load(config, step, part, images, wait), "memory"
        case Pool():
            window = step.window.kernel[0] * step.window.kernel[1]
            positions = step.region.height * step.region.width
            return time + positions * window * step.source.words + wait.pool, "memory"
        case Fill():
            return time + _fill(config, step, images, wait), "memory"
        case Spill() | StoreMap():
            return time + _store(config, step, images, wait), "memory"
        case StoreResults():
            # an image's record is written, and its response awaited, while the next is scanned twice
            return time + images * (wait.memory + 2 * step.source.values), "control"


def _load(config: EngineConfig, step: Load, part: Part, images: int, wait: Latencies) -> int:
    image = step.image
    if part.opcode is Opcode.TABLE:
        entries = image.words * 256
        beats = -(-entries * image.slice_bytes // config.bus_bytes)
        return wait.memory + max(beats, entries) + wait.mover
    lanes, rows = _lanes_and_rows(config, step, images)
    beats = images * -(-step.out.height * image.row_bytes // config.bus_bytes)
    if step.stripes is not None:
        beats = rows * image.row_bytes // config.bus_bytes
    written = rows * image.width * step.out.words
    between = wait.image if step.stripes is None else wait.lane
    return wait.memory + max(written, beats) + lanes * between + wait.mover + _first_lane(step)


def _first_lane(step: Load | Fill | Spill) -> int:
    """Return the cycles in which a mover of stripes finds the rows of lane 0; those of others are found beside it."""
    if step.stripes is None:
        return 0
    place = step.source if isinstance(step, Spill) else step.out
    return step.stripes.window(0, place.height)[1] + LANE_ROWS


def _lanes_and_rows(config: EngineConfig, step: Load | Fill | Spill, images: int) -> tuple[int, int]:
    """Return in how many lanes a mover moves rows in a pass of so many images, and the rows of all of them."""
    if step.stripes is None:
        return images, images * moved_rows(step, config.lanes_p)
    place = step.source if isinstance(step, Spill) else step.out
    windows = [step.stripes.window(lane, place.height) for lane in range(config.lanes_p)]
    return sum(first < end for first, end in windows), moved_rows(step, config.lanes_p)


def _fill(config: EngineConfig, step: Fill, images: int, wait: Latencies) -> int:
    """Return the cycles of a FILL: a word in each cycle, the rows of all lanes behind one another."""
    lanes, rows = _lanes_and_rows(config, step, images)
    beats = map_row_bytes(step.out, config) // config.bus_bytes
    written = rows * max(step.out.width * step.out.words, beats)
    return wait.memory + written + lanes * wait.image + wait.mover + _first_lane(step)


def _stored_beats(config: EngineConfig, step: Spill | StoreMap, images: int) -> list[int]:
    """Return the beats that each lane stores in a pass: of each row of a SPILL, or of the whole map."""
    if isinstance(step, StoreMap):
        beats = -(-step.rows[0] * step.rows[1] * config.sub_row // config.bus_bytes)
        return [beats] * (images if step.stripes is None else config.lanes_p)
    row = map_row_bytes(step.source, config) // config.bus_bytes
    if step.stripes is None:
        return [step.source.height * row] * images
    windows = [step.stripes.window(lane, step.source.height) for lane in range(config.lanes_p)]
    return [(end - first) * row for first, end in windows if end > first]


def _store(config: EngineConfig, step: Spill | StoreMap, images: int, wait: Latencies) -> int:
    """Return the cycles of a SPILL or STORE_MAP: a word in each cycle, rounded up to beats.

    Between two lanes the beats of the last burst leave, which the write master then holds.
    """
    beats = _stored_beats(config, step, images)
    words = sum(beats) * config.bus_bytes // config.sub_row
    leaving = sum(min(each, WRITE_BEATS - 1) for each in beats[:-1])
    # records of a map of all lanes lie `lanes_p` of them apart, which are added one by one
    found = _first_lane(step) if isinstance(step, Spill) else config.lanes_p if step.stripes else 0
    return wait.store + found + words + len(beats) * wait.record + leaving + _passed_over(config, step)


def _passed_over(config: EngineConfig, step: Spill | StoreMap) -> int:
    """Return the cycles of the last lanes of a SPILL in stripes, which have no rows."""
    if step.stripes is None or isinstance(step, StoreMap):
        return 0
    return EMPTY_LANE * (config.lanes_p - len(_stored_beats(config, step, 1)))


def _load_ahead(config: EngineConfig, step: Load, images: int, wait: Latencies) -> int:
    """Return the cycles in which the images of a pass are loaded beside compute: a word in every second cycle."""
    image, piece_bytes = step.image, config.bus_bytes * PIECE_BEATS
    each = [image.height] * images  # rows
    if step.stripes is not None:
        windows = [step.stripes.window(lane, step.out.height) for lane in range(config.lanes_p)]
        each = images * [end - first for first, end in windows]
    pieces = sum(-(-rows * image.row_bytes // piece_bytes) for rows in each)
    return 2 * sum(each) * image.width * step.out.words + pieces * (wait.memory + wait.piece)


def _conv(config: EngineConfig, layer: Compute, time: int, weights: WeightPort, wait: Latencies) -> tuple[int, Bound]:
    late, bounds, spent, each = 0, set(), 0, None
    for group, channels in enumerate(layer.groups(config.lanes_k)):
        if layer.tile:
            each = tile_cycles(config, layer, channels, wait.transform)
        else:
            each = position_cycles(config, layer, group * config.lanes_k, channels)
        time += each.filling if group == 0 else 0
        cost = each.cycles[each.bound]
        bounds.add(each.bound)
        arrived = weights.packet(channels, layer.rows, layer.walk.indexed, time)
        first_end = max(time + cost, arrived + 2)
        late += first_end - (time + cost)
        time = first_end + (each.count - 1) * cost
        spent += each.count * cost
        weights.finished(layer.rows, cost, time)
    bound: Bound = next((name for name in ("transform", "drain") if name in bounds), "array")
    if late > spent:
        bound = "weights"
    ending = each.last - each.cycles[each.bound] + each.draining if each else 0
    return time + ending + wait.convolution + sums_latency(config), bound
