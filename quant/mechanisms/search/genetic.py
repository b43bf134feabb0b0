"""A genetic algorithm: selection by fitness, crossover and mutation of any kind of candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Candidate = TypeVar("Candidate")
Rng = np.random.Generator


@dataclass(frozen=True)
class Genetic(Generic[Candidate]):
    """The rules of one search.

    Attributes:
        cross: two children of two parents.
        mutate: a candidate with some genes changed.
        crossed, mutated: share of the pairs that are crossed, and of the candidates that are mutated.
    """

    cross: Callable[[Candidate, Candidate, Rng], tuple[Candidate, Candidate]]
    mutate: Callable[[Candidate, Rng], Candidate]
    crossed: float = 0.2
    mutated: float = 0.8

    def search(
        self,
        population: Sequence[Candidate],
        fitness: Callable[[Sequence[Candidate]], Sequence[float]],
        generations: int,
        rng: Rng,
    ) -> tuple[Candidate, float]:
        """Return the best candidate of all generations, and its fitness.

        Parents are drawn in proportion to their fitness above the generation's least; the best one always stays.

        Args:
            population: the first generation.
            fitness: of the candidates of a generation; only differences count.
            generations: after the first.
            rng: of all choices.
        """
        current = list(population)
        values = np.asarray(fitness(current), dtype=np.float64)
        for _ in range(generations):
            best = current[int(values.argmax())]
            parents = [current[index] for index in rng.choice(len(current), len(current), p=shares(values))]
            children: list[Candidate] = []
            for one, other in zip(parents[::2], [*parents[1::2], parents[0]], strict=False):
                pair = self.cross(one, other, rng) if rng.random() < self.crossed else (one, other)
                children += [self.mutate(each, rng) if rng.random() < self.mutated else each for each in pair]
            current = [best, *children[: len(current) - 1]]
            values = np.asarray(fitness(current), dtype=np.float64)
        return current[int(values.argmax())], float(values.max())


def shares(values: np.ndarray) -> np.ndarray:
    """Return the probability of each candidate: its fitness above the least one's, or the same for all."""
    above = values - values.min()
    largest = above.max()
    if not largest > 0:
        return np.full(len(values), 1 / len(values))
    scaled = above / largest  # sums of large numbers would overflow
    return np.asarray(scaled / scaled.sum())
