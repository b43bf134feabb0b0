"""The judge of a search: each candidate is measured once, by the executor or from the notebook."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from quant.config import QuantiseConfig
from quant.mechanisms.search.executor import Executor, InProcess, Work
from quant.quantise import quantise
from quant.search.notebook import Notebook
from quant.search.problem import Problem
from quant.search.selection import Selection, configured
from toolflow.interpreter.run import logits_of


class Accuracies(Protocol):
    """Gives the accuracy of a network with selected layers."""

    def accuracy(self, selection: Selection) -> float:
        """Return the accuracy of the network."""


def accuracy(problem: Problem, candidate: QuantiseConfig, progress: Callable[[str], None] = lambda _: None) -> float:
    """Return a candidate's accuracy on the problem's judged images.

    Args:
        problem: the network and the images.
        candidate: the configuration to quantise with.
        progress: called with each layer when it is quantised.
    """
    made = quantise(problem.graph, problem.images, problem.normalisation, candidate, progress=progress)
    return float((logits_of(made.graph, problem.judged.images).argmax(axis=1) == problem.judged.classes).mean())


class Judge:
    """The accuracy of each candidate of one problem.

    Args:
        problem: the problem of the search.
        executor: makes what applies the measurement to candidates, which can be pickled; None to measure here.
        book: the notebook with earlier judgements, to which new ones are added.
        progress: called with the current candidate and, if it is measured here, each of its layers.
        at_most: largest number of candidates, for the progress.
    """

    def __init__(
        self,
        problem: Problem,
        executor: Callable[[Work], Executor] | None,
        book: Notebook,
        progress: Callable[[str], None],
        at_most: int,
    ) -> None:
        self._problem, self._book = problem, book
        here = partial(accuracy, problem, progress=self._told)
        self._executor = InProcess(here) if executor is None else executor(partial(accuracy, problem))
        self._progress, self._at_most, self._count = progress, at_most, 0

    def accuracy(self, selection: Selection) -> float:
        """Return the accuracy of a selection's network on the problem's judged images."""
        return self.accuracy_of(self.configuration(selection))

    def configuration(self, selection: Selection) -> QuantiseConfig:
        """Return the problem's configuration with a selection's tiles, patterns and bits."""
        return configured(self._problem.config, selection, self._problem.arrangement)

    def accuracy_of(self, candidate: QuantiseConfig) -> float:
        """Return the accuracy of a configuration's network on the same images."""
        self._count += 1
        known = self._book.accuracy(candidate)
        if known is None:
            ((_, known),) = self._executor.results([candidate])
            self._book.keep_accuracy(candidate, known)
        return known

    def _told(self, layer: str) -> None:
        self._progress(f"judge network {self._count} of {self._at_most} at most, {layer}")
