"""GeneCAI: a genetic algorithm chooses ranks of factorised layers, then another chooses pruning rates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quant.mechanisms.judge import Trial
from quant.mechanisms.rewrite.channels import ChannelMap, Width
from quant.mechanisms.rewrite.factorise import factorised, largest_ranks
from quant.mechanisms.saliency import magnitudes
from quant.mechanisms.search.genetic import Genetic
from quant.recipes.recipe import CompressionRecipe, setting
from quant.recipes.workbench import Workbench
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph

Genes = tuple[float, ...]
Rng = np.random.Generator
Fitness = Callable[[Sequence[Genes]], Sequence[float]]

GRID = 8  # ranks are eighths of the full ones
BOUNDARY_STEP, BOUNDARY_LOSS = 0.05, 0.01
SWAPPED, CHANGED, SPREAD = 0.2, 0.05, 0.2
DRAWS = 5  # of a first candidate, before a bad one is taken


@dataclass(frozen=True)
class GeneCai(CompressionRecipe):
    """Factorise, fine-tune, prune channels, fine-tune; each size by a genetic algorithm (Javaheripi et al. 2020).

    Our reading: what a candidate saves are cycles of the board's engine. Its accuracy is the judge's, without any
    training. A gene of a rank pair is a point of an 8 × 8 grid; a layer whose outputs are added to another's keeps its
    width, so that of a residual block the first layers shrink.

    Attributes:
        population, generations: of both searches.
        lost: accuracy below which a candidate is punished, under the accuracy of the network before.
        epochs: of each fine-tuning.
        rate: learning rate at the start of each.
    """

    name: ClassVar[str] = "genecai"
    sentence: ClassVar[str] = (
        "Choose ranks and then pruning rates of all layers by a genetic algorithm, fine-tune after each."
    )
    paper: ClassVar[str] = "Javaheripi, Samragh, Javidi, Koushanfar, GECCO 2020, arXiv 2004.04249"
    gives: ClassVar[str] = "layers in factors, fewer channels"

    population: int = setting(50, 2)
    generations: int = setting(50, 0)
    lost: float = setting(0.05, 0, 1)
    epochs: int = setting(4, 1)
    rate: float = setting(0.001, 1e-6, 1)

    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the smaller network."""
        ranks = Ranks.of(network)
        rates = Rates.of(network)
        if not ranks.layers and not rates.widths:
            raise ToolflowError(f"'{network.name}' must have a layer to factorise, or channels that may be removed")
        network = self._searched(ranks, "factorise", network, bench)
        return self._searched(Rates.of(network), "prune channels", network, bench)

    def _searched(self, space: Space, what: str, network: Graph, bench: Workbench) -> Graph:
        """Return the network with the best genes, fine-tuned; as it was if nothing is saved."""
        before, whole = bench.accuracy(network), bench.pricing.cycles(network)

        def fitness(candidates: Sequence[Genes]) -> list[float]:
            found = self.measured([space.network(genes) for genes in candidates], what, bench)
            return [fitness_of(1 - cycles / whole, accuracy, before, before - self.lost) for accuracy, cycles in found]

        limits = limits_of(space, before, bench, what)
        rng = bench.rng(what)
        first = self._first(space, limits, before, bench, rng)
        best, value = self.search(space, limits, first, fitness, rng)
        if value <= 1:
            bench.record(f"{what}: no candidate saves cycles", network)
            return network
        made = space.network(best)
        bench.record(f"{what}: {space.described(best)}", made)
        return bench.trained(made, f"fine-tune after: {what}", bench.schedule(self.epochs, self.rate))

    def measured(self, candidates: Sequence[Graph], what: str, bench: Workbench) -> list[tuple[float, float]]:
        """Return the accuracy and the cycles of each candidate."""
        accuracies = bench.accuracies([Trial(each) for each in candidates], what)
        return [(accuracy, bench.pricing.cycles(each)) for each, accuracy in zip(candidates, accuracies, strict=True)]

    def search(
        self, space: Space, limits: Genes, first: Sequence[Genes], fitness: Fitness, rng: Rng
    ) -> tuple[Genes, float]:
        """Return the fittest of (generations + 1) × population genes within the limits, and its fitness."""
        rules = Genetic[Genes](_crossed, lambda genes, rng: space.mutated(genes, limits, rng))
        return rules.search(first, fitness, self.generations, rng)

    def _first(self, space: Space, limits: Genes, before: float, bench: Workbench, rng: Rng) -> list[Genes]:
        """Return the first generation; candidates that lose too much accuracy are drawn again."""
        found: list[Genes] = [()] * self.population
        places = list(range(self.population))
        for _ in range(DRAWS):
            for place in places:
                found[place] = drawn(space, limits, rng)
            accuracies = bench.accuracies([Trial(space.network(found[place])) for place in places], "first candidates")
            places = [place for place, each in zip(places, accuracies, strict=True) if each < before - self.lost]
        return found


class Space(ABC):
    """Genes between 0, where a layer stays as it is, and 1; and the network that they mean."""

    def __init__(self, graph: Graph, genes: int) -> None:
        self.graph, self.genes = graph, genes

    @abstractmethod
    def network(self, genes: Genes) -> Graph:
        """Return the network of these genes."""

    @abstractmethod
    def described(self, genes: Genes) -> str:
        """Return the genes in words."""

    @abstractmethod
    def rounded(self, value: float, most: float) -> float:
        """Return the nearest value of a gene up to its limit."""

    @abstractmethod
    def mutated(self, genes: Genes, limits: Genes, rng: Rng) -> Genes:
        """Return the genes with some changed."""

    def alone(self, gene: int, value: float) -> Graph:
        """Return the network with one gene at a value, and the others at 0."""
        return self.network(tuple(value if index == gene else 0.0 for index in range(self.genes)))


class Ranks(Space):
    """Two genes for a k×k layer, one for another: how many eighths of the full rank are given up."""

    def __init__(self, graph: Graph, layers: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        super().__init__(graph, sum(len(full) for _, full in layers))
        self.layers = tuple(layers)

    @classmethod
    def of(cls, graph: Graph) -> Ranks:
        """Return the genes of all layers that have ranks above 1."""
        found = [(node.name, largest_ranks(node)) for node in graph.nodes]
        return cls(graph, [(name, full) for name, full in found if full and min(full) > 1])

    def ranks(self, genes: Genes) -> dict[str, tuple[int, ...]]:
        """Return the ranks of the layers that are factorised: those with a gene above 0."""
        found, place = {}, 0
        for name, full in self.layers:
            mine = genes[place : place + len(full)]
            place += len(full)
            if any(mine):
                found[name] = tuple(max(math.ceil((1 - gene) * most), 1) for gene, most in zip(mine, full, strict=True))
        return found

    def network(self, genes: Genes) -> Graph:
        """Return the network with factors."""
        graph = self.graph
        for name, ranks in self.ranks(genes).items():
            graph = factorised(graph, name, ranks)
        return graph

    def described(self, genes: Genes) -> str:
        """Return the ranks in words."""
        full = dict(self.layers)
        found = self.ranks(genes).items()
        return ", ".join(f"{name} {_joined(ranks)} of {_joined(full[name])}" for name, ranks in found) or "nothing"

    def rounded(self, value: float, most: float) -> float:
        """Return the nearest eighth."""
        return min(max(round(value * GRID), 0), round(most * GRID)) / GRID

    def mutated(self, genes: Genes, limits: Genes, rng: Rng) -> Genes:
        """Return the genes, some a step of the grid up or down."""
        steps = np.where(rng.random(len(genes)) < CHANGED, rng.choice((-1, 1), len(genes)), 0) / GRID
        return tuple(self.rounded(gene + step, most) for gene, step, most in zip(genes, steps, limits, strict=True))


class Rates(Space):
    """A gene for each layer: the share of its channels that is removed, the smallest first."""

    def __init__(self, channels: ChannelMap, widths: Sequence[Width]) -> None:
        super().__init__(channels.graph, len(widths))
        self.channels, self.widths = channels, tuple(widths)
        self._size = magnitudes(channels)

    @classmethod
    def of(cls, graph: Graph) -> Rates:
        """Return the genes of all layers that are tied to no other."""
        channels = ChannelMap.of(graph)
        mixing = {node.name for node in graph.nodes if node.op.has_weights and node.op.groups == 1}
        return cls(channels, [width for width in channels.widths if len(mixing.intersection(width.layers)) < 2])

    def removed(self, genes: Genes) -> set[int]:
        """Return the classes that go."""
        found: set[int] = set()
        for width, gene in zip(self.widths, genes, strict=True):
            order = sorted(width.classes, key=lambda each: (self._size.get(each, 0.0), each))
            found |= self.channels.thinned(order, round(gene * len(order)))
        return found

    def network(self, genes: Genes) -> Graph:
        """Return the network without channels."""
        return self.channels.without(self.removed(genes))

    def described(self, genes: Genes) -> str:
        """Return the rates in words."""
        return ", ".join(f"{width.name} −{gene:.0%}" for width, gene in zip(self.widths, genes, strict=True))

    def rounded(self, value: float, most: float) -> float:
        """Return the value within its limits."""
        return float(min(max(value, 0.0), most))

    def mutated(self, genes: Genes, limits: Genes, rng: Rng) -> Genes:
        """Return the genes, some changed by a normal step."""
        steps = np.where(rng.random(len(genes)) < CHANGED, rng.normal(0, SPREAD, len(genes)), 0)
        return tuple(self.rounded(gene + step, most) for gene, step, most in zip(genes, steps, limits, strict=True))


def fitness_of(saving: float, accuracy: float, before: float, threshold: float) -> float:
    """Return exp(100·saving) / (|a₀ − a| + 1 + [a < t]·exp(t − a)), accuracies in points; 0 if nothing is saved.

    Args:
        saving: share of the cycles.
        accuracy: of the candidate.
        before: a₀, of the network before.
        threshold: t.
    """
    if saving < 0:
        return 0.0
    below = math.exp(100 * (threshold - accuracy)) if accuracy < threshold else 0.0
    return math.exp(100 * saving) / (100 * abs(before - accuracy) + 1 + below)


def limits_of(space: Space, before: float, bench: Workbench, what: str) -> Genes:
    """Return for each gene the largest value, in steps of 5 %, that alone loses at most a point."""
    values = [round(1 - BOUNDARY_STEP * step, 2) for step in range(round(1 / BOUNDARY_STEP) + 1)]
    found = [0.0] * space.genes
    places = list(range(space.genes))
    for value in values:  # of all genes at once, so that several workers have something to judge
        rounded = space.rounded(value, 1.0)
        trials = [Trial(space.alone(gene, rounded)) for gene in places]
        accuracies = bench.accuracies(trials, f"limits of {what}")
        enough = {gene for gene, each in zip(places, accuracies, strict=True) if each >= before - BOUNDARY_LOSS}
        found = [rounded if gene in enough else most for gene, most in enumerate(found)]
        places = [gene for gene in places if gene not in enough]
    return tuple(found)


def drawn(space: Space, limits: Genes, rng: Rng) -> Genes:
    """Return random genes, normal around half of their limits."""
    return tuple(space.rounded(rng.normal(most / 2, most / 4), most) for most in limits)


def _crossed(one: Genes, other: Genes, rng: Rng) -> tuple[Genes, Genes]:
    swapped = rng.random(len(one)) < SWAPPED
    return (
        tuple(b if swap else a for a, b, swap in zip(one, other, swapped, strict=True)),
        tuple(a if swap else b for a, b, swap in zip(one, other, swapped, strict=True)),
    )


def _joined(ranks: Sequence[int]) -> str:
    return "×".join(map(str, ranks))
