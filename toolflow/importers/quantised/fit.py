"""Requantisations that equal a given step function of integers, found and proven.

The engine computes round_half_even((factor·v + bias)·multiplier / 2^shift). A step function that never falls is given
by its steps: for each result n the largest operand whose result is at most n. Both functions never fall, so they are
equal where they are equal on both sides of every step: that is the proof.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from toolflow.numerics.requantise import (
    MAX_MULTIPLIER,
    MAX_SHIFT,
    MULTIPLIER_BITS,
    PLAIN_BIAS_BITS,
    round_half_even_shift,
)

Int64Array = npt.NDArray[np.int64]

MAX_BIAS = 1 << (PLAIN_BIAS_BITS - 1)
MAX_SUM = 1 << 45  # of operand and bias: times a multiplier it stays below 2^62


@dataclass(frozen=True)
class Steps:
    """A step function of integers that never falls, between two operands.

    Attributes:
        low, low_result: int64 (M,): the result at `low` is at most `low_result`.
        high, high_result: int64 (M,): the result at `high` is more than `high_result`.
        slope, offset: of the line slope·v + offset that the function rounds; slope is above 0. They only guide the
            search.
        constant: the result if there is only one, else None.
    """

    low: Int64Array
    low_result: Int64Array
    high: Int64Array
    high_result: Int64Array
    slope: float
    offset: float
    constant: int | None = None

    @classmethod
    def of(
        cls,
        last: Int64Array,
        result: Int64Array,
        operands: tuple[int, int],
        ends: tuple[int, int],
        clip: tuple[int, int],
        line: tuple[float, float],
    ) -> Steps:
        """Return the steps of a function.

        Args:
            last: for each of `result` the largest operand whose result is at most that.
            result: each result but the largest, ascending.
            operands: smallest and largest.
            ends: the results there.
            clip: bounds that results are clipped to: beyond them nothing needs to agree.
            line: slope and offset.
        """
        low, low_result, high, high_result = last, result, last + 1, result
        if ends[1] < clip[1]:
            low, low_result = np.append(low, operands[1]), np.append(low_result, ends[1])
        if ends[0] > clip[0]:
            high, high_result = np.append(high, operands[0]), np.append(high_result, ends[0] - 1)
        return cls(low, low_result, high, high_result, *line, ends[0] if ends[0] == ends[1] else None)


@dataclass(frozen=True)
class Rule:
    """A requantisation of one channel; `factor` multiplies the operand before the bias is added."""

    factor: int
    bias: int
    multiplier: int
    shift: int

    def results(self, operands: Int64Array) -> Int64Array:
        """Return the results without clipping."""
        return round_half_even_shift((operands * self.factor + self.bias) * self.multiplier, self.shift)


def steps_of_table(
    operands: Int64Array, results: Int64Array, clip: tuple[int, int], line: tuple[float, float]
) -> Steps:
    """Return the steps of a function that never falls, given at consecutive operands."""
    ends = int(results[0]), int(results[-1])
    wanted = np.arange(*ends, dtype=np.int64)
    last = operands[np.searchsorted(results, wanted, side="right") - 1]
    return Steps.of(last, wanted, (int(operands[0]), int(operands[-1])), ends, clip, line)


def fit(steps: Steps, factors: Iterable[int]) -> Rule | None:
    """Return a rule that equals a step function, None if none was found.

    Args:
        steps: the function.
        factors: of the operand, in the order in which they are tried.
    """
    if steps.constant is not None:
        return Rule(0, steps.constant, 1, 0) if abs(steps.constant) < MAX_BIAS else None
    for factor in factors:
        middle = round(steps.offset / steps.slope * factor)
        for bias in (middle, middle + 1, middle - 1, middle + 2, middle - 2):
            for rule in _rules(steps, factor, bias):
                if is_equal(rule, steps):
                    return rule
    return None


def is_equal(rule: Rule, steps: Steps) -> bool:
    """Return whether a rule, clipped, equals a function: whether it has all of its steps at the same operands."""
    if abs(rule.bias) >= MAX_BIAS:
        return False
    sums = [operands * rule.factor + rule.bias for operands in (steps.low, steps.high)]
    if max(int(np.abs(part).max(initial=0)) for part in sums) >= MAX_SUM:
        return False
    below, above = rule.results(steps.low), rule.results(steps.high)
    return bool((below <= steps.low_result).all() and (above > steps.high_result).all())


def _rules(steps: Steps, factor: int, bias: int) -> Iterator[Rule]:
    """Yield rules whose multiplier lies between the slopes that all steps allow."""
    slopes = _slopes(steps, factor, bias)
    if slopes is None:
        return
    least, most = slopes
    yield from _simplest(factor, bias, least, most)
    middle = (least + most) / 2
    largest = MULTIPLIER_BITS - math.frexp(middle)[1]
    for shift in range(min(largest, MAX_SHIFT), max(largest - 3, -1), -1):
        scale = 2.0**shift
        for multiplier in sorted({math.floor(most * scale), math.ceil(least * scale), round(middle * scale)}):
            if 1 <= multiplier <= MAX_MULTIPLIER:
                yield _shortest(factor, bias, multiplier, shift)


def _simplest(factor: int, bias: int, least: float, most: float) -> Iterator[Rule]:
    """Yield the rule with the smallest shift, so that powers of two are found where they are enough."""
    for shift in range(MAX_SHIFT + 1):
        multiplier = math.ceil(least * 2.0**shift)
        if multiplier > MAX_MULTIPLIER:
            return
        if 1 <= multiplier <= most * 2.0**shift:
            yield Rule(factor, bias, multiplier, shift)
            return


def _slopes(steps: Steps, factor: int, bias: int) -> tuple[float, float] | None:
    """Return the least and the largest slope of (factor·v + bias) that puts every step in its place; None if none."""
    low, high = steps.low * factor + bias, steps.high * factor + bias  # here at most, there at least a half more
    low_half, high_half = steps.low_result + 0.5, steps.high_result + 0.5
    if (low_half[low == 0] < 0).any() or (high_half[high == 0] > 0).any():
        return None
    most = (low_half[low > 0] / low[low > 0]).min(initial=math.inf)
    most = min(most, (high_half[high < 0] / high[high < 0]).min(initial=math.inf))
    least = (high_half[high > 0] / high[high > 0]).max(initial=0.0)
    least = max(least, (low_half[low < 0] / low[low < 0]).max(initial=0.0))
    if most <= 0 or least > most * (1 + 1e-12):
        return None
    if math.isinf(most):
        most = 2 * least if least else 1.0
    return (least, most) if most > 0 else None


def _shortest(factor: int, bias: int, multiplier: int, shift: int) -> Rule:
    """Return the rule without the powers of two that multiplier and shift have in common."""
    zeros = min((multiplier & -multiplier).bit_length() - 1, shift)
    return Rule(factor, bias, multiplier >> zeros, shift - zeros)


def exact_rule(slope: Fraction, bias: Fraction) -> Rule | None:
    """Return the rule of a line slope·(v + bias) if multiplier, shift and bias hold it exactly, else None."""
    if bias.denominator != 1 or slope.denominator & (slope.denominator - 1):
        return None
    shift = slope.denominator.bit_length() - 1
    if shift > MAX_SHIFT or not 1 <= slope.numerator <= MAX_MULTIPLIER:
        return None
    return Rule(1, int(bias), slope.numerator, shift)


def steps_of_line(
    slope: Fraction, bias: Fraction, results: tuple[int, int], operands: tuple[int, int], rounding: str
) -> Steps:
    """Return the steps of round(slope·(v + bias)), clipped, over a range of operands.

    Args:
        slope: above 0.
        bias: added to the operand.
        results: lower and upper bound of the results.
        operands: smallest and largest operand.
        rounding: of `FakeQuant`.
    """
    lowest, highest = operands
    wanted, last, first = [], [], results[0]
    for n in range(results[0], results[1]):
        where, reaches = _first_above(n, rounding)
        place = where / slope - bias
        begins = math.ceil(place) if reaches or place.denominator != 1 else int(place) + 1
        if begins <= lowest:
            first = n + 1
        elif begins <= highest:
            wanted.append(n)
            last.append(begins - 1)
    ends = first, wanted[-1] + 1 if wanted else first
    line = float(slope), float(slope * bias) + {"FLOOR": -0.5, "CEIL": 0.5}.get(rounding, 0.0)
    return Steps.of(np.array(last, np.int64), np.array(wanted, np.int64), operands, ends, results, line)


def _first_above(n: int, rounding: str) -> tuple[Fraction, bool]:
    """Return the number from which on a rounding gives more than n, and whether it does there already."""
    if rounding == "ROUND":
        return Fraction(2 * n + 1, 2), n % 2 == 1
    if rounding == "FLOOR" or (rounding == "ROUND_TO_ZERO" and n >= 0):
        return Fraction(n + 1), True
    return Fraction(n), False
