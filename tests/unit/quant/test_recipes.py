"""Parts of recipes against oracles: brute force, published formulas, and networks that must be what genes say."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import quant.mechanisms.saliency
from quant.float_network import float_node
from quant.mechanisms.judge import Trial
from quant.mechanisms.rewrite.channels import ChannelMap
from quant.mechanisms.search.fixed_count import least_quadratic, repaired
from quant.mechanisms.staircase import step_edges
from quant.recipes.apply import applied
from quant.recipes.catalogue import catalogue
from quant.recipes.genecai import GRID, Ranks, Rates, fitness_of, limits_of
from quant.recipes.genetic_channels import GeneticChannels
from quant.recipes.hakd import Hakd
from quant.recipes.recipe import CompressionRecipe
from quant.recipes.workbench import Workbench
from tests.unit.quant.benches import bench_of
from tests.unit.quant.quantise_networks import Builder, residual_network
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.operators import Flatten, MaxPool


def test_a_budget_below_the_lowest_step_edges() -> None:
    bench = bench_of(residual_network(), 0.01)
    with pytest.raises(
        ToolflowError, match=r"--budget must be at least 0\.\d+ for 'network', not 0\.01: at the lowest step"
    ):
        Hakd().run(bench.teacher, bench)


@pytest.mark.parametrize("recipe", catalogue().values())
def test_a_network_that_no_recipe_can_treat(recipe: type[CompressionRecipe]) -> None:
    """A single layer: its outputs are classes, and its rank is 1."""
    b = Builder()
    x = b.node("flat", Flatten(), b.node("pool", MaxPool((12, 12), (12, 12)), "image"))
    graph = b.graph(b.linear("linear", x, (1, 3)))
    bench = bench_of(graph)
    with pytest.raises(ToolflowError, match="'network' must have"):
        recipe().run(graph, bench)
    assert bench.steps == []


def test_more_individuals_take_no_more_forward_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Genetic channel pruning runs the network as often with 2 individuals as with 40 in 20 generations."""
    graph = residual_network()
    passes = []
    for population, generations in ((2, 0), (40, 20)):
        calls = [0]

        def counted(*given: Any, calls: list[int] = calls) -> Any:
            calls[0] += 1
            return float_node(*given)

        monkeypatch.setattr(quant.mechanisms.saliency, "float_node", counted)
        bench = bench_of(graph)
        GeneticChannels(population=population, generations=generations, epochs=1, last=1).run(graph, bench)
        passes.append((calls[0], sum(step.judged for step in bench.steps)))
    assert passes[0] == passes[1] > (0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_fixed_count_search_against_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(12, 12))
    error = factor @ factor.T
    best = min(combinations(range(12), 5), key=lambda some: error[np.ix_(some, some)].sum())
    chosen = least_quadratic(error, 5, 40, 60, rng)
    assert np.flatnonzero(chosen).tolist() == list(best)
    assert error[np.ix_(chosen, chosen)].sum() < np.sort(np.diag(error))[:5].sum() + 1e-9


def test_a_repaired_choice_has_its_count() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        given = rng.random(9) < rng.random()
        made = repaired(given, 4, rng)
        assert made.sum() == 4
        assert (made & given).sum() == min(4, given.sum())


@pytest.mark.parametrize(
    ("costs", "edges"),
    [
        ([4, 4, 4, 4, 8, 8, 8, 8, 12], [3, 7, 8]),
        ([4, 4.1, 4.2, 4.3, 8, 8.1, 8.2, 8.3], [3, 7]),
        ([1, 2, 3, 4], [0, 1, 2, 3]),
        ([5, 5, 5], [2]),
        ([5], [0]),
    ],
)
def test_the_edges_of_a_staircase(costs: list[float], edges: list[int]) -> None:
    assert step_edges(costs) == edges


def test_the_fitness_is_the_published_formula() -> None:
    assert fitness_of(-0.01, 1.0, 0.9, 0.8) == 0
    assert fitness_of(0.2, 0.88, 0.9, 0.85) == pytest.approx(math.exp(20) / (2 + 1))
    assert fitness_of(0.2, 0.83, 0.9, 0.85) == pytest.approx(math.exp(20) / (7 + 1 + math.exp(2)))


@pytest.mark.parametrize("seed", range(5))
def test_genes_of_ranks_and_their_network(seed: int) -> None:
    """Each pair of genes gives ranks in eighths, and the factors have exactly these."""
    space = Ranks.of(residual_network())
    rng = np.random.default_rng(seed)
    genes = tuple(float(each) / GRID for each in rng.integers(0, GRID + 1, space.genes))
    made, place = space.network(genes), 0
    for name, full in space.layers:
        mine = genes[place : place + len(full)]
        place += len(full)
        if not any(mine):
            assert f"{name}.first" not in made.by_name
            continue
        expected = [max(math.ceil(most * (1 - gene)), 1) for gene, most in zip(mine, full, strict=True)]
        core = made.by_name[f"{name}.core" if len(full) == 2 else f"{name}.first"].weights["weight"].shape
        assert [core[1], core[0]] == expected if len(full) == 2 else [core[0]] == expected
    limits = (0.5,) * space.genes
    for _ in range(20):
        changed = space.mutated(genes, limits, rng)
        assert all(0 <= gene <= 0.5 and (gene * GRID).is_integer() for gene in changed)
    assert space.network((0.0,) * space.genes) is space.graph


def test_the_limit_of_a_gene_is_the_first_value_from_above_that_loses_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against one gene after the other; accuracies are drawn for each network, and do not fall evenly."""
    space = Ranks.of(residual_network())
    bench = bench_of(space.graph)

    def accuracy(network: Graph) -> float:
        if network is space.graph:
            return 0.9
        return float(np.random.default_rng(int(Trial(network).digest[:8], 16)).uniform(0.8, 0.92))

    monkeypatch.setattr(bench, "accuracies", lambda trials, _: [accuracy(trial.graph) for trial in trials])
    expected = []
    for gene in range(space.genes):
        values = [space.rounded(1 - 0.05 * step, 1.0) for step in range(21)]
        expected.append(next(value for value in values if accuracy(space.alone(gene, value)) >= 0.9 - 0.01))
    assert limits_of(space, 0.9, bench, "") == tuple(expected)
    assert len(set(expected)) > 2


@pytest.mark.parametrize("seed", range(5))
def test_genes_of_rates_and_their_network(seed: int) -> None:
    """Only the first layers of the blocks shrink, by exactly the rate."""
    graph = residual_network()
    space = Rates.of(graph)
    assert [width.layers for width in space.widths] == [("a1",), ("b1",)]
    rng = np.random.default_rng(seed)
    genes = tuple(rng.random(2).tolist())
    made = space.network(genes)
    for name, gene in zip(("a1", "b1"), genes, strict=True):
        count = len(graph.by_name[name].weights["weight"])
        assert len(made.by_name[name].weights["weight"]) == max(count - round(gene * count), 1)
    assert all(0 <= gene <= 0.3 for gene in space.mutated(genes, (0.3, 0.3), rng))


def test_channels_go_in_order_until_a_tensor_would_be_empty() -> None:
    """The trunk's first tensor has 8 of its 16 classes: one of these stays, whatever is asked for."""
    channels = ChannelMap.of(residual_network())
    trunk = channels.widths[0].classes
    first = set(channels.classes["stem"].tolist())
    order = sorted(trunk, key=lambda each: (each not in first, each))
    gone = channels.thinned(order, 16)
    assert len(gone) == 15
    assert len(first - gone) == 1
    assert gone >= set(order[:7])
    channels.without(gone)


def test_a_recipe_that_changes_the_answers_shape_is_refused() -> None:
    class Cut(CompressionRecipe):
        name = "cut"

        def run(self, network: Graph, bench: Workbench) -> Graph:
            *others, last = network.nodes
            weights = {name: array[:2] for name, array in last.weights.items()}
            return replace(network, nodes=(*others, replace(last, weights=weights)))

    graph = residual_network()
    with pytest.raises(ToolflowError, match=r"cut \(test_recipes.py\) failed: its network must answer of shape \(5,\)"):
        applied(Cut(), graph, bench_of(graph))
