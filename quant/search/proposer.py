"""The proposer of a search: it chooses the next network by bisecting the budget of divergence in its logarithm."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quant.search.prices import Prices
from quant.search.selection import Selection, plainest, select
from quant.search.sensitivity import Sensitivities

LEAST = 1e-9  # a divergence below this counts as none
SAME_COST, SAME_BUDGET = 0.995, 1.05  # two selections or budgets closer than this count as one


class Bisection:
    """Proposes one selection at a time. `tell` must follow each `ask` that returned a selection.

    Attributes:
        plain: the plainest selection, with which all others are compared; the closest one that fits an engine.
        best: the cheapest allowed selection so far.
        chosen: the place of the best one among those that were told of; the plainest one has place 0.
    """

    def __init__(self, found: Sensitivities, prices: Sequence[Prices]) -> None:
        self._found, self._prices = found, prices
        self.plain = plainest(found, prices)
        if self.plain.cost == math.inf:
            self.plain = select(found, 0.0, prices)
        self.best, self.chosen, self._told = self.plain, 0, 0
        self._lower = max(select(found, 0.0, prices).divergence, LEAST)
        self._upper = max(select(found, math.inf, prices).divergence, self._lower)
        self._budget: float | None = self._upper  # the cheapest of all may do

    def ask(self) -> Selection | None:
        """Return the next selection to judge, cheaper than the best one; None if there is nothing left to gain."""
        while self._budget is not None:
            selection = select(self._found, self._budget, self._prices)
            if selection.cost <= SAME_COST * self.best.cost:
                return selection
            self._lower = self._budget
            self._halve()
        return None

    def tell(self, selection: Selection, keeps: bool) -> None:
        """Record whether the selection that `ask` returned keeps the accuracy."""
        assert self._budget is not None
        self._told += 1
        if keeps:
            self._lower, self.best, self.chosen = self._budget, selection, self._told
        else:
            self._upper = self._budget
        self._halve()

    def _halve(self) -> None:
        ended = self._upper <= SAME_BUDGET * self._lower
        self._budget = None if ended else math.sqrt(self._lower * self._upper)
