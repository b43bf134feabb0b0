"""Channel pruning by a genetic algorithm, one layer after the other, with a distillation after each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from quant.mechanisms.rewrite.channels import ChannelMap, Width
from quant.mechanisms.saliency import magnitudes, quadratic_error
from quant.mechanisms.search.fixed_count import least_quadratic
from quant.mechanisms.uniform import count_gone, least_salient, share_within
from quant.recipes.recipe import CompressionRecipe, setting
from quant.recipes.workbench import Workbench
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph


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

    keep: float = setting(0.5, 0, 1)
    population: int = setting(60, 2)
    generations: int = setting(100, 0)
    epochs: int = setting(2, 1)
    last: int = setting(20, 1)
    rate: float = setting(0.002, 1e-6, 1)

    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the network with fewer channels."""
        channels = ChannelMap.of(network)
        if not channels.widths:
            raise ToolflowError(f"'{network.name}' must have channels that may be removed: no layer has any")
        size = magnitudes(channels)
        keep = self.keep if bench.budget is None else share_within(channels, bench.pricing, bench.budget, size)
        for layers in _by_sensitivity(channels, bench, keep, size):
            channels = ChannelMap.of(network)
            width = next(width for width in channels.widths if width.layers == layers)
            count = len(channels.thinned(width.classes, count_gone(len(width.classes), keep)))
            if count == 0:
                continue
            network = channels.without(channels.thinned(self.chosen(channels, width, count, bench), count))
            what = f"remove {count} of {len(width.classes)} channels of {width.name}"
            bench.record(what, network)
            network = bench.trained(network, f"distil after {width.name}", bench.schedule(self.epochs, self.rate))
        return bench.trained(network, "distil from the network before", bench.schedule(self.last, self.rate))

    def chosen(self, channels: ChannelMap, width: Width, count: int, bench: Workbench) -> list[int]:
        """Return the `count` classes of a width that go."""
        sample, _ = bench.sample()
        error = quadratic_error(channels, width, sample)
        rng = bench.rng(f"channels of {width.name}")
        gone = least_quadratic(error, count, self.population, self.generations, rng)
        return [each for each, goes in zip(width.classes, gone, strict=True) if goes]


def _by_sensitivity(
    channels: ChannelMap, bench: Workbench, keep: float, size: Mapping[int, float]
) -> list[tuple[str, ...]]:
    """Return the layers of each width, those first whose smallest channels cost the least accuracy."""
    smallest = least_salient(channels, keep, size)
    trials = [bench.without(channels, removed) for removed in smallest.values()]
    accuracy = dict(zip(smallest, bench.accuracies(trials, "sensitivity"), strict=True))
    return sorted(accuracy, key=lambda layers: -accuracy[layers])
