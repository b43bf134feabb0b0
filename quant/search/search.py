"""Search the tile, pattern and bits of each layer: measured alone, selected together, judged by accuracy.

    sensitivities ─ the effect of one choice on the float network's answers (Kullback-Leibler divergence)
    selection     ─ the cheapest choices whose divergences stay within a budget (an integer linear programme)
    judgement     ─ the largest budget that keeps the accuracy, found by quantising whole networks

The sum of divergences is an approximation for small independent errors. The judgement does not rely on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from quant.arrangement.forms import layer_forms
from quant.config import QuantiseConfig
from quant.mechanisms.search.executor import Executor, Work
from quant.quantise import quantise
from quant.search.judge import Accuracies, Judge
from quant.search.notebook import Notebook
from quant.search.prices import BitOperations, Multiplications, Prices, Saves, cycles
from quant.search.problem import Problem
from quant.search.proposer import Bisection
from quant.search.sensitivity import MAX_IMAGES, Sensitivities, measure
from toolflow.engine.config import EngineConfig

TRIALS = 6  # networks that are judged after the plainest one
PRICED_IMAGES = 32  # on which the network is quantised whose cycles are asked for: they do not depend on it
PLAIN = {"tile": 0, "tiles": {}, "pattern": None, "patterns": {}, "rounding": "nearest"}

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """A network that was judged.

    Attributes:
        divergence: sum of the divergences of its choices.
        cost: cost ÷ the cost of the plainest network.
        accuracy: accuracy of the whole integer network.
    """

    divergence: float
    cost: float
    accuracy: float


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        config: the given configuration with tiles, patterns and bits of every layer.
        saves: the unit of the cost.
        trials: all trials in their order; the first is the plainest network that fits the target.
        chosen: index of the result among them.
        engine: the engine on which the result takes the fewest cycles; None if cycles were not counted.
    """

    config: QuantiseConfig
    saves: Saves
    trials: tuple[Trial, ...]
    chosen: int
    engine: EngineConfig | None


def search(
    problem: Problem,
    progress: Progress = lambda _: None,
    notebook: Path | None = None,
    executor: Callable[[Work], Executor] | None = None,
    trials: int = TRIALS,
) -> SearchResult:
    """Return the cheapest configuration that loses no more accuracy than allowed against the plainest one.

    Args:
        problem: the problem of the search.
        progress: called with the current measurement or judgement.
        notebook: file of measurements, from which an interrupted search continues.
        executor: makes what applies the work of measuring a candidate; None to measure them in this process.
        trials: budget: the largest number of networks that are judged after the plainest one.

    Raises:
        DoesNotFitError: the network fits the board in no form.
    """
    layer_forms(problem.arrangement, problem.config)  # what cannot be is refused before anything is measured
    book = Notebook(notebook, problem)
    found = book.measurement()
    if found is None:
        found = _measured(problem, progress)
        book.keep_measurement(found)
    judge = Judge(problem, executor, book, progress, trials + 1)
    if not found.layers:
        plain = Trial(0.0, 1.0, judge.accuracy_of(problem.config))
        return SearchResult(problem.config, "multiplications", (plain,), 0, None)
    saves, prices = _priced(problem, found, progress)
    proposer = Bisection(found, prices)
    return SearchResult(
        saves=saves,
        trials=judged(proposer, judge, problem.allowed, trials),
        chosen=proposer.chosen,
        config=judge.configuration(proposer.best),
        engine=proposer.best.engine,
    )


def judged(proposer: Bisection, judge: Accuracies, allowed: float, trials: int = TRIALS) -> tuple[Trial, ...]:
    """Judge proposals until there are no more or the budget is spent; return the trials in their order.

    Args:
        proposer: proposes selections; its best one is the result.
        judge: gives their accuracies.
        allowed: accuracy that may be lost against the plainest selection.
        trials: budget: the largest number of selections that are judged after the plainest one.
    """
    plain = proposer.plain
    made = [Trial(plain.divergence, 1.0, judge.accuracy(plain))]
    while len(made) <= trials and (selection := proposer.ask()) is not None:
        accuracy = judge.accuracy(selection)
        made.append(Trial(selection.divergence, selection.cost / plain.cost, accuracy))
        proposer.tell(selection, keeps=accuracy >= made[0].accuracy - allowed)
    return tuple(made)


def _measured(problem: Problem, progress: Progress) -> Sensitivities:
    x = torch.as_tensor(problem.normalisation.apply(problem.images[:MAX_IMAGES])).float()
    with torch.no_grad():
        return measure(problem.arrangement, x, problem.config, problem.space, lambda what: progress(f"measure {what}"))


def _priced(problem: Problem, found: Sensitivities, progress: Progress) -> tuple[Saves, tuple[Prices, ...]]:
    """Return what the problem wants saved, and what each option costs of it."""
    if problem.target is not None:
        progress("quantise the network that engines are planned for")
        plain = problem.config.model_copy(update=PLAIN)
        base = quantise(problem.graph, problem.images[:PRICED_IMAGES], problem.normalisation, plain).graph
        return "cycles", cycles(found, problem.arrangement, base, problem.config, problem.target, progress)
    if max(len(problem.space.weight_bits), len(problem.space.activation_bits)) > 1:
        return "bit-operations", (BitOperations(),)
    return "multiplications", (Multiplications(),)
