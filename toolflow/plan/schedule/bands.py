"""Layers in bands of rows: the steps of a network whose maps do not fit the banks.

Before: steps that read and write whole maps. After: the largest maps lie in external memory. A layer that reads or
writes one of them runs band of rows after band: fill (or load) the rows that the band reads, compute, spill the rows
made. Its buffers lie where no map lives meanwhile, and hold as many rows as they can.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from toolflow.engine.config import EngineConfig
from toolflow.engine.places import BankPlace, Region, ResultPlace, align
from toolflow.engine.steps import Compute, Fill, Load, Pool, Spill, Step
from toolflow.ir.errors import DoesNotFitError
from toolflow.plan.schedule.external import ExternalMap, external_maps
from toolflow.plan.schedule.memory import Homes, pack

Computing = Compute | Pool
Rows = tuple[int, int]  # first, and the one after the last


@dataclass(frozen=True)
class Layer:
    """The steps of one node, which compute parts of one output.

    Attributes:
        time: number of the node.
        steps: on whole maps; they read and write the same ones.
        source, residual: the tensors that they read, views seen through.
    """

    time: int
    steps: tuple[Computing, ...]
    source: str
    residual: str | None

    @property
    def whole(self) -> Computing:
        """The step that computes every position."""
        return self.steps[0]

    @property
    def height(self) -> int:
        """Rows of the output."""
        return self.whole.out.height

    @property
    def unit(self) -> int:
        """Bands begin at a multiple of so many rows."""
        return max(self.whole.tile, 1) if isinstance(self.whole, Compute) else 1

    def bands(self, rows: int) -> Iterator[Rows]:
        """Yield the bands of at most so many rows, as equal as they can be."""
        count = -(-self.height // rows)
        each = align(-(-self.height // count), self.unit)
        for first in range(0, self.height, each):
            yield first, min(first + each, self.height)

    def source_rows(self, band: Rows) -> Rows:
        """Return the rows of the source that a band reads, at least one."""
        step, window = self.whole, self.whole.window
        first = band[0] * window.stride[0] - window.pads[0]
        last = (align(band[1], self.unit) - 1) * window.stride[0] - window.pads[0]
        last += (window.kernel[0] - 1) * window.dilation[0]
        top = min(max(first, 0), step.source.height - 1)
        return top, max(min(last + 1, step.source.height), top + 1)

    def residual_rows(self, band: Rows) -> Rows:
        """Return the rows of the residual's map that a band reads."""
        assert isinstance(self.whole, Compute)
        assert self.whole.residual is not None
        stride = self.whole.residual.stride[0]
        return band[0] * stride, (band[1] - 1) * stride + 1

    @property
    def adds_source(self) -> bool:
        """Whether the residual is the source, and every band reads the rows that it adds."""
        step = self.whole
        if self.source != self.residual or not isinstance(step, Compute) or step.residual is None:
            return False
        window = step.window
        reach = (window.kernel[0] - 1) * window.dilation[0]
        return step.residual.stride[0] == window.stride[0] and 0 <= window.pads[0] <= reach

    def pad_top(self, band: Rows, rows: Rows) -> int:
        """Return how many rows above the rows of the source the first window of a band begins."""
        window = self.whole.window
        above = rows[0] - (band[0] * window.stride[0] - window.pads[0])
        reach = (band[1] - band[0] - 1) * window.stride[0] + (window.kernel[0] - 1) * window.dilation[0] + 1
        return above if above >= 0 else reach  # a band below the map reads nothing of it


class Banding:
    """Decides which maps lie outside, and makes the steps.

    Args:
        homes: the maps of the network.
        layers: in order.
        load: of the whole image.
        config: the engine.
        words: that the banks have for maps.
    """

    def __init__(
        self,
        homes: Homes,
        layers: Sequence[Layer],
        load: Load,
        config: EngineConfig,
        words: int,
    ) -> None:
        self.homes, self.layers, self.load, self.config, self.words = homes, layers, load, config, words
        self.inside = dict(homes.lives)
        self.bases: dict[str, int] = {}
        self.rows: dict[int, int] = {}  # of the bands of each layer that has some, by its time
        self._choose()
        outside = {root for root in homes.lives if root not in self.inside and root != load.tensor}
        self.external = external_maps(homes, outside, config)
        self.places = homes.places(self.bases)

    def steps(self) -> Iterator[Step]:
        """Yield the steps of the pass, without that which stores the results."""
        first = True
        if self.load.tensor in self.inside:
            yield replace(self.load, out=self.places[self.load.tensor], ahead="")
            first = False
        for layer in self.layers:
            for step in self._layer(layer):
                if isinstance(step, Load):
                    step, first = replace(step, fills_tables=first), False
                yield step

    def _choose(self) -> None:
        """Move the largest maps outside until the others fit, and a band of every layer beside them.

        Raises:
            DoesNotFitError: a band of one layer does not fit alone.
        """
        while True:
            self.bases = pack(self.inside, self.homes.sizes)
            full = [root for root, base in self.bases.items() if base + self.homes.sizes[root] > self.words]
            if full:
                load = {time: sum(self.homes.sizes[root] for root in self._living(time)) for time in self._times()}
                over = max(load, key=lambda time: load[time])
                self._evict(self._living(over) if load[over] > self.words else full)
            elif (narrow := self._divide()) is None:
                return
            else:
                self._make_room(narrow)

    def _divide(self) -> Layer | None:
        """Choose the rows of every layer's bands; return the first layer of which not one band fits, None if all do."""
        self.rows = {}
        for layer in self.layers:
            if self._moved(layer):
                self.rows[layer.time] = self._most_rows(layer)
                if not self.rows[layer.time]:
                    return layer
        return None

    def _times(self) -> list[int]:
        return [-1, *(layer.time for layer in self.layers)]

    def _living(self, time: int) -> list[str]:
        return [root for root, (first, last) in self.inside.items() if first <= time <= last]

    def _evict(self, roots: Sequence[str]) -> None:
        del self.inside[max(roots, key=lambda root: (self.homes.sizes[root], root))]

    def _make_room(self, layer: Layer) -> None:
        living = self._living(layer.time)
        if not living:
            least = layer.unit if layer.height > layer.unit else layer.height
            needed = sum(self._sizes(layer, least).values())
            raise DoesNotFitError(
                f"a band of {least} of the {layer.height} output rows of '{layer.whole.name}' needs {needed:,} words "
                f"of {self.config.sub_row} channels in the banks, which have {self.words:,}: take deeper banks, "
                "smaller images or a smaller network"
            )
        self._evict(living)

    def _root(self, tensor: str) -> str:
        return self.homes.home[tensor][0]

    def _is_outside(self, tensor: str | None) -> bool:
        return tensor is not None and self._root(tensor) not in self.inside

    def _moved(self, layer: Layer) -> tuple[str, ...]:
        """Return which operands of a layer need a buffer: "source", "residual", "out"."""
        out = None if isinstance(layer.whole.out, ResultPlace) else layer.whole.tensor
        operands = {"source": layer.source, "residual": None if layer.adds_source else layer.residual, "out": out}
        return tuple(name for name, tensor in operands.items() if self._is_outside(tensor))

    def _sizes(self, layer: Layer, rows: int) -> dict[str, int]:
        """Return the words of a layer's buffers for bands of so many rows."""
        each: dict[str, int] = {}
        for band in layer.bands(rows):
            for name, words in self._words(layer, band).items():
                each[name] = max(each.get(name, 0), words)
        return each

    def _words(self, layer: Layer, band: Rows) -> dict[str, int]:
        """Return the words of a band's rows in each buffer."""
        step, found = layer.whole, {}
        for name in self._moved(layer):
            if name == "out":
                assert isinstance(step.out, BankPlace)
                found[name] = (band[1] - band[0]) * step.out.width * step.out.words
            elif name == "source":
                first, last = self._brought(layer.source, layer.source_rows(band))
                found[name] = (last - first) * step.source.width * step.source.words
            else:
                assert isinstance(step, Compute)
                assert step.residual is not None
                assert layer.residual is not None
                first, last = self._brought(layer.residual, layer.residual_rows(band))
                found[name] = (last - first) * step.residual.source.width * step.residual.source.words
        return found

    def _brought(self, tensor: str, rows: Rows) -> Rows:
        """Return the rows that a fill or load brings: a load begins at a beat."""
        first = rows[0]
        if self._root(tensor) == self.load.tensor:
            while first * self.load.image.row_bytes % self.config.bus_bytes:
                first -= 1
        return first, rows[1]

    def _most_rows(self, layer: Layer) -> int:
        """Return the most rows of a band whose buffers fit beside the maps that live meanwhile, 0 if none do."""
        low, high = 0, -(-layer.height // layer.unit)
        while low < high:
            middle = (low + high + 1) // 2
            if self._buffers(layer, middle * layer.unit) is None:
                high = middle - 1
            else:
                low = middle
        return low * layer.unit

    def _buffers(self, layer: Layer, rows: int) -> dict[str, int] | None:
        """Return where a layer's buffers lie between the maps that live meanwhile, None if they do not fit."""
        sizes = self._sizes(layer, rows)
        taken = sorted(
            (self.bases[root], self.bases[root] + self.homes.sizes[root]) for root in self._living(layer.time)
        )
        for order in permutations(sizes):
            bases = _first_fit({name: sizes[name] for name in order}, taken, self.words)
            if bases is not None:
                return bases
        return None

    def _layer(self, layer: Layer) -> Iterator[Step]:
        if layer.time not in self.rows:
            for step in layer.steps:
                yield self._placed(layer, step)
            return
        buffers = self._buffers(layer, self.rows[layer.time])
        assert buffers is not None
        for band in layer.bands(self.rows[layer.time]):
            yield from self._band(layer, band, buffers)

    def _placed(self, layer: Layer, step: Computing) -> Computing:
        """Return a step on the maps where they lie on the chip."""
        out = step.out if isinstance(step.out, ResultPlace) else self.places[step.tensor]
        source = replace(step.source, base=self.places[layer.source].base)
        if isinstance(step, Pool):
            assert isinstance(out, BankPlace)
            return replace(step, source=source, out=out)
        residual = step.residual
        if residual is not None:
            assert layer.residual is not None
            residual = replace(residual, source=self.places[layer.residual])
        return replace(step, source=source, out=out, residual=residual)

    def _band(self, layer: Layer, band: Rows, buffers: Mapping[str, int]) -> Iterator[Step]:
        """Yield the steps of one band: its rows in, what it computes, its rows out."""
        whole, rows = layer.whole, layer.source_rows(band)
        source = yield from self._operand(layer.source, whole.source, rows, buffers.get("source"))
        residual = None
        if isinstance(whole, Compute) and whole.residual is not None:
            assert layer.residual is not None
            added = layer.residual_rows(band)
            if layer.adds_source:
                place = source.rows(added[0] - rows[0], added[1] - added[0])
            else:
                place = yield from self._operand(layer.residual, whole.residual.source, added, buffers.get("residual"))
            residual = replace(whole.residual, source=place)
        height = band[1] - band[0]
        out: BankPlace | ResultPlace
        if "out" in buffers:
            assert isinstance(whole.out, BankPlace)
            out = replace(whole.out, base=buffers["out"], height=height, pixel_words=whole.out.words)
        elif isinstance(whole.out, ResultPlace):
            out = whole.out.rows(band[0], height)
        else:
            out = self.places[whole.tensor].rows(band[0], height)
        for step in layer.steps:
            top, bottom = max(step.region.top, band[0]), min(step.region.top + step.region.height, band[1])
            if top >= bottom:
                continue
            made = replace(
                step,
                source=source,
                region=Region(top - band[0], step.region.left, bottom - top, step.region.width),
                window=replace(step.window, pads=(layer.pad_top(band, rows), step.window.pads[1])),
                top=band[0],
            )
            if isinstance(made, Compute):
                yield replace(made, out=out, residual=residual)
            else:
                assert isinstance(out, BankPlace)
                yield replace(made, out=out)
        if "out" in buffers:
            assert isinstance(out, BankPlace)
            yield Spill(whole.tensor, out, band[0], self.external[whole.tensor].place)

    def _operand(
        self, tensor: str, place: BankPlace, rows: Rows, buffer: int | None
    ) -> Generator[Step, None, BankPlace]:
        """Yield the steps that bring rows of an operand, and return where the rows lie."""
        first, count = rows[0], rows[1] - rows[0]
        if buffer is None:
            return self.places[tensor].rows(first, count)
        brought = self._brought(tensor, rows)
        held = replace(place, base=buffer, height=brought[1] - brought[0], pixel_words=place.words)
        if self._root(tensor) == self.load.tensor:
            yield replace(self.load, out=held, first_row=brought[0], ahead="")
        else:
            for part in self._parts(tensor):
                offset = part.offset - self.homes.home[tensor][1]
                out = replace(held, base=buffer + offset, words=part.words, channel=())
                yield Fill(part.tensor, part.place, brought[0], out)
        return held.rows(first - brought[0], count)

    def _parts(self, tensor: str) -> list[ExternalMap]:
        """Return the maps outside that together are a tensor."""
        root, first = self.homes.home[tensor]
        last = first + self.homes.layouts[tensor].words
        return [part for part in self.external.values() if part.root == root and first <= part.offset < last]


def _first_fit(sizes: Mapping[str, int], taken: Sequence[tuple[int, int]], words: int) -> dict[str, int] | None:
    """Return the lowest free words of some buffers, in order, between what is taken; None if they do not fit."""
    intervals = [*taken]
    bases = {}
    for name, size in sizes.items():
        base = 0
        for start, end in intervals:
            if base + size <= start:
                break
            base = max(base, end)
        if base + size > words:
            return None
        bases[name] = base
        intervals = sorted([*intervals, (base, base + size)])
    return bases
