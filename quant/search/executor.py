"""Executors of a search: they measure the accuracy of a whole integer network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from quant.config import QuantiseConfig
from quant.quantise import quantise
from quant.search.problem import Problem
from toolflow.interpreter.run import logits_of


def accuracy(problem: Problem, candidate: QuantiseConfig, progress: Callable[[str], None] = lambda _: None) -> float:
    """Return a candidate's accuracy on the problem's judged images.

    Args:
        problem: the network and the images.
        candidate: the configuration to quantise with.
        progress: called with each layer when it is quantised.
    """
    made = quantise(problem.graph, problem.images, problem.normalisation, candidate, progress=progress)
    return float((logits_of(made.graph, problem.judged.images).argmax(axis=1) == problem.judged.classes).mean())


class Executor(Protocol):
    """Judges candidates, here or elsewhere. What it takes and returns can be pickled, except `progress`."""

    def judge(
        self, problem: Problem, candidates: Sequence[QuantiseConfig], progress: Callable[[str], None]
    ) -> list[float]:
        """Return the accuracy of each candidate, in their order."""


class InProcess:
    """Judges one candidate after the other, here."""

    def judge(
        self, problem: Problem, candidates: Sequence[QuantiseConfig], progress: Callable[[str], None]
    ) -> list[float]:
        """Return the accuracy of each candidate, in their order."""
        return [accuracy(problem, candidate, progress) for candidate in candidates]
