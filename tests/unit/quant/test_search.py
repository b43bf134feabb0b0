"""The search of tiles, patterns and bits: its measurements, its selection and its result."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from quant.arrangement.arrange import arrange
from quant.config import QuantiseConfig
from quant.float_network import before_activation, float_classes, float_logits, float_node
from quant.post_training.ranges import activation_scale, histogram, weight_scales
from quant.quantise import quantise
from quant.search.prices import BitOperations, Multiplications, Prices, Target
from quant.search.problem import Answered, Problem
from quant.search.proposer import Bisection
from quant.search.search import SearchResult, judged, search
from quant.search.selection import Selection, configured, plainest, select
from quant.search.sensitivity import Option, Sensitivities, Space, measure
from tests.unit.quant.quantise_networks import NORMALISATION, images, residual_network
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.graph import Graph
from toolflow.numerics.srbs import Pattern
from toolflow.numerics.types import IntegerType
from toolflow.numerics.winograd import WINOGRAD, transformed_type
from toolflow.operators import Conv, WinogradConv
from toolflow.plan.boards.board import load_board
from toolflow.plan.explore.choose import best_single, timed_engines
from toolflow.plan.explore.estimate import estimate
from toolflow.plan.explore.objective import THROUGHPUT

CALIBRATION, JUDGED = images(48), images(64, seed=9)
INNER = {"a1", "a2", "b2"}


BOARD = load_board("pynq-z2")
OPERATIONS = {"multiplications": (Multiplications(),), "bit-operations": (BitOperations(),)}


def _option(cost: int, divergence: float, weight_bits: int = 8) -> Option:
    return Option(0, None, weight_bits, cost, {8: 8, 4: 4}, divergence)


def _made(seed: int) -> Sensitivities:
    """Return random measurements of three layers and two groups of tensors."""
    rng = np.random.default_rng(seed)
    layers = {
        name: tuple(
            _option(int(rng.integers(1, 50)), float(rng.random()), int(rng.integers(2, 9)))
            for _ in range(rng.integers(1, 4))
        )
        for name in ("p", "q", "r")
    }
    groups = {name: {8: float(rng.random() / 9), 4: float(rng.random())} for name in ("one", "two")}
    return Sensitivities(layers, {"p": "one", "q": "two", "r": "one"}, groups)


@dataclass(frozen=True)
class _Table(Prices):
    """Fixed prices."""

    table: dict[tuple[str, int], tuple[float, ...]] = field(default_factory=dict)

    def of(self, layer: str, option: Option, bits: int) -> tuple[float, ...]:
        return self.table[layer, id(option)]


def _engines(found: Sensitivities, seed: int) -> tuple[Prices, ...]:
    """Prices of three engines and their memory at random; the last one cannot run some options."""
    rng = np.random.default_rng(seed + 100)
    engines = []
    for number in range(3):
        table: dict[tuple[str, int], tuple[float, ...]] = {
            (name, id(option)): (float(rng.integers(1, 50)), float(rng.integers(1, 50)))
            for name, options in found.layers.items()
            for option in options
        }
        for name, options in found.layers.items():
            if number == 2 and len(options) > 1:
                table[name, id(options[0])] = math.inf, math.inf
        rest = float(rng.integers(0, 9)), float(rng.integers(0, 9))
        engines.append(_Table(rest, EngineConfig(lanes_k=number + 1), table))
    return tuple(engines)


def _cost(found: Sensitivities, layers: dict[str, Option], groups: dict[str, int], prices: Prices) -> float:
    each = [prices.of(name, option, groups[found.source[name]]) for name, option in layers.items()]
    return max(rest + sum(price[place] for price in each) for place, rest in enumerate(prices.rest))


@pytest.mark.parametrize("saves", ["multiplications", "bit-operations", "cycles"])
@pytest.mark.parametrize("seed", range(12))
def test_selection_is_the_cheapest_of_all(seed: int, saves: str) -> None:
    """Compare with all combinations on all engines."""
    found = _made(seed)
    prices = OPERATIONS.get(saves) or _engines(found, seed)
    combinations = []
    for options in itertools.product(*found.layers.values()):
        for bits in itertools.product(*found.groups.values()):
            layers = dict(zip(found.layers, options, strict=True))
            groups = dict(zip(found.groups, bits, strict=True))
            divergence = sum(o.divergence for o in options) + sum(found.groups[g][b] for g, b in groups.items())
            combinations.append((min(_cost(found, layers, groups, each) for each in prices), divergence))
    least = min(divergence for _, divergence in combinations)
    for budget in (least, 0.5, 1.0, 2.0, 10.0):
        budget = max(budget, least)
        chosen = select(found, budget, prices)
        assert chosen.divergence <= budget * (1 + 1e-5)
        best = min(cost for cost, divergence in combinations if divergence <= budget * (1 + 1e-9))
        assert chosen.cost == pytest.approx(best, rel=2e-3)
        mine = next(each for each in prices if each.engine == chosen.engine)
        assert chosen.cost == _cost(found, dict(chosen.layers), dict(chosen.groups), mine)
    assert select(found, 0.0, prices).divergence == pytest.approx(least)


def test_the_plainest_comes_first() -> None:
    found = _made(1)
    plain = plainest(found, OPERATIONS["multiplications"])
    assert plain.layers == {name: options[0] for name, options in found.layers.items()}
    assert set(plain.groups.values()) == {8}


@pytest.mark.parametrize("allowed", [0.0, 0.02, 0.1, 1.0])
def test_what_is_returned_keeps_the_accuracy(allowed: float) -> None:
    """Accuracy falls with the divergence here; of the judged networks that are allowed, the result is the cheapest."""
    found = _made(3)

    class Falling:
        def accuracy(self, selection: Selection) -> float:
            return 0.9 - 0.05 * selection.divergence

    proposer = Bisection(found, OPERATIONS["bit-operations"])
    trials = judged(proposer, Falling(), allowed)
    floor = trials[0].accuracy - allowed
    passed = [trial.cost for trial in trials if trial.accuracy >= floor]
    assert trials[proposer.chosen].cost == min(passed)
    assert trials[proposer.chosen].divergence == proposer.best.divergence
    assert trials[0].cost == 1.0
    if allowed == 1.0:
        assert len(trials) == 2  # the cheapest of all does
        assert trials[1].divergence == pytest.approx(select(found, 1e9, OPERATIONS["bit-operations"]).divergence)


def _divergence(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Mean Kullback-Leibler divergence of softmaxes, by scipy."""
    p, q = (softmax(logits.flatten(1).double().numpy(), axis=1) for logits in (expected, found))
    return float(np.mean([entropy(a, b) for a, b in zip(p, q, strict=True)]))


def _answers(graph: Graph, x: torch.Tensor, rounded: dict[str, float]) -> torch.Tensor:
    """Logits when the tensors named are rounded to multiples of their step and cut at 4 bits."""
    live = {graph.input_name: x}
    for node in graph.nodes:
        value = float_node(node, [live[t] for t in node.inputs])
        if node.name in rounded:
            step = rounded[node.name]
            value = torch.round(value / step).clamp(0, 15) * step
        live[node.name] = value
    return live[graph.output]


def test_a_width_is_measured_by_rounding_the_tensors_of_its_group() -> None:
    """Against a walk of the network by hand, the divergence by scipy."""
    arrangement = arrange(residual_network())
    graph = arrangement.graph
    x = torch.as_tensor(NORMALISATION.apply(CALIBRATION)).float()
    with torch.no_grad():
        found = measure(arrangement, x, QuantiseConfig(), Space((0,), (None,), (8,), (8, 4)))
        for group in found.groups:
            if group not in arrangement.unsigned:
                continue
            names = [node.name for node in arrangement.producers[group]]
            live = {graph.input_name: x}
            for node in graph.nodes:
                live[node.name] = float_node(node, [live[t] for t in node.inputs])
            step = activation_scale([histogram(live[name]) for name in names], 15, "multiplier", None)
            changed = _answers(graph, x, dict.fromkeys(names, step))
            expected = _divergence(live[graph.output], changed)
            assert found.groups[group][4] == pytest.approx(expected, rel=1e-3)
            assert found.groups[group][8] < expected


def test_a_layer_is_measured_by_replacing_it() -> None:
    """Every layer inside has all its options; the transform itself costs nothing, fewer bits and values cost more.

    The divergence is that of a network whose layer holds weights rounded by hand and the bias that keeps the mean.
    """
    graph = residual_network()
    arrangement = arrange(graph)
    x = torch.as_tensor(NORMALISATION.apply(CALIBRATION)).float()
    with torch.no_grad():
        found = measure(arrangement, x, QuantiseConfig(), Space((0, 2, 4), (None, Pattern(2, 4)), (8, 4), (8, 4)))
    for name in INNER:
        by = {(o.tile, o.pattern, o.weight_bits): o for o in found.layers[name]}
        assert set(by) == set(itertools.product((0, 2, 4), (None, Pattern(2, 4)), (8, 4)))
        for tile in (0, 2, 4):
            assert by[tile, None, 8].divergence < by[tile, None, 4].divergence
            assert by[tile, None, 8].divergence < by[tile, Pattern(2, 4), 8].divergence
            kind = IntegerType(4, found.source[name] not in arrangement.unsigned)
            assert by[tile, None, 8].operand[4] == (transformed_type(WINOGRAD[tile], kind).bits if tile else 4)
        assert by[2, None, 8].multiplications * 9 == by[0, None, 8].multiplications * 4  # 8 x 8 maps
        assert by[2, Pattern(2, 4), 8].multiplications * 2 == by[2, None, 8].multiplications
    assert set(found.layers) == {n.name for n in arrangement.graph.nodes if "weight" in n.weights} - arrangement.first


def test_a_rounded_layer_has_the_divergence_of_the_network_with_it() -> None:
    """One layer of 3-bit weights, rounded by hand and put into the graph; the divergence by scipy."""
    arrangement = arrange(residual_network())
    graph = arrangement.graph
    x = torch.as_tensor(NORMALISATION.apply(CALIBRATION)).float()
    config = QuantiseConfig(rounding="nearest")
    with torch.no_grad():
        found = measure(arrangement, x, config, Space((0,), (None,), (3,), (8,)))
        node = graph.by_name["a2"]
        weight = torch.as_tensor(node.weights["weight"]).double()
        scale = weight_scales(weight.flatten(1), -4, 3, "multiplier").view(-1, 1, 1, 1)
        new = (torch.round(weight / scale).clamp(-4, 3) * scale).numpy()
        changed = replace(node, weights={**node.weights, "weight": new})
        live = {graph.input_name: x}
        for each in graph.nodes:
            live[each.name] = float_node(each, [live[t] for t in each.inputs])
        means = [before_activation(n, [live[t] for t in node.inputs]).mean((0, 2, 3)) for n in (node, changed)]
        bias = node.weights["bias"] + (means[0] - means[1]).double().numpy()
        changed = replace(changed, weights={**changed.weights, "bias": bias})
        nodes = tuple(changed if each.name == "a2" else each for each in graph.nodes)
        expected = _divergence(live[graph.output], float_logits(replace(graph, nodes=nodes), x))
    assert found.layers["a2"][0].divergence == pytest.approx(expected, rel=1e-3)


def test_the_search_ends_with_a_network_that_is_what_it_says() -> None:
    """Every layer has the bits, the tile and the pattern of the configuration."""
    graph = residual_network()
    truth = float_classes(graph, JUDGED, NORMALISATION.apply)
    space = Space((0, 2), (None, Pattern(2, 4)), (8, 5), (8, 6))
    said: list[str] = []
    result = search(
        Problem(graph, CALIBRATION, NORMALISATION, QuantiseConfig(), space, Answered(JUDGED, truth), 0.05), said.append
    )
    assert result.saves == "bit-operations"
    assert result.trials[0].cost == 1.0
    taken = result.trials[result.chosen]
    assert taken.cost < 1
    assert taken.accuracy >= result.trials[0].accuracy - 0.05
    variant = quantise(graph, CALIBRATION, NORMALISATION, result.config)
    for node in variant.graph.nodes:
        if node.name in INNER:
            assert node.weight_bits == result.config.overrides[node.name][0]
            assert variant.graph.types[node.name].integer.bits == result.config.overrides[node.name][1]
            tile = node.op.tile if isinstance(node.op, WinogradConv) else 0
            assert tile == result.config.tiles[node.name]
            assert isinstance(node.op, Conv | WinogradConv)
            assert node.op.pattern == result.config.patterns[node.name]
    assert any("judge network 2" in line for line in said)


@pytest.mark.parametrize(
    ("space", "fixed"),
    [
        (Space((0, 2, 4), (None, Pattern(2, 4)), (8,), (8,)), {}),
        (Space((0, 2, 4), (None, Pattern(2, 4)), (8,), (8,)), {"lanes_k": 4, "lanes_p": 2, "sub_row": 8}),
        (Space((0, 2), (None,), (8, 4), (8,)), {"weight_bits": 4}),
    ],
    ids=["planned", "fixed", "digits"],
)
def test_cycles_are_those_of_the_network_that_was_taken(space: Space, fixed: dict[str, int | str]) -> None:
    """Against the networks in their own integers, taken and plain, each on the engine that is best for it."""
    graph = residual_network()
    truth = float_classes(graph, JUDGED, NORMALISATION.apply)
    given = QuantiseConfig(digit_bits=4 if "weight_bits" in fixed else 8)
    said: list[str] = []
    target = Target(BOARD, 8, fixed)
    result = search(
        Problem(graph, CALIBRATION, NORMALISATION, given, space, Answered(JUDGED, truth), 0.5, target), said.append
    )
    assert result.saves == "cycles"
    assert any("plan an engine, 1 of" in line for line in said)
    taken, engine = result.trials[result.chosen], result.engine
    assert taken.cost < 1
    assert engine is not None
    assert {name: getattr(engine, name) for name in fixed} == fixed

    def counted(config: QuantiseConfig, engine: EngineConfig) -> float:
        made = quantise(graph, CALIBRATION, NORMALISATION, config).graph
        return estimate(made, engine, THROUGHPUT.images(engine.lanes_p))[1].cycles_per_image

    def planned(config: QuantiseConfig) -> EngineConfig:
        made = quantise(graph, CALIBRATION, NORMALISATION, config).graph
        return best_single(timed_engines(made, 8, fixed, BOARD), BOARD, "it").config

    plain = given.model_copy(update={"rounding": "nearest"})
    dense = counted(plain, planned(plain))
    assert taken.cost * dense == pytest.approx(counted(result.config, engine), rel=0.02)
    assert counted(result.config, engine) < 1.04 * counted(result.config, planned(result.config))


def test_memory_counts_where_it_takes_longer() -> None:
    """U has more weights than the kernel that it comes from: on small maps beside slow memory a tile costs more."""
    builder = residual_network()
    truth = float_classes(builder, JUDGED, NORMALISATION.apply)
    slow = BOARD.model_copy(update={"memory": BOARD.memory.model_copy(update={"efficiency": 0.001})})
    space, fixed = (
        Space((0, 2, 4), (None,), (8,), (8,)),
        {"lanes_k": 8, "lanes_p": 1, "slots": 1, "transform_cycles": 1},
    )
    plain = QuantiseConfig()
    found = {
        board.memory.efficiency: search(
            Problem(
                builder, CALIBRATION, NORMALISATION, plain, space, Answered(JUDGED, truth), 1.0, Target(board, 8, fixed)
            )
        )
        for board in (BOARD, slow)
    }
    quick, held = found[BOARD.memory.efficiency], found[0.001]
    assert any(quick.config.tiles.values())
    assert not any(held.config.tiles.values())
    timed = {}
    for tile in (0, 2):
        made = quantise(builder, CALIBRATION, NORMALISATION, QuantiseConfig(tile=tile)).graph
        timed[tile] = best_single(timed_engines(made, 8, fixed, slow, alone=True), slow, "it").cycles_per_image
    assert timed[0] < timed[2]  # the planner says the same of whole networks


def test_the_plainest_network_may_not_fit() -> None:
    """The search begins with the one nearest to it that does: its weights in indices are fewer rows."""
    made = _made(5)
    first = {id(options[0]) for options in made.layers.values() if len(options) > 1}
    assert first
    seen: list[Selection] = []

    class Kept:
        def accuracy(self, selection: Selection) -> float:
            seen.append(selection)
            return 0.9

    prices: dict[tuple[str, int], tuple[float, ...]] = {
        (name, id(option)): (math.inf if id(option) in first else 7.0,)
        for name, options in made.layers.items()
        for option in options
    }
    trials = judged(Bisection(made, (_Table(table=prices),)), Kept(), 0.1)
    assert trials[0].cost == 1.0
    assert not first & {id(option) for selection in seen for option in selection.layers.values()}
    assert seen[0].divergence == min(s.divergence for s in seen)


def test_a_network_without_a_layer_to_search_stays_as_it_is() -> None:
    builder = residual_network()
    first = replace(builder, nodes=(builder.nodes[0],), output=builder.nodes[0].name)
    truth = np.zeros(len(JUDGED), dtype=np.int64)
    space, config = Space((0, 2), (None, Pattern(2, 4)), (8,), (8,)), QuantiseConfig()
    result = search(
        Problem(first, CALIBRATION, NORMALISATION, config, space, Answered(JUDGED, truth), 0.1, Target(BOARD, 8, {}))
    )
    assert (result.config, len(result.trials), result.chosen) == (config, 1, 0)


def test_the_pattern_of_all_layers_stays_the_configurations() -> None:
    """Beside searched tiles: what cannot carry it is said, and a pattern that nobody can carry is refused."""
    graph = residual_network()
    truth = float_classes(graph, JUDGED, NORMALISATION.apply)
    space = Space((0, 2), (Pattern(2, 4),), (8,), (8,))
    given = QuantiseConfig(pattern=Pattern(2, 4))
    result = search(Problem(graph, CALIBRATION, NORMALISATION, given, space, Answered(JUDGED, truth), 1.0))
    assert (result.config.pattern, result.config.patterns) == (Pattern(2, 4), {})
    made = quantise(graph, CALIBRATION, NORMALISATION, result.config).graph
    inner = (n.op for n in made.nodes if n.name in INNER)
    assert {op.pattern for op in inner if isinstance(op, Conv | WinogradConv)} == {Pattern(2, 4)}
    wide = QuantiseConfig(pattern=Pattern(4, 32))
    space = Space((0, 2), (Pattern(4, 32),), (8,), (8,))
    with pytest.raises(ToolflowError, match=r"no layer of .* can carry the pattern 4:32"):
        search(Problem(graph, CALIBRATION, NORMALISATION, wide, space, Answered(JUDGED, truth), 1.0))


def test_a_network_that_does_not_fit_is_refused() -> None:
    graph = residual_network()
    truth = float_classes(graph, JUDGED, NORMALISATION.apply)
    small = BOARD.model_copy(update={"resources": BOARD.resources.model_copy(update={"luts": 900})})
    target = Target(small, 8, {})
    space = Space((0, 2), (None,), (8,), (8,))
    with pytest.raises(DoesNotFitError, match="does not fit PYNQ-Z2"):
        search(
            Problem(graph, CALIBRATION, NORMALISATION, QuantiseConfig(), space, Answered(JUDGED, truth), 0.5, target)
        )


def test_a_search_that_was_cut_short_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is measured or judged twice, and the result equals that of an uninterrupted search."""
    graph = residual_network()
    truth = float_classes(graph, JUDGED, NORMALISATION.apply)
    space, kept = Space((0, 2), (None,), (8, 5), (8,)), tmp_path / "kept"
    judged: list[QuantiseConfig] = []

    def found(file: Path | None, allowed: float = 0.05, images: npt.NDArray[np.uint8] = CALIBRATION) -> SearchResult:
        return search(
            Problem(graph, images, NORMALISATION, QuantiseConfig(), space, Answered(JUDGED, truth), allowed),
            notebook=file,
        )

    def counted(graph: Graph, images: Any, normalisation: Any, config: QuantiseConfig, **others: Any) -> Any:
        if len(judged) == 1 and not kept.with_suffix(".go").exists():
            raise KeyboardInterrupt
        judged.append(config)
        return quantise(graph, images, normalisation, config, **others)

    whole = found(None)
    monkeypatch.setattr("quant.search.judge.quantise", counted)
    with pytest.raises(KeyboardInterrupt):
        found(kept)
    kept.with_suffix(".go").touch()
    monkeypatch.setattr("quant.search.search.measure", None)  # must not be called
    assert found(kept) == whole
    assert len(judged) == len(whole.trials)
    assert found(kept) == whole
    assert len(judged) == len(whole.trials)
    stricter = found(kept, allowed=0.0)  # other networks are judged, from the same measurement
    assert stricter.trials[0] == whole.trials[0]
    monkeypatch.setattr("quant.search.search.measure", measure)
    count = len(judged)
    found(kept, images=CALIBRATION[1:])  # another search in the same file
    assert len(judged) > count
    kept.write_text("{")
    assert found(kept) == whole


def test_what_the_user_fixed_stays() -> None:
    """Bits, tile and pattern of single layers are fixed in the measurements and in the result."""
    arrangement = arrange(residual_network())
    x = torch.as_tensor(NORMALISATION.apply(CALIBRATION[:8])).float()
    given = QuantiseConfig(overrides={"a1": (7, 5), "stem": (6, 7)}, tiles={"a2": 0}, patterns={"b2": Pattern(2, 4)})
    with torch.no_grad():
        found = measure(arrangement, x, given, Space((2,), (None, Pattern(1, 4)), (8, 4), (8, 4)))
    assert {option.weight_bits for option in found.layers["a1"]} == {7}
    assert set(found.groups[arrangement.group["a1"]]) == {5}
    assert {option.tile for option in found.layers["a2"]} == {0}
    assert {option.pattern for option in found.layers["b2"]} == {Pattern(2, 4)}
    config = configured(given, select(found, 1e9, OPERATIONS["bit-operations"]), arrangement)
    assert config.overrides["a1"] == (7, 5)
    assert config.overrides["stem"] == (6, 7)
    assert config.overrides["b2"][0] == 4
    assert (config.tiles["a2"], config.patterns["b2"]) == (0, Pattern(2, 4))


def test_a_configuration_holds_the_selection() -> None:
    arrangement = arrange(residual_network())
    x = torch.as_tensor(NORMALISATION.apply(CALIBRATION[:8])).float()
    with torch.no_grad():
        found = measure(arrangement, x, QuantiseConfig(), Space((0, 2), (None,), (8, 5), (8, 6)))
    config = configured(QuantiseConfig(), select(found, 1e9, OPERATIONS["bit-operations"]), arrangement)
    assert {config.tiles[name] for name in INNER} == {2}
    assert {config.overrides[name][0] for name in INNER} == {5}
    first, last = (next(iter(names)) for names in (arrangement.first, arrangement.last))
    assert config.overrides[first][0] == config.overrides[last][0] == 8
