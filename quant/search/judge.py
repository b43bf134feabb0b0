"""The judge of a search: each candidate is measured once, by the executor or from the notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from quant.config import QuantiseConfig
from quant.search.executor import Executor
from quant.search.notebook import Notebook
from quant.search.problem import Problem
from quant.search.selection import Selection, configured


class Accuracies(Protocol):
    """Gives the accuracy of a network with selected layers."""

    def accuracy(self, selection: Selection) -> float:
        """Return the accuracy of the network."""


class Judge:
    """The accuracy of each candidate of one problem.

    Args:
        problem: the problem of the search.
        executor: measures the candidates.
        book: the notebook with earlier judgements, to which new ones are added.
        progress: called with the current candidate and each of its layers.
        at_most: largest number of candidates, for the progress.
    """

    def __init__(
        self, problem: Problem, executor: Executor, book: Notebook, progress: Callable[[str], None], at_most: int
    ) -> None:
        self._problem, self._executor, self._book = problem, executor, book
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
            (known,) = self._executor.judge(self._problem, [candidate], self._told)
            self._book.keep_accuracy(candidate, known)
        return known

    def _told(self, layer: str) -> None:
        self._progress(f"judge network {self._count} of {self._at_most} at most, {layer}")
