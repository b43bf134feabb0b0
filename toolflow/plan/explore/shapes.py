"""Enumerate the engine shapes that a network, its user and a board allow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ValidationError

from toolflow.engine.config import ARRAY, COLUMNS, FITTED, EngineConfig, deepest_memories, operands_of, smallest_values
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.packing import longest_chains
from toolflow.plan.boards.board import Board
from toolflow.plan.explore.demand import demand
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.estimate import estimate_resources
from toolflow.plan.resources.family import family_of
from toolflow.plan.schedule.memory import as_map
from toolflow.plan.schedule.prepare import prepare, result_tensor

LANES_K = (4, 8, 12, 16, 24, 32, 48, 64)
LANES_P = (*range(1, 33), *range(34, 65, 2))
SLOTS = (1, 2, 4, 8, 16)
SUB_ROWS = (8, 16)
DRAIN_K = (1, 2, 4, 8)
TRANSFORM_CYCLES = (1, 2, 4)
MAX_BUS_BITS = 128
GATHER_GAIN = 1.02  # engines with gather are tried if they are so much faster


@dataclass(frozen=True)
class UnitRequest:
    """The requirements of one unit.

    Attributes:
        graph: the network.
        weight_bits, activation_bits: widths of the array.
        multipliers: kinds of multiplier to try.
        fixed: engine parameters that the user fixed.
        batch: images of a start to choose shapes for; None if every lane always has an image.
        alone: whether the unit has the whole board.
    """

    graph: QuantisedGraph
    weight_bits: int
    activation_bits: int
    multipliers: tuple[str, ...] = ("dsp",)
    fixed: Mapping[str, int | str] | None = None
    batch: int | None = None
    alone: bool = False


@dataclass(frozen=True)
class Form:
    """What a network asks of the shape of its engines.

    Attributes:
        tile: its largest Winograd tile, 0 if no layer is transformed.
        patterned: S of its patterns n:S.
        indices: values of `gather` and `index_k` to try: without gather, sparse and grouped layers take the time of
            dense ones; channels that share an index take the time of all places that any of them keeps.
        every_weight: whether a weight, or a digit of one, is the smallest that there is, which some packings exclude.
    """

    tile: int = 0
    patterned: frozenset[int] = frozenset()
    indices: tuple[tuple[bool, int], ...] = ((True, 1), (False, 1))
    every_weight: bool = False


@dataclass(frozen=True)
class SizedEngine:
    """An engine and the resources that it takes."""

    config: EngineConfig
    resources: ResourceCount


def smallest_engines(
    graph: QuantisedGraph,
    bits: int,
    multipliers: tuple[str, ...],
    fixed: Mapping[str, int | str],
    board: Board,
    dense: bool,
) -> list[SizedEngine]:
    """Return engines one of which is no larger than any engine that runs the network; only their sizes are valid.

    No memory is deeper and no register wider than the shapes of maps and weights force it to be: weights are taken as
    direct and as wide as `bits`; where some are left out, none counts. Every number of output channels is there, as few
    of them cut the banks into narrow pieces, which may take more block RAM.
    The depth of a memory is cut to what an engine may have, which no device holds.
    """
    shapes = allowed_shapes(bits, bits, multipliers, fixed, board)
    least = {name: min(getattr(shape, name) for shape in shapes) for name in ("lanes_p", "drain_k")}
    prepared = prepare(graph, least["drain_k"])
    result = result_tensor(prepared)
    words = {s: _row_words(prepared, s) for s in {shape.sub_row for shape in shapes}}
    deepest = deepest_memories()
    found = []
    for shape in shapes:
        if all(getattr(shape, name) == value for name, value in least.items()):
            depths = {
                "bank_depth": max(words[shape.sub_row], 1),
                "weight_depth": _fewest_rows(prepared, shape.slots) if dense else 1,
                "result_depth": math.prod(prepared.shapes[result]),
            }
            narrowest = {name: smallest_values()[name] for name in FITTED if name not in depths}
            held = {name: min(value, deepest[name]) for name, value in depths.items()}
            config = shape.model_copy(update={**narrowest, **held})
            found.append(SizedEngine(config, estimate_resources(config, board.family).total))
    return found


def _row_words(graph: QuantisedGraph, sub_row: int) -> int:
    """Return words that banks cannot be without: for a row that the widest layer reads, and one that it writes."""
    result = result_tensor(graph)
    found = 1
    for node in graph.nodes:
        if not node.op.hardware.is_free:
            maps = [graph.shapes[node.inputs[0]], *([graph.shapes[node.name]] if node.name != result else [])]
            found = max(found, sum(-(-channels // sub_row) * width for channels, _, width in map(as_map, maps)))
    return found


def _fewest_rows(graph: QuantisedGraph, slots: int) -> int:
    """Return the minimum weight rows of the largest group: a row holds `slots` weights of an output channel.

    Of layers that have an output channel without zeros, which may be left out, and outputs several columns wide: the
    rows of a single position need not be held.
    """
    wide = [node for node in graph.nodes if "weight" in node.weights and as_map(graph.shapes[node.name])[2] > 1]
    weights = [node.weights["weight"] for node in wide]
    full = [w.shape for w in weights if any(channel.all() for channel in w)]
    return max((math.prod(places) * -(-depth // slots) for _, depth, *places in full), default=1)


def largest_tile(graph: QuantisedGraph) -> int:
    """Return the largest Winograd tile of a network, 0 if no layer is transformed."""
    return max((node.op.tile for node in graph.nodes), default=0)


def engine_tile(graphs: Iterable[QuantisedGraph], fixed: Mapping[str, int | str]) -> int:
    """Return the largest tile of the engines that run some networks: the fixed one, or the largest of the networks."""
    return int(fixed["tile"]) if "tile" in fixed else max(map(largest_tile, graphs))


def form_of(request: UnitRequest, board: Board) -> Form:
    """Return what the network asks of the shape of its engines.

    Raises:
        ToolflowError: the network holds something that no engine runs, or no shape is allowed.
    """
    graph = request.graph
    tile = largest_tile(graph)
    patterns = {node.op.pattern for node in graph.nodes if node.op.pattern}
    patterned = frozenset(pattern.sub_row for pattern in patterns)
    gathering = tuple((True, outputs) for outputs in sorted({1, *(pattern.outputs for pattern in patterns)}))
    r = request
    one: dict[str, int | str] = {"lanes_p": 1, "slots": 1, "drain_k": 1}
    fixed = {**one, **{name: value for name, value in (r.fixed or {}).items() if name not in ARRAY | {"index_k"}}}
    fixed["dsp_primitive"] = "none"
    form = Form(tile, patterned, ((True, 1),))
    probe = allowed_shapes(r.weight_bits, r.activation_bits, r.multipliers, fixed, board, form)[0]
    plain = probe.model_copy(update={"gather": False})
    gathered, dense = demand(graph, probe), demand(graph, plain)
    times = [
        max(needs.cycles_per_pass(shape), needs.row_bytes_per_pass(shape) / board.sustained_bytes_per_cycle)
        for needs, shape in ((gathered, probe), (dense, plain))
    ]
    gains = times[1] > GATHER_GAIN * times[0]
    return Form(tile, patterned, (*gathering, (False, 1)) if gains else ((False, 1),), gathered.every_weight)


def longest_word(fixed: Mapping[str, int | str], board: Board) -> int:
    """Return the largest number of channels in a word for the board, unless a pattern requires more."""
    bus_bits = int(fixed.get("bus_bits", min(board.axi_data_bits, MAX_BUS_BITS)))
    return int(fixed.get("sub_row", min(bus_bits // 8, max(SUB_ROWS))))


def allowed_shapes(
    weight_bits: int,
    activation_bits: int,
    multipliers: tuple[str, ...],
    fixed: Mapping[str, int | str],
    board: Board,
    form: Form | None = None,
    lanes_p: tuple[int, ...] | None = None,
) -> list[EngineConfig]:
    """Return every shape that the parameters allow, or those with some `lanes_p`; arguments as in `UnitRequest`.

    A word as long as a pattern's sub-row is tried if the bus is wide enough: a shorter word waits for the fullest part.
    Products are packed into DSP blocks as densely as the family's blocks take them.

    Raises:
        ToolflowError: no shape is allowed.
    """
    form = form or Form()
    base: dict[str, int | str] = {
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "bus_bits": min(board.axi_data_bits, MAX_BUS_BITS),
        "tile": form.tile,
        "dsp_primitive": family_of(board.family).dsp.primitive,
    }
    lists: dict[str, tuple[int, ...] | tuple[str, ...]] = {
        "lanes_k": LANES_K,
        "lanes_p": lanes_p or LANES_P,
        "slots": SLOTS,
        "sub_row": tuple(sorted({*SUB_ROWS, *(s for s in form.patterned if s > max(SUB_ROWS))})),
        "drain_k": DRAIN_K,
        "multiplier": multipliers,
        "bank_memory": ("block", "ultra") if board.available.urams else ("block",),
    }
    if form.tile:
        lists["transform_cycles"] = TRANSFORM_CYCLES
    free = {name: values for name, values in lists.items() if name not in fixed}
    every = [dict(zip(free, values, strict=True)) for values in product(*free.values())]
    indices = _indices(fixed, form)
    shapes = [{**base, **fixed, **values, **index} for values in every for index in indices]
    shapes = [{**shape, **_packed(shape, form.every_weight), **fixed} for shape in shapes]
    # Checking is slow: what has too many multipliers for the board is checked if nothing else is left.
    small = [shape for shape in shapes if _has_room(shape, board)]
    found: list[EngineConfig] = []
    refused = []
    for shape in small or shapes:
        try:
            found.append(EngineConfig.model_validate(shape))
        except ValidationError:  # not kept: it would hold the frames of its callers, and their networks, for ever
            refused.append(shape)
    if not found and refused:
        _, problem = min(map(_problem, refused), key=lambda each: each[0])  # the fewest problems
        raise ToolflowError(f"--engine: {_explain(problem)}")
    return found


def _problem(shape: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the length of what is said of the problems of an engine, and its first problem."""
    try:
        EngineConfig.model_validate(shape)
    except ValidationError as error:
        return len(str(error)), dict(error.errors(include_context=False)[0])
    raise AssertionError(f"{shape} is an engine")


def _indices(fixed: Mapping[str, int | str], form: Form) -> list[dict[str, int | str]]:
    """Return the values of `gather` and `index_k` to try, those that are not fixed beside those that are."""
    names = "gather", "index_k"
    tried: list[dict[str, int | str]] = [dict(zip(names, values, strict=True)) for values in form.indices]
    agreeing = [each for each in tried if all(each[name] == fixed.get(name, each[name]) for name in names)]
    return agreeing or [{"gather": True, "index_k": 1, **{n: fixed[n] for n in names if n in fixed}}]


def _has_room(shape: Mapping[str, Any], board: Board) -> bool:
    """Return whether the multipliers alone fit a board: at least a LUT for each bit of a partial product."""
    multipliers = shape["lanes_k"] * shape["lanes_p"] * shape["slots"]
    if shape["multiplier"] == "lut":
        return bool(multipliers * shape["weight_bits"] * shape["activation_bits"] <= board.usable.luts)
    left = multipliers - board.usable.dsps * shape.get("pack_k", 1) * shape.get("pack_p", 1)
    if shape["dsp_primitive"] not in COLUMNS:
        return bool(left <= 0)
    return bool(left * shape["weight_bits"] * shape["activation_bits"] <= board.usable.luts)


def _packed(shape: Mapping[str, Any], every_weight: bool) -> dict[str, Any]:
    """Return the parameters that pack the products of a shape most densely, in the longest chains.

    Pairs of weights, which share the elements that they meet, come before pairs of positions: their chains may be
    longer.
    """
    if shape["multiplier"] == "lut" or shape["dsp_primitive"] == "none":
        return {"dsp_primitive": "none"}
    operands = operands_of(shape["activation_bits"], shape["tile"])
    longest = longest_chains(shape["dsp_primitive"], shape["weight_bits"], operands, every_weight)
    for pack_k, pack_p in ((2, 2), (2, 1), (1, 2), (1, 1)):
        divides = shape["lanes_k"] % pack_k == 0 and (shape["lanes_p"] - shape.get("fabric_lanes", 0)) % pack_p == 0
        if divides and (pack_k, pack_p) in longest and not (shape["gather"] and shape["index_k"] % pack_k):
            chain = min(shape["slots"], 1 << (longest[pack_k, pack_p].bit_length() - 1))
            return {"pack_k": pack_k, "pack_p": pack_p, "chain": chain}
    return {"dsp_primitive": "none"}


def _explain(problem: dict[str, Any]) -> str:
    """Return what is wrong with a parameter that the configuration refuses, with all values that it may have."""
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    name = str(problem["loc"][0])
    field = EngineConfig.model_json_schema()["properties"][name]
    if "enum" in field:
        allowed = " or ".join(map(str, field["enum"]))
    elif field["type"] == "boolean":
        allowed = "true or false"
    else:
        allowed = f"{field['minimum']} to {field['maximum']}" if "maximum" in field else f"at least {field['minimum']}"
    return f"{name} must be {allowed}, not {problem['input']!r}"
