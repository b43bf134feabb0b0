"""HAKD: widths at the step edges of the board's own cost, and a fresh student with attention transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from quant.mechanisms.finetune import fresh
from quant.mechanisms.rewrite.channels import ChannelMap, Width
from quant.mechanisms.saliency import fisher
from quant.mechanisms.staircase import step_edges
from quant.recipes.recipe import CompressionRecipe, setting
from quant.recipes.workbench import Workbench
from quant.training.distillation import Distillation
from quant.training.terms import AttentionMaps
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph

BUDGET = 0.5  # of the cycles, where none is given


@dataclass(frozen=True)
class Hakd(CompressionRecipe):
    """Profile each layer's cost over its width, choose widths at step edges, train a new student (Turner et al. 2018).

    Our reading, as only the abstract is open: the profile is the cycle model of the board's engine. Only a width behind
    which the cycles rise by the mean rise of a channel, or by more, is a candidate. From the whole network on, that
    layer is narrowed to its next edge which loses the least Fisher saliency for each cycle that it saves, until the
    budget is kept. Layers whose outputs are added have one width.

    Attributes:
        epochs: of the student's training, from random weights.
        rate: learning rate at the start.
        attention: weight of the attention maps for three maps.
    """

    name: ClassVar[str] = "hakd"
    sentence: ClassVar[str] = (
        "Choose widths at the step edges of the board's cycles; train a fresh student on attention."
    )
    paper: ClassVar[str] = "Turner, Crowley, Radu, Cano, Storkey, O'Boyle, arXiv 1810.10460, 2018"
    gives: ClassVar[str] = "fewer channels, new weights"
    needs_labels: ClassVar[bool] = True
    takes_budget: ClassVar[bool] = True

    epochs: int = setting(60, 1)
    rate: float = setting(0.004, 1e-6, 1)
    attention: float = setting(1e3, 0)

    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the student."""
        channels = ChannelMap.of(network)
        if not channels.widths:
            raise ToolflowError(f"'{network.name}' must have channels that may be removed: no layer has any")
        x, labels = bench.sample()
        if labels is None:
            raise ToolflowError("hakd needs labels: the training images must have an array y")
        budget = BUDGET if bench.budget is None else bench.budget
        student, what = self.student(channels, fisher(channels, x, labels), budget, bench)
        bench.record(what, student)
        schedule = bench.schedule(self.epochs, self.rate, taught=0.5)
        attention = Distillation.of(schedule, AttentionMaps(self.attention))
        return bench.trained(student, "train with attention transfer", schedule, attention)

    def student(
        self, channels: ChannelMap, saliency: Mapping[int, float], budget: float, bench: Workbench
    ) -> tuple[Graph, str]:
        """Return a student that keeps the budget, before it is trained, and its widths in words."""
        widths = [_Profiled(channels, width, saliency, bench) for width in channels.widths]
        removed = _within(channels, widths, bench, budget)
        shown = "; ".join(
            f"{each.name} {each.left(removed)} of {len(each.classes)}, {len(each.edges)} edges" for each in widths
        )
        return fresh(channels.without(removed), bench.seed), f"a fresh student: {shown}"


class _Profiled:
    """A width with the order in which its channels go, and the edges of its cost."""

    def __init__(self, channels: ChannelMap, width: Width, saliency: Mapping[int, float], bench: Workbench) -> None:
        self.name, self.classes = width.name, width.classes
        self._saliency = saliency
        self._order = sorted(width.classes, key=lambda each: (saliency.get(each, 0.0), each))
        self._gone = [channels.thinned(self._order, count) for count in range(len(self._order))]
        bench.told(0, f"profile {width.name}")
        left = {len(self._order) - len(gone): gone for gone in self._gone}
        self._by_width = dict(sorted(left.items()))
        costs = [bench.pricing.cycles(channels.without(gone)) for gone in self._by_width.values()]
        places = list(self._by_width)
        self.edges = [places[edge] for edge in step_edges(costs)]

    def left(self, removed: set[int]) -> int:
        """Return how many channels are left."""
        return len(set(self.classes) - removed)

    def narrowed(self, removed: set[int]) -> set[int] | None:
        """Return what goes with the next lower edge, None if there is none."""
        lower = [edge for edge in self.edges if edge < self.left(removed)]
        return (removed - set(self.classes)) | self._by_width[max(lower)] if lower else None

    def saliency(self, removed: set[int]) -> float:
        """Return the saliency of the channels that are removed."""
        return sum(self._saliency.get(each, 0.0) for each in removed & set(self.classes))


def _within(channels: ChannelMap, widths: Sequence[_Profiled], bench: Workbench, budget: float) -> set[int]:
    """Return the classes to remove so that the budget is kept.

    Raises:
        ToolflowError: the narrowest network does not keep it.
    """
    removed: set[int] = set()
    whole = now = bench.pricing.cycles(channels.graph)
    while now > budget * whole:
        moves = []
        for width in widths:
            tried = width.narrowed(removed)
            if tried is None or not _keeps_channels(channels, tried):
                continue
            cycles = bench.pricing.cycles(channels.without(tried))
            lost = width.saliency(tried) - width.saliency(removed)
            if cycles < now:
                moves.append((lost / (now - cycles), cycles, tried))
        if not moves:
            raise ToolflowError(
                f"--budget must be at least {now / whole:.3f} for '{channels.graph.name}', not {budget}: at the lowest "
                "step edges it takes that share of its cycles"
            )
        _, now, removed = min(moves, key=lambda move: move[:2])
    return removed


def _keeps_channels(channels: ChannelMap, removed: set[int]) -> bool:
    return all(mask.any() for mask in channels.masks(removed).values())
