"""Bands of rows: which maps of a network lie outside the banks, and how many rows of a layer are computed at a time.

Before: layers on whole maps. After: the largest maps lie in external memory. A layer that reads or writes one of them
runs band of rows after band: fill (or load) the rows that the band reads, compute, spill the rows made. Its buffers lie
where no map lives meanwhile, and hold as many rows as they can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

from toolflow.engine.config import EngineConfig
from toolflow.engine.places import align
from toolflow.engine.steps import Load
from toolflow.ir.errors import DoesNotFitError
from toolflow.plan.schedule.copies import Copies, Copy
from toolflow.plan.schedule.layer import Layer, Rows
from toolflow.plan.schedule.memory import image_last, pack

BLOCK_WORDS = {"block": 512, "ultra": 4096}  # of the widest memory block: fewer words of a bank save none


class Banding:
    """What lies in the banks, and where.

    Args:
        copies: the maps.
        load: of the whole image.
        config: the engine.
        words: that the banks have for maps; None if they have enough.

    Attributes:
        copies, load, config: the same.
        bases: first word of each map that lies in the banks.
        rows: of the bands of each layer that has some, by its time.
        least: words that the banks need for the maps that lie there.

    Raises:
        DoesNotFitError: a band of one layer does not fit alone.
    """

    def __init__(self, copies: Copies, load: Load, config: EngineConfig, words: int | None) -> None:
        self.copies, self.load, self.config, self.words = copies, load, config, words
        self.bases: dict[Copy, int] = {}
        self.rows: dict[int, int] = {}
        self._inside = dict(copies.lives)
        self._choose()

    @property
    def end(self) -> int:
        """The word after the last map's last one."""
        return max((base + self.copies.sizes[copy] for copy, base in self.bases.items()), default=0)

    def _choose(self) -> None:
        """Move the largest maps outside until the others fit, and a band of every layer beside them."""
        while True:
            self.bases = pack(self._inside, self.copies.sizes)
            self.least = self.end
            if self.words is None:
                self._place_image_last(align(self.end, BLOCK_WORDS[self.config.bank_memory]))
                return
            sizes, words = self.copies.sizes, self.words
            full = [copy for copy, base in self.bases.items() if base + sizes[copy] > words]
            if full:
                load = {time: sum(sizes[copy] for copy in self._living(time)) for time in self._times()}
                over = max(load, key=lambda time: load[time])
                self._evict(self._living(over) if load[over] > words else full)
            elif (narrow := self._divide()) is None:
                if not self.rows:
                    self._place_image_last(words)
                return
            else:
                self._make_room(narrow)

    def _place_image_last(self, words: int) -> None:
        """Place the image behind the maps of the last layers, if so many words hold that: the next one comes early."""
        image = self.copies.of_output(self.load.tensor)
        times = [layer.time for layer in self.copies.layers]
        if found := image_last(self._inside, self.copies.sizes, image, times, words):
            self.bases, _ = found

    def _divide(self) -> Layer | None:
        """Choose the rows of every layer's bands; return the first layer of which not one band fits, None if all do."""
        self.rows = {}
        for layer in self.copies.layers:
            if self.moved(layer):
                self.rows[layer.time] = self._most_rows(layer)
                if not self.rows[layer.time]:
                    return layer
        return None

    def _times(self) -> list[int]:
        return [-1, *(layer.time for layer in self.copies.layers)]

    def _living(self, time: int) -> list[Copy]:
        return [copy for copy, (first, last) in self._inside.items() if first <= time <= last]

    def _evict(self, copies: Sequence[Copy]) -> None:
        del self._inside[max(copies, key=lambda copy: (self.copies.sizes[copy], copy))]

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

    def moved(self, layer: Layer) -> tuple[str, ...]:
        """Return which operands of a layer need a buffer: "source", "residual", "out"."""
        touched = self.copies.touched(layer)
        if layer.adds_source:
            touched.pop("residual")
        return tuple(name for name, copy in touched.items() if copy not in self._inside)

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
        for name in self.moved(layer):
            if name == "out":
                found[name] = (band[1] - band[0]) * step.out.width * self._pixel_words(layer.whole.tensor)
            elif name == "source":
                first, last = self.brought(layer, layer.source, layer.source_rows(band))
                found[name] = (last - first) * step.source.width * step.source.words
            else:
                assert layer.residual is not None
                first, last = self.brought(layer, layer.residual, layer.residual_rows(band))
                found[name] = (last - first) * layer.added.source.width * layer.added.source.words
        return found

    def _pixel_words(self, tensor: str) -> int:
        return self.copies.homes.layouts[tensor].words

    def brought(self, layer: Layer, tensor: str, rows: Rows) -> Rows:
        """Return the rows that a fill or load brings: in image layout a load begins at a beat."""
        first = rows[0]
        if self.copies.root(tensor) == self.load.tensor and not layer.rows:
            while first * self.load.image.row_bytes % self.config.bus_bytes:
                first -= 1
        return first, rows[1]

    def _most_rows(self, layer: Layer) -> int:
        """Return the most rows of a band whose buffers fit beside the maps that live meanwhile, 0 if none do."""
        low, high = 0, -(-layer.height // layer.unit)
        while low < high:
            middle = (low + high + 1) // 2
            if self._placed(layer, middle * layer.unit) is None:
                high = middle - 1
            else:
                low = middle
        return low * layer.unit

    def buffers(self, layer: Layer) -> Mapping[str, int]:
        """Return the first words of a layer's buffers."""
        if layer.time not in self.rows:
            return {}
        placed = self._placed(layer, self.rows[layer.time])
        assert placed is not None
        return placed

    def _placed(self, layer: Layer, rows: int) -> dict[str, int] | None:
        """Return where buffers for so many rows lie between the maps that live meanwhile, None if they do not fit."""
        assert self.words is not None
        sizes = self._sizes(layer, rows)
        living = self._living(layer.time)
        taken = sorted((self.bases[copy], self.bases[copy] + self.copies.sizes[copy]) for copy in living)
        for order in permutations(sizes):
            bases = _first_fit({name: sizes[name] for name in order}, taken, self.words)
            if bases is not None:
                return bases
        return None


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
