"""The demand of a network on any engine shape, to rank thousands of shapes without compiling for each.

The network is compiled once for each sub-row length; the rows of engines with more slots follow from it. The result is
accurate to a few per cent. The cycle model, which times the best shapes, adds movers, the first weights, and indices.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from toolflow.engine.config import FITTED, EngineConfig, deepest_memories
from toolflow.engine.places import ResultPlace
from toolflow.engine.positions import drain_cycles, row_cycles
from toolflow.engine.steps import Compute, Fill, Load, Pool, Shift, Spill, moved_rows
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.packing import all_weights
from toolflow.numerics.winograd import WINOGRAD
from toolflow.plan.schedule.needs import fitted
from toolflow.plan.schedule.schedule import Schedule, Scheduler

# Latencies of a step and of what it waits for, which a single image feels.
STEP_CYCLES, MOVER_CYCLES = 40, 80


@dataclass(frozen=True)
class LayerDemand:
    """The demand of one layer.

    Attributes:
        channels, positions: channels and positions of its output.
        levels: digit levels of each tap.
        sub_rows: sub-rows of each tap.
        steps: in each sub-row, at one slot, for a group of S channels: (steps, how many taps take so many).
        steps_last: in the last sub-row; of a tile's taps at most.
        own_channels: whether an output channel reads channels of its own only (depthwise, pooling).
        tile: Winograd tile, 0 for none; `positions` are then tiles.
        words: transformed words of a tile.
        indexed: whether its rows carry indices.
        residual, to_result: whether a residual is added, and whether the outputs are results.
        once: whether each weight row is read once, for the only output position.
        height: rows of positions or tiles.
    """

    channels: int
    positions: int
    levels: int
    sub_rows: int
    steps: tuple[tuple[int, int], ...]
    steps_last: int
    own_channels: bool
    tile: int = 0
    words: int = 0
    indexed: bool = False
    residual: bool = False
    to_result: bool = False
    once: bool = False
    height: int = 1

    def cycles_of(self, shape: EngineConfig) -> int:
        """Return the cycles of one position or tile."""
        channels = min(shape.lanes_k, self.channels)
        if self.tile == 0:
            return max(self.rows_of(shape), drain_cycles(shape, 0, channels, self.residual, self.to_result))
        chunks = -(-channels // shape.drain_k)
        taps = sum(count * max(rows, chunks) for rows, count in self._rows_of_taps(shape))
        return max(taps, self.words * shape.transform_cycles)

    def rows_of(self, shape: EngineConfig) -> int:
        """Return the weight rows of a group; where channels are their own, those of every word it covers."""
        if self.own_channels:
            width = min(shape.lanes_k, self.channels)
            offset = shape.sub_row - shape.granule if shape.lanes_k < self.channels else 0
            steps = sum(-(-steps // shape.slots) * count for steps, count in self.steps)
            return self.levels * self.sub_rows * steps * -(-(offset + width) // shape.sub_row)
        return sum(count * rows for rows, count in self._rows_of_taps(shape))

    def _rows_of_taps(self, shape: EngineConfig) -> Iterator[tuple[int, int]]:
        """Yield the weight rows of a tap, and how many taps take so many."""
        last = -(-self.steps_last // shape.slots)
        for at_one_slot, count in self.steps:
            steps = -(-at_one_slot // shape.slots)
            yield self.levels * ((self.sub_rows - 1) * steps + (min(steps, last) if self.tile else last)), count


@dataclass(frozen=True)
class Moves:
    """What a pass moves to and from external memory where the banks do not hold all maps.

    Attributes:
        filled, spilled: words of each image.
        bands: of each layer: how often its weights are read.
    """

    filled: int
    spilled: int
    bands: tuple[int, ...]

    @property
    def cycles(self) -> int:
        """Cycles of an image: a word in each."""
        return self.filled + self.spilled

    def bytes_of(self, shape: EngineConfig) -> int:
        """Return the bytes of an image."""
        return (self.filled + self.spilled) * shape.sub_row


class LayerCost(NamedTuple):
    """What a layer costs: cycles of a position in all groups of output channels, and beats of weights once."""

    cycles: int
    beats: float


@dataclass(frozen=True)
class OneImage:
    """What a pass takes where the rows of one image lie in all lanes of an engine.

    Attributes:
        words: that each bank needs.
        positions: of each layer in a lane, or tiles.
        bands: of each layer: how often its weights are read.
        moves: cycles of everything but the array: images and maps that move, halos, pooling.
        moved_words: words to and from external memory, images left out.
    """

    words: int
    positions: tuple[int, ...]
    bands: tuple[int, ...]
    moves: int
    moved_words: int

    def cycles(self, costs: Sequence[LayerCost], ahead: float = 0) -> float:
        """Return the cycles of an image: of each layer those of the array, or of the weights that the port brings.

        Args:
            costs: of the layers.
            ahead: beats of weights that the engine holds for layers to come.
        """
        total, held = float(self.moves), 0.0
        between = self.moves / len(costs)  # the port works then too
        for places, bands, cost in zip(self.positions, self.bands, costs, strict=True):
            held = min(held + between, ahead)
            beats = bands * cost.beats
            cycles = max(places * cost.cycles, beats - held)
            held = min(max(held + cycles - beats, 0.0), ahead)
            total += cycles
        return total

    def beats(self, costs: Sequence[LayerCost]) -> float:
        """Return the beats of weights that an image takes."""
        return sum(bands * cost.beats for bands, cost in zip(self.bands, costs, strict=True))


@dataclass(frozen=True)
class Demand:
    """A network on engines of one sub-row and one pair of widths.

    Attributes:
        layers: the layers that the array computes.
        probe: the engine with one slot that the network was compiled for, with the depths that it needs; its banks hold
            all maps if any engine's can.
        every_weight: whether a weight, or a digit of one, is the smallest of its width.
        scheduler: of the network on the probe.
    """

    layers: tuple[LayerDemand, ...]
    probe: EngineConfig
    every_weight: bool
    scheduler: Scheduler
    _moves: dict[int, Moves | None] = field(default_factory=dict, compare=False, repr=False)
    _striped: dict[tuple[int, int], Scheduler] = field(default_factory=dict, compare=False, repr=False)
    _images: dict[tuple[int, int, int | None], OneImage | None] = field(default_factory=dict, compare=False, repr=False)

    def moves(self, bank_words: int) -> Moves | None:
        """Return what bands move if the banks have so many words, None if they do not hold a band of one layer."""
        if bank_words not in self._moves:
            try:
                self._moves[bank_words] = _moves_of(self.scheduler.schedule(bank_words), self.scheduler.schedule(None))
            except DoesNotFitError:
                self._moves[bank_words] = None
        return self._moves[bank_words]

    def one_image(self, shape: EngineConfig, bank_words: int | None) -> OneImage | None:
        """Return what one image takes in all lanes of an engine, None if the banks do not hold a band of one layer.

        Args:
            shape: of the engine.
            bank_words: of each bank; None if all maps lie there.
        """
        faster = round(math.log2(shape.lanes_k * shape.slots / (self.probe.lanes_k * self.probe.slots)))
        lanes = shape.lanes_p, faster
        key = *lanes, bank_words
        if key not in self._images:
            if lanes not in self._striped:
                self._striped[lanes] = self.scheduler.in_stripes(shape.lanes_p, 2.0**faster)
            scheduler = self._striped[lanes]
            try:
                schedule = scheduler.schedule(bank_words)
            except DoesNotFitError:
                self._images[key] = None
            else:
                words = min(scheduler.words, bank_words or scheduler.words)
                self._images[key] = _one_image(schedule, self.scheduler.schedule(None), words)
        return self._images[key]

    def layer_costs(self, shape: EngineConfig) -> tuple[LayerCost, ...]:
        """Return what each layer costs on a shape, whatever its lanes."""
        found = []
        for layer in self.layers:
            groups = -(-layer.channels // shape.lanes_k)
            beats = groups * layer.rows_of(shape) * shape.row_bits(layer.indexed) / shape.bus_bits
            found.append(LayerCost(groups * layer.cycles_of(shape), beats))
        return tuple(found)

    def least_cycles(self, costs: Sequence[LayerCost], lanes: Sequence[int]) -> list[float]:
        """Return the least cycles that one image takes in all of so many lanes, for each number of them.

        The image is loaded a word in a cycle; then comes the array, as long as the lane with the most rows of each
        layer takes, or all weights.
        """
        image = self.scheduler.schedule(None).load
        loaded = image.out.height * image.out.width * image.out.words
        heights, positions = self._rows
        array = (-(-heights // np.array(lanes)[:, None]) * positions * np.array([c.cycles for c in costs])).sum(axis=1)
        least: list[float] = (loaded + np.maximum(array, sum(cost.beats for cost in costs))).tolist()
        return least

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each layer's positions, and positions of a row."""
        heights = np.array([layer.height for layer in self.layers])
        return heights, np.array([layer.positions for layer in self.layers]) / heights

    def depths(self, shape: EngineConfig) -> dict[str, int]:
        """Return the parameters that the network needs of a shape, within a word and the rows of odd groups."""
        needed = {name: getattr(self.probe, name) for name in FITTED}
        needed["weight_depth"] = max(1 if layer.once else layer.rows_of(shape) for layer in self.layers)
        return needed

    def cycles_per_pass(self, shape: EngineConfig) -> int:
        """Return the cycles in which array or drain work on one image per lane."""
        total = 0
        for layer in self.layers:
            total += -(-layer.channels // shape.lanes_k) * layer.positions * layer.cycles_of(shape)
        return total

    def port_cycles_per_pass(self, shape: EngineConfig) -> float:
        """Return the cycles in which the array waits for weight rows that it reads once, as they arrive."""
        waits = 0.0
        for layer in self.layers:
            if layer.once:
                beats = layer.rows_of(shape) * shape.row_bits(layer.indexed) / shape.bus_bits
                waits += -(-layer.channels // shape.lanes_k) * max(beats - layer.cycles_of(shape), 0)
        return waits

    def row_bytes_per_pass(self, shape: EngineConfig, moves: Moves | None = None) -> float:
        """Return the bytes of all weight rows, of every band."""
        bands = moves.bands if moves else (1,) * len(self.layers)
        return (
            sum(
                times * -(-layer.channels // shape.lanes_k) * layer.rows_of(shape) * shape.row_bits(layer.indexed)
                for layer, times in zip(self.layers, bands, strict=True)
            )
            / 8
        )


def demand(graph: QuantisedGraph, base: EngineConfig) -> Demand:
    """Compile `graph` for one small engine with the widths and the sub-row of `base`.

    Raises:
        ToolflowError: the network holds something that no such engine runs.
    """
    plain = {"dsp_primitive": "none", "pack_k": 1, "pack_p": 1, "chain": 1}
    probe = base.model_copy(update={**plain, "lanes_k": base.sub_row, "lanes_p": 1, "slots": 1, "drain_k": 1})
    scheduler = Scheduler(graph, probe)
    schedule = scheduler.schedule(None)
    smallest = all_weights(base.weight_bits).lower
    return Demand(
        tuple(_layer(step) for step in schedule.computes),
        fitted(scheduler.schedule(deepest_memories()["bank_depth"])).config,
        any(int(step.weights.digits.min(initial=0)) <= smallest for step in schedule.computes),
        scheduler,
    )


def _moves_of(schedule: Schedule, whole: Schedule) -> Moves:
    filled = sum(step.out.held_words for step in schedule.steps if isinstance(step, Fill))
    spilled = sum(step.source.held_words for step in schedule.steps if isinstance(step, Spill))
    times = Counter(step.name for step in schedule.computes)
    return Moves(filled, spilled, tuple(times[step.name] for step in whole.computes))


def _one_image(schedule: Schedule, whole: Schedule, words: int) -> OneImage:
    positions: Counter[str] = Counter()
    bands: Counter[str] = Counter()
    moves, moved_words = STEP_CYCLES * len(schedule.steps), 0
    for step in schedule.steps:
        if isinstance(step, Compute):
            positions[step.name] += step.places
            bands[step.name] += 1
        elif isinstance(step, Pool):
            moves += int(row_cycles(schedule.config, step) * step.region.height)
        elif isinstance(step, Shift):
            moves += step.out.held_words
        elif isinstance(step, Load | Fill | Spill):
            place = step.source if isinstance(step, Spill) else step.out
            moved = moved_rows(step, schedule.config.lanes_p) * place.width * place.words
            moves += moved + MOVER_CYCLES
            moved_words += 0 if isinstance(step, Load) else moved
    names = [step.name for step in whole.computes]
    return OneImage(words, tuple(positions[n] for n in names), tuple(bands[n] for n in names), moves, moved_words)


def _layer(step: Compute) -> LayerDemand:
    return LayerDemand(
        step.channels,
        step.places,
        step.weights.levels,
        step.walk.sub_rows,
        tuple(Counter(step.walk.steps_of_taps(step.weights.taps)).items()),
        step.walk.steps_last,
        step.walk.channel_step > 0,
        step.tile,
        step.transformed_words,
        step.walk.indexed,
        step.residual is not None,
        isinstance(step.out, ResultPlace),
        step.kept_rows < step.rows,
        WINOGRAD[step.tile].tiles(step.region.height, step.region.width)[0] if step.tile else step.region.height,
    )
