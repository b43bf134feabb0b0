"""Channel pruning by a genetic algorithm, one layer after the other, with a distillation after each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quant.mechanisms.rewrite.channels import ChannelMap
from quant.mechanisms.saliency import magnitudes, quadratic_error
from quant.mechanisms.search.fixed_count import least_quadratic
from quant.recipes.recipe import CompressionRecipe
from quant.recipes.workbench import Workbench
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph

HALVINGS = 12  # of the interval in which the kept share is searched


@dataclass(frozen=True)
class GeneticChannels(CompressionRecipe):
    """Choose which channels of each layer stay by the second-order error of the layers that read them (Hu et al. 2018).

    Our reading: the error of a choice is mᵀQm/2, with Q from the second moments of the inputs of the layers that read
    the channels; so no candidate needs a forward pass. Every layer keeps the same share of its channels. Layers come in
    order of sensitivity: first the layer whose smallest channels cost the least accuracy. Layers whose outputs are
    added are chosen together.

    Attributes:
        keep: share of the channels that stay, where there is no budget.
        population, generations: of the search in each layer.
        epochs: of the distillation after each layer.
        last: epochs of the distillation at the end.
        rate: learning rate at the start of each.
    """

    name: ClassVar[str] = "genetic-channels"
    sentence: ClassVar[str] = (
        "Choose the channels of each layer by a genetic algorithm on a second-order error, distil."
    )
    paper: ClassVar[str] = "Hu, Sun, Li, Wang, Gu, arXiv 1805.11394, 2018"
    gives: ClassVar[str] = "fewer channels"
    takes_budget: ClassVar[bool] = True

    keep: float = 0.5
    population: int = 60
    generations: int = 100
    epochs: int = 2
    last: int = 20
    rate: float = 0.002

    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the network with fewer channels."""
        channels = ChannelMap.of(network)
        if not channels.widths:
            raise ToolflowError(f"'{network.name}' must have channels that may be removed: no layer has any")
        keep = self.keep if bench.budget is None else _share(channels, bench, bench.budget)
        sample, _ = bench.sample()
        for layers in _by_sensitivity(channels, bench, keep):
            channels = ChannelMap.of(network)
            width = next(width for width in channels.widths if width.layers == layers)
            count = len(channels.thinned(width.classes, _gone(len(width.classes), keep)))
            if count == 0:
                continue
            error = quadratic_error(channels, width, sample)
            rng = bench.rng(f"channels of {width.name}")
            chosen = least_quadratic(error, count, self.population, self.generations, rng)
            order = [each for each, gone in zip(width.classes, chosen, strict=True) if gone]
            network = channels.without(channels.thinned(order, count))
            what = f"remove {count} of {len(width.classes)} channels of {width.name}"
            bench.record(what, network)
            network = bench.trained(network, f"distil after {width.name}", bench.schedule(self.epochs, self.rate))
        return bench.trained(network, "distil from the network before", bench.schedule(self.last, self.rate))


def _gone(count: int, keep: float) -> int:
    return count - max(round(keep * count), 1)


def _smallest(channels: ChannelMap, keep: float) -> dict[tuple[str, ...], set[int]]:
    """Return the smallest channels of each width."""
    size = magnitudes(channels)
    found = {}
    for width in channels.widths:
        order = sorted(width.classes, key=lambda each: (size.get(each, 0.0), each))
        found[width.layers] = channels.thinned(order, _gone(len(order), keep))
    return found


def _by_sensitivity(channels: ChannelMap, bench: Workbench, keep: float) -> list[tuple[str, ...]]:
    """Return the layers of each width, those first whose smallest channels cost the least accuracy."""
    smallest = _smallest(channels, keep)
    trials = [bench.without(channels, removed) for removed in smallest.values()]
    accuracy = dict(zip(smallest, bench.accuracies(trials, "sensitivity"), strict=True))
    return sorted(accuracy, key=lambda layers: -accuracy[layers])


def _share(channels: ChannelMap, bench: Workbench, budget: float) -> float:
    """Return the largest share of channels with which the network keeps the budget.

    Raises:
        ToolflowError: there is none.
    """

    def cycles(keep: float) -> float:
        return bench.pricing.cycles(channels.without(set().union(*_smallest(channels, keep).values())))

    whole = bench.pricing.cycles(channels.graph)
    lower, upper = 0.0, 1.0
    least = cycles(lower) / whole
    if least > budget:
        raise ToolflowError(
            f"--budget must be at least {least:.3f} for '{channels.graph.name}', not {budget}: with one channel a "
            "layer it takes that share of its cycles"
        )
    for _ in range(HALVINGS):
        middle = (lower + upper) / 2
        lower, upper = (middle, upper) if cycles(middle) <= budget * whole else (lower, middle)
    return lower
