"""What a network learns from its teacher: terms of the loss, each a function of what both say about the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as functional

from quant.training.schedules import Schedule

Tensor = torch.Tensor

SMALLEST_ENERGY = 1e-12  # of a map that is 0 everywhere
USUAL_POINTS = 3  # maps that the published weight of attention is meant for


@dataclass(frozen=True)
class Said:
    """A network's logits (N, classes), and its maps (N, C, H, W) or vectors (N, F) by the names of its nodes."""

    logits: Tensor
    maps: Mapping[str, Tensor]


class Term(Protocol):
    """A term of the loss."""

    def __call__(self, student: Said, teacher: Said, progress: float) -> Tensor:
        """Return the term, a scalar, at a share of the training."""


@dataclass(frozen=True)
class SoftAnswers:
    """T²·KL(teacher ‖ student) of the answers at a temperature T (Hinton et al. 2015)."""

    temperature: Schedule

    def __call__(self, student: Said, teacher: Said, progress: float) -> Tensor:
        """Return the mean over the images."""
        temperature = self.temperature(progress)
        meant, said = (functional.log_softmax(each.logits / temperature, 1) for each in (teacher, student))
        return functional.kl_div(said, meant, reduction="batchmean", log_target=True) * temperature**2


@dataclass(frozen=True)
class MatchedMaps:
    """The error of each map, divided by the teacher's energy; of those that have one shape in both.

    Attributes:
        weight: of each map.
        names: of the maps; None for all.
    """

    weight: float
    names: tuple[str, ...] | None = None

    def __call__(self, student: Said, teacher: Said, progress: float) -> Tensor:
        """Return the sum over the maps."""
        total = student.logits.new_zeros(())
        for name, wanted in teacher.maps.items():
            found = student.maps.get(name) if self.names is None or name in self.names else None
            if self.weight and found is not None and found.shape == wanted.shape:
                energy = wanted.square().mean().clamp_min(SMALLEST_ENERGY)
                total = total + self.weight * functional.mse_loss(found, wanted) / energy
        return total


@dataclass(frozen=True)
class AttentionMaps:
    """The error of where both look: the mean over channels of x², normalised over the positions (Zagoruyko 2017).

    The widths may differ. The weight is for three maps; the terms of more or fewer are scaled to the same sum.
    """

    weight: float = 1e3

    def __call__(self, student: Said, teacher: Said, progress: float) -> Tensor:
        """Return the mean squared error, summed over the maps whose heights and widths agree."""
        pairs = [
            (student.maps[name], wanted)
            for name, wanted in teacher.maps.items()
            if wanted.ndim > 2 and name in student.maps and student.maps[name].shape[2:] == wanted.shape[2:]
        ]
        total = student.logits.new_zeros(())
        for found, wanted in pairs:
            total = total + functional.mse_loss(_attention(found), _attention(wanted))
        return total * self.weight * USUAL_POINTS / max(len(pairs), 1)


def _attention(x: Tensor) -> Tensor:
    return functional.normalize(x.square().mean(1).flatten(1))
