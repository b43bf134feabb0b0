"""Choose a fixed number of items so that a quadratic error is least, by a genetic algorithm on strings of 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quant.mechanisms.search.genetic import Genetic

Bits = npt.NDArray[np.bool_]  # which items are chosen
Rng = np.random.Generator


def least_quadratic(error: npt.NDArray[np.float64], count: int, population: int, generations: int, rng: Rng) -> Bits:
    """Return the choice m of `count` items with the least mᵀQm that the search finds; the network never runs.

    Children take each item from either parent and mutants exchange one; the count is then repaired at random. The
    first generation holds the items with the least errors of their own.

    Args:
        error: Q (C, C), positive semi-definite.
        count: of items to choose.
        population: candidates of a generation.
        generations: after the first.
        rng: of all choices.
    """
    items = len(error)

    def cross(one: Bits, other: Bits, rng: Rng) -> tuple[Bits, Bits]:
        swapped = rng.random(items) < 0.5
        return repaired(np.where(swapped, other, one), count, rng), repaired(np.where(swapped, one, other), count, rng)

    def mutate(one: Bits, rng: Rng) -> Bits:
        made = one.copy()
        if 0 < count < items:
            made[rng.choice(np.flatnonzero(one))], made[rng.choice(np.flatnonzero(~one))] = False, True
        return made

    def fitness(some: Sequence[Bits]) -> list[float]:
        chosen = np.array(some, dtype=np.float64)
        return [-float(value) for value in np.einsum("ni,ij,nj->n", chosen, error, chosen)]

    alone = np.zeros(items, dtype=bool)
    alone[np.argsort(np.diag(error), kind="stable")[:count]] = True
    first = [alone, *(repaired(rng.random(items) < count / items, count, rng) for _ in range(population - 1))]
    return Genetic(cross, mutate, crossed=0.8, mutated=0.3).search(first, fitness, generations, rng)[0]


def repaired(chosen: Bits, count: int, rng: Rng) -> Bits:
    """Return the choice with items added or taken out at random until it has `count`."""
    made = chosen.copy()
    surplus = int(made.sum()) - count
    if surplus > 0:
        made[rng.choice(np.flatnonzero(made), surplus, replace=False)] = False
    elif surplus < 0:
        made[rng.choice(np.flatnonzero(~made), -surplus, replace=False)] = True
    return made
