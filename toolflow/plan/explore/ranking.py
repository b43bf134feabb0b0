"""Rank the engine shapes of a network by its demand, and find those worth timing in each share of a board."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import DoesNotFitError
from toolflow.plan.boards.board import Board
from toolflow.plan.explore.bank_options import BankOptions
from toolflow.plan.explore.demand import Demand, LayerCost, demand
from toolflow.plan.explore.one_image import layouts_tried, striped
from toolflow.plan.explore.shapes import LANES_P, SizedEngine, UnitRequest, allowed_shapes, form_of
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.estimate import LaneAmounts

# Budgets of one unit of a pair: its share of LUTs, flip-flops and memories, and its share of DSPs.
LOGIC_SHARES = (1.0, 0.9, 0.8, 0.75, 0.7, 0.6, 0.55, 0.4, 0.25, 0.2, 0.12)
DSP_SHARES = (1.0, 0.9, 0.8, 0.7, 0.4, 0.2, 0.15, 0.1, 0.05)
PER_BUDGET = 3  # number of shapes that are timed for each budget
CLEARLY = 1.1  # times the cycles of the fastest: such shapes are not worth a schedule


@dataclass(frozen=True)
class RankedShape:
    """A shape with memory depths, and the cycles per image of its array and drain.

    Attributes:
        column: the shape with another number of lanes.
        resources: what the shape takes.
        in_fabric: what a lane takes more if its products are made of LUTs, less than 0 of DSP blocks; None if they
            cannot be.
    """

    column: EngineConfig
    lanes_p: int
    cycles_per_image: float
    resources: ResourceCount
    in_fabric: ResourceCount | None

    @property
    def config(self) -> EngineConfig:
        """The shape, all of its lanes with DSP blocks if its column has any."""
        return self.column.model_copy(update={"lanes_p": self.lanes_p})

    def within(self, budget: ResourceCount) -> SizedEngine | None:
        """Return the shape if it fits, with so few lanes in LUTs as the DSP blocks leave, or None."""
        amounts, lanes = self.resources, self.column.fabric_lanes
        if amounts.luts > budget.luts:
            return None
        if (lacking := amounts.dsps - budget.dsps) > 0 and self.in_fabric:
            pack_p = self.column.pack_p
            lanes = math.ceil(lacking / -self.in_fabric.dsps / pack_p) * pack_p
            amounts += self.in_fabric * lanes
        if lanes >= self.lanes_p or not amounts.fits(budget):
            return None
        shape = self.column.model_copy(update={"lanes_p": self.lanes_p, "fabric_lanes": lanes})
        return SizedEngine(shape, amounts)


def rank_shapes(request: UnitRequest, board: Board) -> list[RankedShape]:
    """Return the allowed shapes, fastest first, whether they fit the board or not.

    Of two that are equally fast, the one that drains fewer channels comes first, then the one without UltraRAM.
    Those with too many DSP blocks are left out, if others remain.

    Banks that do not hold all maps are as deep as the board allows; their layers run in bands of rows.

    Raises:
        DoesNotFitError: no banks hold a band of one layer.
        ToolflowError: the parameters that the user fixed allow no shape.
    """
    r, ranking, usable = request, _Ranking(request, board), board.usable
    # What is equal but for the lanes is packed alike where the lanes are odd, or where they are even.
    given = ranking.fixed.keys() & {"lanes_p", "fabric_lanes"}
    columns = allowed_shapes(
        r.weight_bits, r.activation_bits, r.multipliers, ranking.fixed, board, form_of(r, board),
        None if given else (1, 2),
    )  # fmt: skip
    bounded: list[_Bounded] = []
    for shape in columns:
        lanes = (shape.lanes_p,) if given else tuple(n for n in LANES_P if n % 2 == shape.lanes_p % 2)
        bounded += ranking.bounded(shape, lanes)
    bounded.sort(key=lambda each: each.cycles)
    ranked: list[RankedShape] = []
    for stripes in (False, True):
        ranked += ranking.ranked([each for each in bounded if each.stripes is stripes], ranked)
    possible = [shape for shape in ranked if shape.cycles_per_image < math.inf and shape.within(usable)]
    if not possible:
        _refuse_bands(request, board, ranking.demands, ranking.deepest)
    return sorted(
        possible or ranked,
        key=lambda r: (
            *(r.cycles_per_image, r.column.drain_k, r.column.lanes_k * r.lanes_p * r.column.slots),
            r.column.bank_memory,
        ),
    )


class _Bounded(NamedTuple):
    """A shape before its memories are known, with the least cycles that an image takes.

    Attributes:
        cycles: of an image, at least.
        column, lanes_p: as in `RankedShape`, without stripes.
        pace: what the cycles of a lane depend on.
        stripes: whether one image lies in all lanes.
    """

    cycles: float
    column: EngineConfig
    lanes_p: int
    pace: tuple[int, ...]
    stripes: bool


class _Fastest:
    """The fastest shapes so far of every share of a board.

    Args:
        budgets: the shares.
        count: shapes of each that must be known before others are ruled out.
        ranked: shapes that count too.
    """

    def __init__(self, budgets: Sequence[ResourceCount], count: int, ranked: Iterable[RankedShape]) -> None:
        self._budgets, self._count = budgets, count
        self._cycles: list[dict[EngineConfig, float]] = [{} for _ in budgets]  # whatever memory the banks are in
        self._slowest = [math.inf] * len(budgets)  # of so many
        self.slowest = math.inf
        for shape in ranked:
            self.add(shape)

    def add(self, shape: RankedShape) -> None:
        """Count a shape in every share that it fits."""
        cycles = shape.cycles_per_image
        if cycles >= self.slowest:
            return
        for n, budget in enumerate(self._budgets):
            if cycles < self._slowest[n] and (sized := shape.within(budget)):
                known = self._cycles[n]
                key = sized.config.model_copy(update={"bank_memory": "block"})
                known[key] = min(cycles, known.get(key, math.inf))
                if len(known) > self._count:
                    del known[max(known, key=lambda each: known[each])]
                if len(known) == self._count:
                    self._slowest[n] = max(known.values())
        self.slowest = max(self._slowest)

    def rules_out(self, cycles: float) -> bool:
        """Return whether a shape that takes at least so many cycles is clearly slower in every share."""
        return cycles > CLEARLY * self.slowest


class _Ranking:
    """The costs of a network's shapes on a board; what several shapes share is counted once.

    Bands, and an image in all lanes, take a schedule for each depth of the banks and each number of lanes, which takes
    long. Shapes are therefore ranked in the order of the least cycles that they can take, and left out where that is
    clearly more than the cycles of others.

    Attributes:
        fixed: engine parameters that the user fixed, without the layout.
        demands: of the network, by the form of words.
        deepest: words of the banks that the board holds at most, by the form of words.
    """

    def __init__(self, request: UnitRequest, board: Board) -> None:
        given = request.fixed or {}
        self.fixed = {name: value for name, value in given.items() if name != "stripes"}
        self.demands: dict[tuple[int, bool, int], Demand] = {}
        self.deepest: dict[tuple[int, bool, int], int] = {}
        self._request, self._board, self._usable = request, board, board.usable
        self._layouts = layouts_tried(given)
        self._costs: dict[tuple[int, ...], tuple[LayerCost, ...]] = {}  # of each layer, whatever lanes_p is
        self._paces: dict[tuple[int, ...], tuple[dict[str, int], float]] = {}  # depths and cycles, whatever lanes_p is
        self._least: dict[tuple[int, ...], list[float]] = {}  # cycles of one image in all of so many lanes
        self._sizes: dict[tuple[int | str, ...], LaneAmounts] = {}
        self._options: dict[tuple[int | str, ...], BankOptions] = {}
        self._streams: dict[tuple[tuple[int, ...], int], float] = {}  # bytes of weights in a pass, with banks so deep

    def bounded(self, shape: EngineConfig, lanes: Sequence[int]) -> Iterator[_Bounded]:
        """Yield a shape with each number of lanes: with an image in each, and with one in all of them."""
        words = shape.sub_row, shape.gather, shape.index_k
        pace = *words, shape.lanes_k, shape.slots, shape.drain_k, shape.transform_cycles
        if words not in self.demands:
            self.demands[words] = demand(self._request.graph, shape)
        asked = self.demands[words]
        if pace not in self._paces:
            self._paces[pace] = asked.depths(shape), asked.cycles_per_pass(shape) + asked.port_cycles_per_pass(shape)
        depths, cycles = self._paces[pace]
        column = shape.model_copy(update=depths)
        if False in self._layouts:
            for lanes_p in lanes:
                images = self._request.batch or lanes_p
                yield _Bounded(-(-images // lanes_p) * cycles / images, column, lanes_p, pace, False)
        if True in self._layouts:
            several = [n for n in lanes if n > 1]
            if pace not in self._costs:
                self._costs[pace] = asked.layer_costs(shape)
            if (key := (*pace, *several)) not in self._least:
                self._least[key] = asked.least_cycles(self._costs[pace], several)
            for lanes_p, least in zip(several, self._least[key], strict=True):
                yield _Bounded(least, column, lanes_p, pace, True)

    def ranked(self, bounded: Iterable[_Bounded], others: Sequence[RankedShape]) -> Iterator[RankedShape]:
        """Yield shapes of one layout, without those that others are clearly faster than.

        Args:
            bounded: the shapes, in the order of their cycles.
            others: ranked shapes, which count too.
        """
        budgets = budgets_of(self._usable, self._request.alone)
        fastest = _Fastest(budgets, 1 if others else PER_BUDGET, others)
        logic = replace(self._usable, block_rams=math.inf, urams=math.inf)  # whatever its banks take
        for each in bounded:
            if fastest.rules_out(each.cycles):
                return
            size, options = self._size(each), self._bank_options(each)
            amounts = size.of(each.lanes_p, each.column.fabric_lanes)
            in_fabric = None if "fabric_lanes" in self.fixed else size.in_fabric
            shape = RankedShape(each.column, each.lanes_p, each.cycles, amounts, in_fabric)
            least = replace(shape, resources=amounts + options.at(1).saved * -each.lanes_p)
            if least.within(logic):
                shape = (self._in_stripes if each.stripes else self._image_in_each_lane)(each, shape, options, fastest)
            elif each.stripes:
                column = each.column.model_copy(update={"stripes": True})
                shape = replace(shape, column=column, cycles_per_image=math.inf)
            if each.stripes and fastest.rules_out(shape.cycles_per_image):
                continue  # another one in stripes may be faster, and left out
            fastest.add(shape)
            yield shape

    def _size(self, each: _Bounded) -> LaneAmounts:
        column = each.column
        size = (
            *(*each.pace, column.multiplier, column.dsp_primitive),
            *(column.pack_k, column.pack_p, column.chain, column.bank_memory),
        )
        if size not in self._sizes:
            self._sizes[size] = LaneAmounts(column, self._board.family)
        return self._sizes[size]

    def _bank_options(self, each: _Bounded) -> BankOptions:
        column = each.column
        bank = column.bank_depth, column.granule, column.sub_row, column.bank_memory
        if bank not in self._options:
            self._options[bank] = BankOptions(column, self._board.family)
        return self._options[bank]

    def _in_stripes(self, each: _Bounded, shape: RankedShape, options: BankOptions, fastest: _Fastest) -> RankedShape:
        """Return a shape with one image in all lanes."""
        asked = self.demands[each.column.sub_row, each.column.gather, each.column.index_k]
        found = striped(
            asked, self._costs[each.pace], each.column, each.lanes_p, shape.resources, options, self._board,
            fastest.rules_out,
        )  # fmt: skip
        return replace(shape, column=found.column, cycles_per_image=found.cycles, resources=found.amounts)

    def _image_in_each_lane(
        self, each: _Bounded, shape: RankedShape, options: BankOptions, fastest: _Fastest
    ) -> RankedShape:
        """Return a shape whose banks are as deep as the network needs, or as the board allows."""
        column, lanes_p = each.column, each.lanes_p
        words = column.sub_row, column.gather, column.index_k
        banks = options.most(lanes_p, shape.resources, self._usable)
        if banks is not None:
            self.deepest[words] = max(self.deepest.get(words, 0), banks.depth)
        if banks is None or (moves := self.demands[words].moves(banks.depth)) is None:
            return shape
        if (each.pace, banks.depth) not in self._streams:
            self._streams[each.pace, banks.depth] = self.demands[words].row_bytes_per_pass(column, moves)
        images = self._request.batch or lanes_p
        traffic = -(-images // lanes_p) * self._streams[each.pace, banks.depth] / images + moves.bytes_of(column)
        return replace(
            shape,
            column=column.model_copy(update={"bank_depth": banks.depth}),
            cycles_per_image=max(each.cycles + moves.cycles, traffic / self._board.sustained_bytes_per_cycle),
            resources=shape.resources + banks.saved * -lanes_p,
        )


def budgets_of(usable: ResourceCount, alone: bool) -> list[ResourceCount]:
    """Return the shares of a board that a unit may take: all of it if it is alone."""
    return [
        ResourceCount(
            usable.luts * logic,
            usable.flip_flops * logic,
            usable.dsps * dsp,
            usable.block_rams * logic,
            usable.urams * logic,
        )
        for logic, dsp in ([(1.0, 1.0)] if alone else product(LOGIC_SHARES, DSP_SHARES))
    ]


def _refuse_bands(
    request: UnitRequest,
    board: Board,
    demands: Mapping[tuple[int, bool, int], Demand],
    deepest: Mapping[tuple[int, bool, int], int],
) -> None:
    """Refuse a network if one of its layers is why no shape fits: the deepest banks do not hold a band of it.

    Args:
        request: the requirements.
        board: the board.
        demands: of the network, by the form of words.
        deepest: words of the deepest banks that the board holds, by the form of words.

    Raises:
        DoesNotFitError: the message names the layer.
    """
    most = max(deepest, key=lambda words: deepest[words] * words[0], default=None)
    if most is None:
        return
    try:
        demands[most].scheduler.schedule(deepest[most])
    except DoesNotFitError as error:
        raise DoesNotFitError(
            f"'{request.graph.name}' ({request.graph.variant}) does not fit {board.name}, not even in bands of rows: "
            f"{error}"
        ) from error


def worth_timing(ranked: list[RankedShape], usable: ResourceCount, alone: bool = False) -> list[EngineConfig]:
    """Return the fastest shapes of every budget, each once, or the closest shapes if none fits the board.

    A shape is left out if another one is no slower and takes no more of any resource.

    If the unit is alone, the whole board is the only budget. A shape's banks are in UltraRAM only if the block RAM of
    the budget cannot hold them.
    """
    chosen: dict[EngineConfig, tuple[float, SizedEngine]] = {}
    for budget in budgets_of(usable, alone):
        found: dict[EngineConfig, tuple[float, SizedEngine]] = {}
        for shape in ranked:
            if len(found) == PER_BUDGET:
                break
            if sized := shape.within(budget):
                found.setdefault(
                    sized.config.model_copy(update={"bank_memory": "block"}), (shape.cycles_per_image, sized)
                )
        chosen.update({sized.config: (cycles, sized) for cycles, sized in found.values()})
    if not chosen:
        nearest = sorted(ranked, key=lambda r: max(r.resources.shares(usable).values()))
        return [r.config for r in nearest[:PER_BUDGET]]
    kept: list[SizedEngine] = []
    for _, sized in sorted(chosen.values(), key=lambda each: each[0]):
        if not any(faster.resources.fits(sized.resources) for faster in kept):
            kept.append(sized)
    return [sized.config for sized in kept]
