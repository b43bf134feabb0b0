"""Values that change while a network is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[float], float]  # from the share of the training that is done, 0 to 1


@dataclass(frozen=True)
class Constant:
    """The same value all the time."""

    value: float

    def __call__(self, progress: float) -> float:
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class Moving:
    """From one value to another, as a half cosine over the whole training."""

    start: float
    end: float

    def __call__(self, progress: float) -> float:
        """Return the value at a share of the training."""
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class RampUp:
    """The largest value times exp(−5·(1 − progress/rise)²), and the largest value after `rise` (Laine, Aila 2017).

    Attributes:
        largest: the value at the end.
        rise: share of the training that it rises for, above 0.
    """

    largest: float
    rise: float

    def __call__(self, progress: float) -> float:
        """Return the value at a share of the training."""
        return self.largest * math.exp(-5 * (1 - min(progress / self.rise, 1)) ** 2)
