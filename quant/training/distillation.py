"""What a network learns: terms of the loss × their schedules × where inputs come from × which teacher.

    images ─ inputs ─┬─ network ─ students ─┬─ terms(student, target) · taught + cross entropy · labelled
                     └─ teacher ─ targets ──┘

A `Distillation` is a value. `Lesson` is what a training run makes of it: the teacher's networks and parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as functional
from torch import nn

from quant.training.recipe import Recipe
from quant.training.schedules import Constant, Schedule
from quant.training.terms import MatchedMaps, Said, SoftAnswers, Term
from quant.training.trainable import TrainableNetwork
from toolflow.ir.graph import Graph

Tensor = torch.Tensor


class TeacherModule(nn.Module, ABC):
    """What says what the students should say; parameters that need gradients are trained with the network."""

    @abstractmethod
    def forward(self, x: Tensor, students: Sequence[Said], reads: Collection[str]) -> Sequence[Said]:
        """Return the target of each student.

        Args:
            x: the network's input (N, C, H, W).
            students: what the networks that are trained say about it.
            reads: names of tensors that are returned beside the usual maps.
        """


class Teacher(Protocol):
    """Which networks teach."""

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """Networks that teach beside the network before the run and those that are trained."""

    def begun(self, before: Graph) -> TeacherModule:
        """Return the teacher at the start of a run.

        Args:
            before: the network before the run.
        """


class Inputs(Protocol):
    """Where inputs come from."""

    def __call__(self, x: Tensor, labels: Tensor | None, network: nn.Module) -> Tensor:
        """Return the inputs of a step (N, C, H, W) for its normalised images and their labels (N,)."""


@dataclass(frozen=True)
class GivenImages:
    """The images as they are."""

    def __call__(self, x: Tensor, labels: Tensor | None, network: nn.Module) -> Tensor:
        """Return the images."""
        return x


@dataclass(frozen=True)
class Networks:
    """Fixed networks: the mean of their logits, and the maps of one alone.

    Attributes:
        graphs: the networks; none for the network before the run.
    """

    graphs: tuple[Graph, ...] = field(default=(), repr=False)

    def begun(self, before: Graph) -> TeacherModule:
        """Return the networks in evaluation."""
        return _NetworksModule(self.graphs or (before,))


class _NetworksModule(TeacherModule):
    def __init__(self, graphs: Sequence[Graph]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(TrainableNetwork(graph) for graph in graphs)
        self.requires_grad_(requires_grad=False).eval()

    @torch.no_grad()
    def forward(self, x: Tensor, students: Sequence[Said], reads: Collection[str]) -> Sequence[Said]:
        said = [Said(*network.logits_and_maps(x, reads)) for network in self.networks]  # type: ignore[operator]
        maps: Mapping[str, Tensor] = said[0].maps if len(said) == 1 else {}
        return [Said(torch.stack([each.logits for each in said]).mean(0), maps)] * len(students)


@dataclass(frozen=True)
class Distillation:
    """What a network learns.

    Attributes:
        terms: of the loss, each between a student and its target; their sum counts.
        taught: weight of that sum; 1 if there are no labels.
        labelled: weight of the labels' cross entropy.
        teacher: gives the targets.
        inputs: give what both look at.
        reads: names of tensors that terms or teacher need beside the usual maps.
        members: students whose logits the network gives side by side, (N, members · classes).
    """

    terms: tuple[Term, ...]
    taught: Schedule
    labelled: Schedule
    teacher: Teacher = Networks()
    inputs: Inputs = GivenImages()
    reads: tuple[str, ...] = ()
    members: int = 1

    @classmethod
    def of(cls, recipe: Recipe, *terms: Term) -> Distillation:
        """Return what is learnt from the network before, weighed as a recipe says.

        Args:
            recipe: the recipe of the training.
            terms: none for its answers at the recipe's temperature, and its maps.
        """
        usual = SoftAnswers(Constant(recipe.temperature)), MatchedMaps(recipe.matched)
        return cls(terms or usual, Constant(recipe.taught), Constant(1 - recipe.taught))


class Lesson(nn.Module):
    """The loss of a training run.

    Args:
        given: what is learnt.
        before: the network before the run.
    """

    def __init__(self, given: Distillation, before: Graph) -> None:
        super().__init__()
        self.given, self.teacher = given, given.teacher.begun(before)

    def forward(self, network: TrainableNetwork, x: Tensor, labels: Tensor | None, progress: float) -> Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            network: the network that is trained.
            x: normalised images (N, C, H, W).
            labels: their classes (N,), None if there are none.
            progress: share of the training that is done.
        """
        given = self.given
        x = given.inputs(x, labels, network)
        taught, labelled = (1.0, 0.0) if labels is None else (given.taught(progress), given.labelled(progress))
        if labels is not None and taught == 0:
            return _sum(functional.cross_entropy(each, labels) for each in self._split(network(x))) * labelled
        logits, maps = network.logits_and_maps(x, given.reads)
        students = [Said(each, maps) for each in self._split(logits)]
        targets = self.teacher(x, students, given.reads)
        pairs = list(zip(students, targets, strict=True))
        loss = taught * _sum(term(*pair, progress) for term in given.terms for pair in pairs)
        if labels is None:
            return loss
        return loss + labelled * _sum(functional.cross_entropy(each.logits, labels) for each in students)

    def _split(self, logits: Tensor) -> Sequence[Tensor]:
        return logits.chunk(self.given.members, 1)

    def learnt(self) -> dict[str, Tensor]:
        """Return the parameters that are trained, by name."""
        return {name: value.detach() for name, value in self.named_parameters() if value.requires_grad}


def _sum(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).sum()
