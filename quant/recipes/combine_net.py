"""Combine-Net: filters go until the knee of each layer's curve, and what was lost is distilled back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quant.mechanisms.rewrite.channels import ChannelMap, Width
from quant.mechanisms.saliency import magnitudes
from quant.mechanisms.search.knee import knee
from quant.recipes.recipe import CompressionRecipe, setting
from quant.recipes.workbench import Workbench
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph


@dataclass(frozen=True)
class CombineNet(CompressionRecipe):
    """Rank filters, sweep each layer's rate with Adaptive BN, take the knee, prune, distil (Wang, Li, Zhang 2021).

    Our reading, as only the abstract is open: filters are ranked by the sum of their weights' magnitudes; layers whose
    outputs are added share one rate; all layers are pruned at once; a curve without a knee keeps its layer whole.

    Attributes:
        rates: how many rates are tried for a layer, evenly from 0.
        most: the largest of them.
        epochs: of the distillation.
        rate: learning rate of the distillation.
    """

    name: ClassVar[str] = "combine-net"
    sentence: ClassVar[str] = "Prune each layer to the knee of its accuracy curve under Adaptive BN, then distil."
    paper: ClassVar[str] = "Wang, Li, Zhang, Information 12(7):264, 2021"
    gives: ClassVar[str] = "fewer channels"

    rates: int = setting(10, 3)
    most: float = setting(0.9, 0.1, 1)
    epochs: int = setting(20, 1)
    rate: float = setting(0.002, 1e-6, 1)

    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the network with fewer channels."""
        channels = ChannelMap.of(network)
        if not channels.widths:
            raise ToolflowError(f"'{network.name}' must have channels that may be removed: no layer has any")
        removed = self.removed(channels, bench)
        pruned = bench.judge.adapted(bench.without(channels, removed))
        bench.record(f"prune {len(removed)} classes of channels, {_summary(channels, removed)}", pruned)
        return bench.trained(pruned, "distil from the network before", bench.schedule(self.epochs, self.rate))

    def removed(self, channels: ChannelMap, bench: Workbench) -> set[int]:
        """Return the channels that go: of each layer those up to the knee of its curve."""
        size = magnitudes(channels)
        sweep = [round(self.most * step / (self.rates - 1), 4) for step in range(self.rates)]
        removed: set[int] = set()
        for width in channels.widths:
            order = sorted(width.classes, key=lambda each: (size.get(each, 0.0), each))
            cuts = [channels.thinned(order, round(rate * len(order))) for rate in sweep]
            cuts = list({len(cut): cut for cut in cuts}.values())
            curve = bench.accuracies([bench.without(channels, cut) for cut in cuts], f"rates of {width.name}")
            found = knee([len(cut) / len(order) for cut in cuts], curve)
            removed |= cuts[found] if found is not None else set()
        return removed


def _summary(channels: ChannelMap, removed: set[int]) -> str:
    def part(width: Width) -> str:
        return f"{width.name} −{len(removed & set(width.classes))}/{len(width.classes)}"

    return ", ".join(map(part, channels.widths))
