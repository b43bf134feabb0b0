"""Integers of real numbers that lie on a grid, found without rounding.

A float is an integer times a power of two. So the largest step of which some floats are multiples is an exact number,
and nothing needs to be known of how a file spells its scales.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


def common_step(values: Iterable[Fraction | float]) -> Fraction:
    """Return the largest number of which all values are multiples, 0 if all of them are 0."""
    step = Fraction(0)
    for value in values:
        exact = abs(Fraction(value))
        if exact:
            below = math.lcm(step.denominator, exact.denominator)
            step = Fraction(math.gcd(int(step * below), int(exact * below)), below)
    return step


def channel_steps(weight: FloatArray) -> list[Fraction]:
    """Return the step of each output channel's weights (K, ..); 1 for a channel of zeros."""
    return [common_step(np.unique(np.abs(row)).tolist()) or Fraction(1) for row in weight.reshape(len(weight), -1)]


def on_grid(weight: FloatArray, steps: list[Fraction]) -> Int64Array:
    """Return the integers of weights (K, ..) whose output channels are multiples of `steps`.

    A quotient of a multiple and its step is an integer below 2^53, which float64 divides exactly.
    """
    columns = np.array([float(step) for step in steps]).reshape(-1, *[1] * (weight.ndim - 1))
    integers: Int64Array = np.rint(weight / columns).astype(np.int64)
    return integers
