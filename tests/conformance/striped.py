"""Schedules in stripes, made by hand: each map has words of its own, and each layer is treated alone.

It follows PROGRAM.md and the docstrings of the steps, not the planner's schedule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from toolflow.engine.config import EngineConfig
from toolflow.engine.places import BankPlace, ExternalPlace, Region, Stripes, align, map_row_bytes
from toolflow.engine.steps import Compute, Fill, Pool, Shift, Spill, Step, with_windows
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.schedule.compute import residual_tensor
from toolflow.plan.schedule.schedule import Schedule, make_schedule

Computing = Compute | Pool


@dataclass(frozen=True)
class Choice:
    """How to stripe a network.

    Attributes:
        rows: R of the image.
        loads: whether the image is loaded in stripes; else it is loaded into lane 0, spilled and filled.
        shifts: whether halo comes from the neighbour; else the map is spilled and filled.
    """

    rows: int
    loads: bool = True
    shifts: bool = True


@dataclass(frozen=True)
class Placed:
    """A map: its place, and its stripes and rows below its own ones if it has some."""

    place: BankPlace
    stripes: Stripes | None = None
    below: int = 0

    @property
    def own(self) -> BankPlace:
        """A lane's own rows."""
        return self.place if self.stripes is None else self.place.rows(self.stripes.above, self.stripes.rows)

    @property
    def own_stripes(self) -> Stripes | None:
        return self.stripes and replace(self.stripes, above=0)


def striped_schedule(graph: QuantisedGraph, config: EngineConfig, choice: Choice) -> tuple[Schedule, int]:
    """Return the schedule, and how many layers run in stripes.

    Layers do as long as rows and lanes allow it; the others run in image layout.
    """
    base = make_schedule(graph, config.model_copy(update={"stripes": False}))
    striper = _Striper(replace(base, config=config), choice)
    steps = with_windows(striper.steps())
    return replace(striper.base, steps=steps), striper.count


class _Striper:
    def __init__(self, base: Schedule, choice: Choice) -> None:
        self.base, self.graph, self.config, self.choice = base, base.graph, base.config, choice
        self.words = self.bytes = self.count = 0
        self.maps: dict[str, Placed] = {}
        self.whole: dict[str, Placed] = {}  # maps in stripes that were brought to image layout
        self.outside: dict[str, ExternalPlace] = {}

    def steps(self) -> Iterator[Step]:
        load = self.base.load
        height = load.out.height
        fits = self.choice.rows * self.config.lanes_p >= height
        halo = self._halo(load.tensor, self.choice.rows)
        if not fits:
            self.maps[load.tensor] = Placed(self._new(load.out, height))
            yield replace(load, out=self.maps[load.tensor].place, ahead="")
        else:
            stripes = Stripes(height, self.choice.rows, halo[0])
            self.maps[load.tensor] = placed = self._striped(load.out, stripes, halo[1])
            if self.choice.loads and load.image.row_bytes % self.config.bus_bytes == 0:
                yield replace(load, out=placed.place, ahead="", stripes=stripes, first_row=-halo[0])
            else:
                self.whole[load.tensor] = Placed(self._new(load.out, height))
                yield replace(load, out=self.whole[load.tensor].place, ahead="")
                yield Spill(load.tensor, self.whole[load.tensor].place, 0, self._outside(load.tensor, load.out))
                yield self._fill(load.tensor)
        for step in self.base.steps[1:-1]:
            assert isinstance(step, Computing)
            yield from self._layer(step)
        yield self.base.steps[-1]

    def _layer(self, step: Computing) -> Iterator[Step]:
        source, added = self._sources(step)
        rows = self._rows(step)
        if rows is not None and isinstance(step.out, BankPlace):
            self.count += 1
            yield from self._in_stripes(step, rows, self._halo(step.tensor, rows))
            return
        for tensor in filter(None, (source, added)):
            if self.maps[tensor].stripes is not None and tensor not in self.whole:
                yield from self._to_whole(tensor)
        if isinstance(step.out, BankPlace) and step.tensor not in self.maps:
            self.maps[step.tensor] = Placed(self._new(step.out, step.out.height))
        made = replace(step, source=self._whole(source))
        if isinstance(made, Compute) and made.residual is not None:
            assert added is not None
            made = replace(made, residual=replace(made.residual, source=self._whole(added)))
        if isinstance(step.out, BankPlace):
            made = replace(made, out=self.maps[step.tensor].place)
        yield made

    def _in_stripes(self, step: Computing, rows: int, halo: tuple[int, int]) -> Iterator[Step]:
        source, added = self._sources(step)
        read = self.maps[source]
        assert isinstance(step.out, BankPlace)
        assert read.stripes is not None
        out = self.maps[step.tensor] = self._striped(step.out, Stripes(step.out.height, rows, halo[0]), halo[1])
        pad, reach = step.window.pads[0], _reach(step)
        seen = replace(read.stripes, above=pad)
        last = (step.out.height - 1) * step.window.stride[0] - pad + reach - 1
        unmasked = rows % 2 == 1 and pad == 0 and last < read.stripes.height  # it may have a mask, and need not
        made = replace(
            step,
            source=read.place.rows(read.stripes.above - pad, (rows - 1) * step.window.stride[0] + reach),
            out=out.own,
            region=Region(0, 0, rows, step.out.width),
            window=replace(step.window, pads=(0, step.window.pads[1])),
            stripes=None if unmasked else seen,
            out_stripes=out.own_stripes,
        )
        if isinstance(made, Compute) and made.residual is not None:
            assert added is not None
            made = replace(made, residual=replace(made.residual, source=self.maps[added].own))
        yield made
        if self.choice.shifts:
            if halo[0]:
                down = out.own.rows(rows - halo[0], halo[0])
                yield Shift(step.tensor, down, out.place.rows(0, halo[0]), up=False)
            if halo[1]:
                up = out.place.rows(halo[0] + rows, halo[1])
                yield Shift(step.tensor, out.own.rows(0, halo[1]), up, up=True)
        elif halo != (0, 0):
            yield Spill(step.tensor, out.own, 0, self._outside(step.tensor, step.out), out.own_stripes)
            yield self._fill(step.tensor)

    def _rows(self, step: Computing) -> int | None:
        """Return R of a layer's output, None if it does not run in stripes."""
        source, added = self._sources(step)
        stripes, stride = self.maps[source].stripes, step.window.stride[0]
        parts = sum(isinstance(each, Computing) and each.tensor == step.tensor for each in self.base.steps)
        if stripes is None or stripes.rows % stride or parts > 1:
            return None
        rows = stripes.rows // stride
        unit = step.tile if isinstance(step, Compute) and step.tile else 1
        if rows % unit or rows * self.config.lanes_p < step.out.height:
            return None
        if step.window.pads[0] > stripes.above or _below(step) > self.maps[source].below:
            return None
        if added is not None:
            assert isinstance(step, Compute)
            assert step.residual is not None
            beside = self.maps[added].stripes
            if beside is None or beside.rows != rows * step.residual.stride[0]:
                return None
        return rows

    def _halo(self, tensor: str, rows: int) -> tuple[int, int]:
        """Return the rows above and below that the readers of a tensor need, of those that a neighbour can supply."""
        readers = [s for s in self.base.steps if isinstance(s, Computing) and self._sources(s)[0] == tensor]
        found = [(step.window.pads[0], _below(step)) for step in readers]
        above, below = zip((0, 0), *(halo for halo in found if max(halo) <= rows), strict=True)
        return max(above), max(below)

    def _sources(self, step: Computing) -> tuple[str, str | None]:
        node = self.graph.by_name[step.tensor]
        added = isinstance(step, Compute) and step.residual is not None
        return self._seen(node.inputs[0]), self._seen(residual_tensor(self.graph, node)) if added else None

    def _seen(self, tensor: str) -> str:
        while tensor in self.graph.by_name and self.graph.by_name[tensor].op.renames:
            tensor = self.graph.by_name[tensor].inputs[0]
        return tensor

    def _new(self, place: BankPlace, height: int) -> BankPlace:
        made = replace(place, base=self.words, height=height)
        assert place.pixel_words == place.words, "operands of a concat"
        self.words += height * place.row_words
        return made

    def _striped(self, place: BankPlace, stripes: Stripes, below: int) -> Placed:
        return Placed(self._new(place, stripes.above + stripes.rows + below), stripes, below)

    def _whole(self, tensor: str) -> BankPlace:
        return (self.whole.get(tensor) or self.maps[tensor]).place

    def _outside(self, tensor: str, place: BankPlace) -> ExternalPlace:
        """Return where a whole map lies in memory."""
        if tensor not in self.outside:
            size = place.height * map_row_bytes(place, self.config)
            self.outside[tensor] = ExternalPlace(self.bytes, size)
            self.bytes += align(size, self.config.bus_bytes)
        return self.outside[tensor]

    def _fill(self, tensor: str) -> Fill:
        placed = self.maps[tensor]
        assert placed.stripes is not None
        return Fill(tensor, self.outside[tensor], -placed.stripes.above, placed.place, placed.stripes)

    def _to_whole(self, tensor: str) -> Iterator[Step]:
        placed = self.maps[tensor]
        assert placed.stripes is not None
        height = placed.stripes.height
        self.whole[tensor] = Placed(self._new(placed.place, height))
        outside = self._outside(tensor, self.whole[tensor].place)
        yield Spill(tensor, placed.own, 0, outside, placed.own_stripes)
        yield Fill(tensor, outside, 0, self.whole[tensor].place)


def _below(step: Computing) -> int:
    """Return the rows that a layer reads below a lane's own ones."""
    return _reach(step) - step.window.pads[0] - step.window.stride[0]


def _reach(step: Computing) -> int:
    return (step.window.kernel[0] - 1) * step.window.dilation[0] + 1
