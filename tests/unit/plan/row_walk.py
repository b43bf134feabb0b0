"""A naive walk over the steps of a striped schedule that follows every row of every map through banks and memory.

Each word of each lane's bank holds the name of what was written there: map, row, and word of the row. The walk knows
rows of maps only, no integers, and nothing of how the schedule is made.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from toolflow.engine.config import EngineConfig
from toolflow.engine.places import BankPlace, ExternalPlace, ResultPlace, Stripes, map_row_bytes
from toolflow.engine.steps import Compute, Fill, Load, Pool, SetStripes, Shift, Spill
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.schedule.layer import Layer
from toolflow.plan.schedule.schedule import Schedule, Scheduler

Words = npt.NDArray[np.int64]
UNDEFINED = -1


class RowWalk:
    """Banks and memory in the walk.

    Args:
        graph: the network.
        config: an engine with stripes.
    """

    def __init__(self, graph: QuantisedGraph, config: EngineConfig) -> None:
        scheduler = Scheduler(graph, config)
        plain = Scheduler(graph, config.model_copy(update={"stripes": False}))
        self.config, self.homes = config, scheduler._copies.homes
        self.layers = {layer.whole.tensor: layer for layer in plain._copies.layers}
        self.maps = {name: number for number, name in enumerate(self.homes.sizes)}
        self.bank = np.full((config.lanes_p, config.bank_depth), UNDEFINED, dtype=np.int64)
        self.memory: dict[tuple[int, int], Words] = {}  # rows by where they begin, and their words
        self.window = Stripes(1 << 15, 0)  # all rows are inside

    def walk(self, schedule: Schedule) -> None:
        """Follow the steps.

        Raises:
            AssertionError: a row that is read is not there, or is not left out.
        """
        for step in schedule.steps:
            stripes = getattr(step, "stripes", None)
            if isinstance(step, SetStripes):
                self.window = step.stripes
                continue
            assert stripes in (None, self.window)
            match step:
                case Load():
                    for lane, row, at in self._moved(step.first_row, step.out.height, stripes):
                        self._put(lane, step.out.rows(row, 1), self._row(step.tensor, at))
                case Fill():
                    for lane, row, at in self._moved(step.first_row, step.out.height, stripes):
                        place = step.out.rows(row, 1)
                        self._put(lane, place, self.memory[self._address(step.source, place, at)])
                case Spill():
                    for lane, row, at in self._moved(step.first_row, step.source.height, stripes):
                        place = step.source.rows(row, 1)
                        words = self._get(lane, place)
                        assert (words == self._row(step.tensor, at)).all(), (step.tensor, lane, row)
                        self.memory[self._address(step.out, place, at)] = words
                case Shift():
                    read = [self._get(lane, step.source) for lane in range(self.config.lanes_p)]
                    for lane in range(self.config.lanes_p):
                        source = lane + 1 if step.up else lane - 1
                        there = 0 <= source < self.config.lanes_p
                        self._put(lane, step.out, read[source] if there else np.full_like(read[0], UNDEFINED))
                case Compute() | Pool():
                    self._compute(step, self.layers[step.tensor])

    def _moved(self, first: int, count: int, stripes: Stripes | None) -> Iterator[tuple[int, int, int]]:
        """Yield (lane, row of the place, row of the map) of what a mover moves: lane 0 alone without stripes."""
        for lane in range(self.config.lanes_p if stripes else 1):
            begin, end = stripes.window(lane, count) if stripes else (0, count)
            for row in range(begin, end):
                yield lane, row, first + lane * (stripes.rows if stripes else 0) + row

    def _row(self, tensor: str, row: int) -> Words:
        """Return the names of the words of a map's row: (width, words of a pixel)."""
        root, offset = self.homes.home[tensor]
        _, height, width = (*self.homes.graph.shapes[root], 1, 1)[:3]
        assert 0 <= row < height, (tensor, row)
        words, held = self.homes.layouts[tensor].words, self.homes.layouts[root].words
        pixels = (row * width + np.arange(width))[:, None] * held + offset + np.arange(words)
        return (self.maps[root] << 32) + pixels

    def _where(self, place: BankPlace) -> Words:
        pixels = np.arange(place.height * place.width)[:, None] * place.pixel_words
        return place.base + pixels + np.arange(place.words)

    def _get(self, lane: int, place: BankPlace) -> Words:
        words: Words = self.bank[lane, self._where(place)]
        return words

    def _put(self, lane: int, place: BankPlace, words: Words) -> None:
        self.bank[lane, self._where(place)] = words

    def _address(self, memory: ExternalPlace, place: BankPlace, row: int) -> tuple[int, int]:
        return memory.offset_bytes + row * map_row_bytes(place, self.config), place.words

    def _compute(self, step: Compute | Pool, layer: Layer) -> None:
        """Check what the valid rows of a step's outputs read, and name what it writes."""
        whole, stripes, out = layer.whole, step.out_stripes, step.out
        for lane in range(self.config.lanes_p if stripes else 1):
            for row in range(step.region.top, step.region.top + step.region.height):
                at = step.top + row + (lane * stripes.rows if stripes else 0)
                valid = at < whole.out.height
                if valid:
                    begun = at % layer.unit  # in a row of tiles
                    self._reads(step, layer, lane, row - begun, at - begun)
                    self._adds(step, layer, lane, row, at)
                if isinstance(out, ResultPlace):
                    continue
                place = out.rows(row, 1)
                undefined = np.full((place.width, place.words), UNDEFINED)
                self._put(lane, place, self._row(step.tensor, at) if valid else undefined)

    def _reads(self, step: Compute | Pool, layer: Layer, lane: int, row: int, at: int) -> None:
        """Check the rows of the source that an output's row reads, or a row of tiles."""
        window, whole = step.window, layer.whole
        covered = window.kernel[0] + layer.unit - 1
        for tap in range(covered):
            held = row * window.stride[0] + tap * window.dilation[0] - window.pads[0]
            meant = at * window.stride[0] + tap * window.dilation[0] - whole.window.pads[0]
            inside = 0 <= held < step.source.height
            if step.stripes:
                first, last = self.window.window(lane, step.source.height)
                inside = first <= held < last
            assert inside == (0 <= meant < whole.source.height), (step.name, lane, row, tap)
            if inside:
                words = self._get(lane, step.source.rows(held, 1))
                assert (words == self._row(layer.source, meant)).all(), (step.name, lane, row, tap)

    def _adds(self, step: Compute | Pool, layer: Layer, lane: int, row: int, at: int) -> None:
        if isinstance(step, Compute) and step.residual is not None:
            assert layer.residual is not None
            place = step.residual.source.rows(row * step.residual.stride[0], 1)
            meant = self._row(layer.residual, at * layer.added.stride[0])
            used = np.arange(step.out.width) * step.residual.stride[1]
            assert (self._get(lane, place)[used] == meant[used]).all(), (step.name, lane, row)
