"""Choose an engine with two precisions for both networks of a cascade: the morphing pair.

The low-precision network is its narrow program, the high-precision one its wide program, and they run in turn: an image
takes t_low + p·t_high, where p is the forwarded share. Every shape takes as many lanes as the board has room for; the
fastest by the networks' demand are timed by the cycle model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from toolflow.engine.config import COLUMNS, FITTED, EngineConfig, operands_of
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.packing import longest_chains
from toolflow.plan.boards.board import Board
from toolflow.plan.explore.choose import Candidate, candidate_of, size_of, smallest_of_fastest
from toolflow.plan.explore.demand import Demand, demand
from toolflow.plan.explore.objective import in_turn_cycles
from toolflow.plan.explore.shapes import Form, allowed_shapes
from toolflow.plan.resources.estimate import LaneAmounts
from toolflow.plan.resources.family import family_of
from toolflow.plan.schedule.schedule import make_schedule
from toolflow.plan.schedule.two_precisions import fit_both, require_alike

NARROW_BITS = 4
LANES_P = tuple(range(128, 0, -2))
TIMED = 8  # shapes that are timed by the cycle model
_FIXED: Mapping[str, int | str] = {
    "weight_bits": 2 * NARROW_BITS, "activation_bits": 2 * NARROW_BITS, "narrow_bits": NARROW_BITS,
    "multiplier": "dsp", "pack_k": 2, "pack_p": 1, "gather": False, "index_k": 1, "tile": 0, "fabric_lanes": 0,
}  # fmt: skip
_NEEDS, _ELSE = "a morphing pair needs", "take a resident pair (--cascade) or a single unit"
Pair = tuple[Candidate, Candidate]


@dataclass(frozen=True)
class MorphingRequest:
    """The requirements of a morphing pair.

    Attributes:
        low, high: the networks of the narrow and of the wide programs.
        low_bits, high_bits: widths of their inner layers.
        forwarded_share: share of the images that the wide program computes too.
        fixed: engine parameters that the user fixed.
        batch: images of a start; None for full passes.
    """

    low: QuantisedGraph
    high: QuantisedGraph
    low_bits: int
    high_bits: int
    forwarded_share: float
    fixed: Mapping[str, int | str]
    batch: int | None = None


def best_morphing(request: MorphingRequest, board: Board, progress: Callable[[int], None] = lambda _: None) -> Pair:
    """Return the fastest engine with two precisions, as its low- and as its high-precision program see it.

    Args:
        request: the networks and what the user fixed.
        board: the board that the engine must fit.
        progress: called for each engine that is timed.

    Raises:
        DoesNotFitError: the board, the widths or the networks allow no such engine; the text says what does.
        ToolflowError: the networks differ, or parameters that the user fixed contradict an engine with two precisions.
    """
    require_morphing(request.low_bits, request.high_bits, board)
    require_one_network(request.low, request.high)
    timed = []
    for shape in _fastest_shapes(request, board):
        engine = fit_both(request.high, request.low, shape)
        schedules = (
            make_schedule(request.low, engine.of(narrow=True)),
            make_schedule(request.high, engine.of(narrow=False)),
        )
        low, high = (candidate_of(schedule, board, request.batch) for schedule in schedules)
        progress(1)
        if not low.resources.over(board.usable):
            timed.append((low, high))
    if not timed:
        raise DoesNotFitError(f"no engine with two precisions for both networks fits {board.name}: take a larger board")
    return smallest_of_fastest(
        timed,
        lambda pair: in_turn_cycles(pair[0].cycles_per_image, pair[1].cycles_per_image, request.forwarded_share),
        lambda pair: size_of(pair[0].resources),
    )


def morphing_if_any(
    request: MorphingRequest, board: Board, progress: Callable[[int], None] = lambda _: None
) -> Pair | None:
    """Return what `best_morphing` returns, None where it finds no engine."""
    try:
        return best_morphing(request, board, progress)
    except ToolflowError:
        return None


def require_morphing(low_bits: int, high_bits: int, board: Board) -> None:
    """Refuse a morphing pair that no engine runs, by the widths of inner layers and the board alone.

    Raises:
        DoesNotFitError: says what it needs, and what else there is.
    """
    problem = ""
    if family_of(board.family).dsp.primitive not in COLUMNS:
        problem = f"a board with {' or '.join(COLUMNS)}, and {board.name} has none"
    elif low_bits > NARROW_BITS or not NARROW_BITS < high_bits <= 2 * NARROW_BITS:
        problem = (
            f"a low-precision network of at most {NARROW_BITS} bits and a high-precision one of {NARROW_BITS + 1} to "
            f"{2 * NARROW_BITS} bits, not {low_bits} and {high_bits}"
        )
    if problem:
        raise DoesNotFitError(f"{_NEEDS} {problem}: {_ELSE}")


def require_one_network(low: QuantisedGraph, high: QuantisedGraph) -> None:
    """Refuse two networks that are not one at two precisions, or that a morphing pair does not run.

    Raises:
        DoesNotFitError: a layer has a Winograd tile.
        ToolflowError: names the first layer in which they differ.
    """
    tiled = [node.name for graph in (low, high) for node in graph.nodes if node.op.tile]
    if tiled:
        raise DoesNotFitError(f"{_NEEDS} layers without Winograd tiles, and '{tiled[0]}' has one (--tile 0): {_ELSE}")
    require_alike(high, low)
    layers = [
        [(node.name, node.weights["weight"].shape) for node in graph.nodes if node.op.has_weights]
        for graph in (low, high)
    ]
    for first, second in zip_longest(*layers):
        if first != second:
            raise ToolflowError(
                f"{_NEEDS} one network at two precisions, and these differ: {_layer(first)} in the low-precision one, "
                f"{_layer(second)} in the high-precision one: quantise both from one network, or {_ELSE}"
            )


def _layer(layer: tuple[str, tuple[int, ...]] | None) -> str:
    return "no layer" if layer is None else f"'{layer[0]}' with weights of {'x'.join(map(str, layer[1]))}"


def _fastest_shapes(request: MorphingRequest, board: Board) -> list[EngineConfig]:
    """Return the shapes that fit the board, fastest first by the demand of both networks.

    Of two that are equally fast, the one that drains fewer channels comes first, then the smaller, then the one without
    UltraRAM.
    """
    demands: dict[int, tuple[Demand, Demand]] = {}
    ranked: list[tuple[tuple[float, int, int, str], EngineConfig]] = []
    for column in _columns(request, board):
        if column.sub_row not in demands:
            demands[column.sub_row] = (
                demand(request.low, one_precision_like(column, narrow=True)),
                demand(request.high, one_precision_like(column, narrow=False)),
            )
        asked = demands[column.sub_row]
        chain = _longest_chain(column, asked[1].every_weight)
        chain = min(chain, int(request.fixed.get("chain", chain)))
        if chain == 0:
            continue
        depths = [each.depths(column) for each in asked]
        fitted = {name: max(each[name] for each in depths) for name in FITTED}
        shape = column.model_copy(update={**fitted, "chain": chain})
        cycles = [each.cycles_per_pass(shape) for each in asked]
        amounts = LaneAmounts(shape, board.family)
        lanes = (int(request.fixed["lanes_p"]),) if "lanes_p" in request.fixed else LANES_P
        fitting = [n for n in lanes if amounts.of(n).fits(board.usable)]
        for lanes_p in fitting if request.batch else fitting[:1]:
            sized = shape.model_copy(update={"lanes_p": lanes_p})
            time = _cycles_per_image(cycles, lanes_p, request)
            ranked.append(((time, sized.drain_k, sized.multipliers, sized.bank_memory), sized))
    ranked.sort(key=lambda each: each[0])
    return [shape for _, shape in ranked[:TIMED]]


def _cycles_per_image(cycles: Sequence[int], lanes_p: int, request: MorphingRequest) -> float:
    """Return the cycles per image of both programs, from those of a pass of each; a wide pass holds half as many."""
    times = []
    for each, lanes in zip(cycles, (lanes_p, lanes_p // 2), strict=True):
        images = request.batch or lanes
        times.append(-(-images // lanes) * each / images)
    return in_turn_cycles(times[0], times[1], request.forwarded_share)


def _columns(request: MorphingRequest, board: Board) -> Iterator[EngineConfig]:
    """Yield every shape that the parameters allow, with two lanes and chains of one."""
    given, wide = request.fixed, 2 * NARROW_BITS
    wrong = [
        f"{name} must be {value}, not {given[name]}"
        for name, value in _FIXED.items()
        if given.get(name, value) != value
    ]
    if int(given.get("lanes_p", 2)) % 2:
        wrong.append(f"lanes_p must be even, not {given['lanes_p']}")
    if wrong:
        raise ToolflowError(f"--engine: in the engine of a morphing pair {' and '.join(wrong)}: {_ELSE}")
    fixed = {**given, **_FIXED, "lanes_p": 2, "chain": 1}
    yield from allowed_shapes(wide, wide, ("dsp",), fixed, board, Form(0, frozenset(), ((False, 1),)))


def _longest_chain(column: EngineConfig, every_weight: bool) -> int:
    """Return the longest chain that both precisions take, 0 if there is none.

    Narrow programs hold every weight of their width. Of wide ones `every_weight` tells whether they hold the smallest.
    """
    most = column.slots
    for bits, pack_p, every in ((2 * NARROW_BITS, 1, every_weight), (NARROW_BITS, 2, True)):
        chains = longest_chains(column.dsp_primitive, bits, operands_of(bits, 0), every, weights_wide=True)
        most = min(most, chains.get((2, pack_p), 0))
    return 1 << (most.bit_length() - 1) if most else 0


def one_precision_like(engine: EngineConfig, narrow: bool) -> EngineConfig:
    """Return an engine with one precision on which a program takes as long as on one precision of `engine`."""
    bits = NARROW_BITS if narrow else 2 * NARROW_BITS
    plain = {"narrow_bits": 0, "dsp_primitive": "none", "pack_k": 1, "pack_p": 1, "chain": 1}
    return EngineConfig(**{**engine.model_dump(), **plain, "weight_bits": bits, "activation_bits": bits})
