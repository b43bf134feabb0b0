"""Executors of a search get data only, and no more candidates than the budget allows."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from quant.config import QuantiseConfig
from quant.float_network import float_classes
from quant.mechanisms.search.executor import InProcess, Work
from quant.search.problem import Answered, Problem
from quant.search.search import search
from quant.search.sensitivity import Space
from tests.unit.quant.quantise_networks import NORMALISATION, images, residual_network


@pytest.fixture(scope="module")
def problem() -> Problem:
    graph, judged = residual_network(), images(32, seed=9)
    answered = Answered(judged, float_classes(graph, judged, NORMALISATION.apply))
    space = Space((0, 2), (None,), (8, 5), (8,))
    return Problem(graph, images(24), NORMALISATION, QuantiseConfig(), space, answered, 0.05)


class Elsewhere:
    """Judges what was pickled, as another process would."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.batches: list[int] = []

    def results(self, candidates: Sequence[QuantiseConfig]) -> Iterator[tuple[int, float]]:
        self.batches.append(len(candidates))
        work, asked = pickle.loads(pickle.dumps((self.work, list(candidates))))
        return iter(pickle.loads(pickle.dumps(list(InProcess(work).results(asked)))))

    def close(self) -> None:
        pass


def test_candidates_can_be_judged_elsewhere(problem: Problem) -> None:
    made: list[Elsewhere] = []

    def elsewhere(work: Work) -> Elsewhere:
        made.append(Elsewhere(work))
        return made[0]

    found = search(problem, executor=elsewhere)
    assert found == search(problem)
    assert made[0].batches == [1] * len(found.trials)


@pytest.mark.parametrize("trials", [0, 1])
def test_the_budget_is_kept(problem: Problem, trials: int) -> None:
    """Accuracy falls with every candidate here, so the plainest network is the result."""

    class Falling:
        def __init__(self, _work: Work) -> None:
            self.left = list(np.linspace(1.0, 0.0, 9))

        def results(self, candidates: Sequence[QuantiseConfig]) -> Iterator[tuple[int, float]]:
            return ((place, float(self.left.pop(0))) for place, _ in enumerate(candidates))

        def close(self) -> None:
            pass

    found = search(problem, executor=Falling, trials=trials)
    assert len(found.trials) == trials + 1
    assert found.chosen == 0
