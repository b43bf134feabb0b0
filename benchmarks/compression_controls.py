"""The controls of the compression recipes: each is the recipe without the idea that it is measured for.

A control differs from its recipe in one method, so that everything else is the same: images, teacher, schedule, seed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from quant.mechanisms.distil.peers import Peers
from quant.mechanisms.finetune import fresh
from quant.mechanisms.rewrite.branches import Branched
from quant.mechanisms.rewrite.channels import ChannelMap, Width
from quant.mechanisms.saliency import magnitudes
from quant.mechanisms.uniform import least_salient, share_within
from quant.recipes.blockwise import Block, Blockwise
from quant.recipes.combine_net import CombineNet
from quant.recipes.genecai import Fitness, GeneCai, Genes, Rng, Space, drawn
from quant.recipes.genetic_channels import GeneticChannels
from quant.recipes.hakd import Hakd
from quant.recipes.multi_segment import MultiSegment
from quant.recipes.okddip import OkdDip
from quant.recipes.workbench import Workbench
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph


@dataclass(frozen=True)
class UniformRate(CombineNet):
    """Combine-Net with the same rate in every layer, as large as the budget asks for."""

    name: ClassVar[str] = "uniform-rate"
    takes_budget: ClassVar[bool] = True

    def removed(self, channels: ChannelMap, bench: Workbench) -> set[int]:
        """Return the smallest channels of every layer."""
        size = magnitudes(channels)
        return _uniform(channels, size, _budget(bench), bench)


@dataclass(frozen=True)
class MagnitudeChannels(GeneticChannels):
    """Genetic channel pruning that takes the smallest channels instead: as many of each layer."""

    name: ClassVar[str] = "magnitude-channels"

    def chosen(self, channels: ChannelMap, width: Width, count: int, bench: Workbench) -> list[int]:
        """Return the channels with the smallest kernels."""
        size = magnitudes(channels)
        return sorted(width.classes, key=lambda each: (size.get(each, 0.0), each))[:count]


@dataclass(frozen=True)
class UniformStudent(Hakd):
    """HAKD with the same share of channels in every layer."""

    name: ClassVar[str] = "uniform-student"

    def student(
        self, channels: ChannelMap, saliency: Mapping[int, float], budget: float, bench: Workbench
    ) -> tuple[Graph, str]:
        """Return a fresh student."""
        removed = _uniform(channels, saliency, budget, bench)
        return fresh(channels.without(removed), bench.seed), "a fresh student of uniform width"


@dataclass(frozen=True)
class FisherPruned(Hakd):
    """HAKD with the channels of the least Fisher saliency removed wherever they are, and weights kept.

    Theis et al. 2018 remove one channel after the other while they train; here all go at once, and the training is
    HAKD's.
    """

    name: ClassVar[str] = "fisher-pruned"

    def student(
        self, channels: ChannelMap, saliency: Mapping[int, float], budget: float, bench: Workbench
    ) -> tuple[Graph, str]:
        """Return the pruned network."""
        classes = [each for width in channels.widths for each in width.classes]
        order = sorted(classes, key=lambda each: (saliency.get(each, 0.0), each))
        most = budget * bench.pricing.cycles(channels.graph)
        few, many = 0, len(order)
        while many - few > 1:
            middle = (few + many) // 2
            enough = bench.pricing.cycles(channels.without(channels.thinned(order, middle))) <= most
            few, many = (few, middle) if enough else (middle, many)
        pruned = channels.without(channels.thinned(order, many))
        if bench.pricing.cycles(pruned) > most:
            raise ToolflowError(f"no Fisher pruning of '{channels.graph.name}' keeps {budget} of its cycles")
        return pruned, f"remove {many} classes of channels of the least saliency"


@dataclass(frozen=True)
class ObservedGeneCai(GeneCai):
    """GeneCAI that writes down the accuracy and the cycles of every candidate.

    Attributes:
        log: the file, JSON lines.
    """

    log: str = ""

    def measured(self, candidates: Sequence[Graph], what: str, bench: Workbench) -> list[tuple[float, float]]:
        """Return the accuracy and the cycles of each candidate."""
        found = super().measured(candidates, what, bench)
        with Path(self.log).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps([what, accuracy, cycles]) + "\n" for accuracy, cycles in found)
        return found


@dataclass(frozen=True)
class RandomSearch(ObservedGeneCai):
    """GeneCAI with random candidates in place of all generations behind the first one: as many of them."""

    name: ClassVar[str] = "random-search"

    def search(
        self, space: Space, limits: Genes, first: Sequence[Genes], fitness: Fitness, rng: Rng
    ) -> tuple[Genes, float]:
        """Return the best of random genes, and its fitness."""
        candidates = [*first, *(drawn(space, limits, rng) for _ in range(self.generations * self.population))]
        values = [
            value
            for start in range(0, len(candidates), self.population)
            for value in fitness(candidates[start : start + self.population])
        ]
        best = max(range(len(values)), key=values.__getitem__)
        return candidates[best], values[best]


@dataclass(frozen=True)
class EndToEnd(Blockwise):
    """The same student with all blocks exchanged at once and all its layers trained together, as many epochs."""

    name: ClassVar[str] = "end-to-end"

    def distilled(self, network: Graph, blocks: Sequence[Block], bench: Workbench) -> Graph:
        """Return the trained student."""
        student = network
        for block in blocks:
            student = self.started(student, block, bench)
        schedule = bench.schedule(self.epochs * len(blocks), self.rate)
        return bench.trained(student, "train all blocks together", schedule, self.lesson(network, blocks))


@dataclass(frozen=True)
class ReluStudent(MultiSegment):
    """The same student with its ReLUs."""

    name: ClassVar[str] = "relu-student"

    def activated(self, student: Graph, bench: Workbench) -> Graph:
        """Return the student as it is."""
        return student


@dataclass(frozen=True)
class TrainedAlone(OkdDip):
    """The same fresh network, trained on the labels alone."""

    name: ClassVar[str] = "trained-alone"

    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the trained network."""
        schedule = bench.schedule(self.epochs, self.rate, taught=0)
        return bench.trained(fresh(network, bench.seed), "train alone", schedule)


@dataclass(frozen=True)
class UniformPeers(OkdDip):
    """OKDDip whose peers all learn from their plain mean."""

    name: ClassVar[str] = "uniform-peers"

    def teacher(self, branched: Branched, bench: Workbench) -> Peers:
        """Return equal weights of all peers."""
        return replace(super().teacher(branched, bench), attended=False)


def _uniform(channels: ChannelMap, saliency: Mapping[int, float], budget: float, bench: Workbench) -> set[int]:
    share = share_within(channels, bench.pricing, budget, saliency)
    return set().union(*least_salient(channels, share, saliency).values())


def _budget(bench: Workbench) -> float:
    assert bench.budget is not None
    return bench.budget
