"""Light multi-segment activation: a narrow student whose activations have few linear segments that are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quant.mechanisms.finetune import fresh
from quant.mechanisms.rewrite.channels import ChannelMap
from quant.mechanisms.rewrite.segments import with_segments
from quant.mechanisms.saliency import magnitudes
from quant.mechanisms.uniform import least_salient, share_within
from quant.recipes.recipe import CompressionRecipe, setting
from quant.recipes.workbench import Workbench
from quant.training.distillation import Distillation
from quant.training.schedules import Constant
from quant.training.terms import SoftAnswers
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph

TEMPERATURE = 2.0
LABELLED, TAUGHT = 0.3, 0.7


@dataclass(frozen=True)
class MultiSegment(CompressionRecipe):
    """Light multi-segment activation in a student that is distilled (Xu, Ke, Zhang, Bian, Liu 2020).

    Each ReLU becomes a function of `segments` lines over the mean ± 3 standard deviations of its inputs, the outer
    segments open. Mean and deviation are those of the batch in training and running ones behind it. The lines are
    trained with the weights on 0.3 of the labels' cross entropy and 0.7 of the answers at T = 2.

    Our reading: the student is the network with the same share of channels in every layer, as `--budget` asks for, or
    all channels without a budget, and begins with random weights. A segment begins as the ReLU of its middle. The
    network's cost is that with ReLU: on integers of b bits the activation is a table of 2^b entries in the drain.
    `build` refuses such a network as long as no engine has this table.

    Attributes:
        segments: of each activation.
        epochs: of the training.
        rate: learning rate at the start.
    """

    name: ClassVar[str] = "multi-segment"
    sentence: ClassVar[str] = "Distil a fresh student whose activations are functions of few trained segments."
    paper: ClassVar[str] = "Xu, Ke, Zhang, Bian, Liu, AAAI 2020, arXiv 1907.06870"
    gives: ClassVar[str] = "fewer channels, new weights, activations of segments"
    needs_labels: ClassVar[bool] = True
    takes_budget: ClassVar[bool] = True
    builds: ClassVar[bool] = False

    segments: int = setting(8, 3)
    epochs: int = setting(60, 1)
    rate: float = setting(0.004, 1e-6, 1)

    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the student."""
        if bench.data.labels is None:
            raise ToolflowError("multi-segment needs labels: the training images must have an array y")
        student = self.activated(fresh(_narrowed(network, bench), bench.seed), bench)
        bench.record("a fresh student", student)
        lesson = Distillation((SoftAnswers(Constant(TEMPERATURE)),), Constant(TAUGHT), Constant(LABELLED))
        return bench.trained(student, "distil the student", bench.schedule(self.epochs, self.rate), lesson)

    def activated(self, student: Graph, bench: Workbench) -> Graph:
        """Return the student with segments in place of its ReLUs."""
        x, _ = bench.sample()
        return with_segments(student, self.segments, x)


def _narrowed(network: Graph, bench: Workbench) -> Graph:
    if bench.budget is None:
        return network
    channels = ChannelMap.of(network)
    if not channels.widths:
        raise ToolflowError(f"'{network.name}' must have channels that may be removed: no layer has any")
    size = magnitudes(channels)
    share = share_within(channels, bench.pricing, bench.budget, size)
    return channels.without(set().union(*least_salient(channels, share, size).values()))
