"""Requantisation against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolflow.numerics.digits import cut_digits, digit_range, digits_needed
from toolflow.numerics.requantise import (
    MAX_MULTIPLIER,
    MAX_SHIFT,
    Requantise,
    requantise,
    round_half_even_shift,
)
from toolflow.operators.integers import apply_requantise


def rule(bias: int, multiplier: int, shift: int, lower: int, upper: int, residual: int | None = None) -> Requantise:
    """Return a rule of one channel."""

    def column(value: int) -> np.ndarray:
        return np.array([value], dtype=np.int64)

    second = None if residual is None else column(residual)
    return Requantise(column(bias), column(multiplier), column(shift), lower, upper, second)


def oracle(acc: int, r: Requantise, residual: int = 0) -> int:
    """Round half to even with Python's exact fractions."""
    total = (acc + int(r.bias[0])) * int(r.multiplier[0])
    if r.residual_multiplier is not None:
        total += residual * int(r.residual_multiplier[0])
    return min(max(round(Fraction(total, 1 << int(r.shift[0]))), r.lower), r.upper)


WIDE = st.integers(-(2**31), 2**31 - 1)
BOUNDS = st.sampled_from([(0, 15), (-8, 7), (0, 255), (-128, 127), (-32768, 32767), (0, 200)])


@given(WIDE, WIDE, st.integers(1, MAX_MULTIPLIER), st.integers(0, MAX_SHIFT), BOUNDS)
def test_any_accumulator(acc: int, bias: int, multiplier: int, shift: int, bounds: tuple[int, int]) -> None:
    """Both the int64 definition and the float path of the reference are exact."""
    r = rule(bias, multiplier, shift, *bounds)
    expected = oracle(acc, r)
    assert requantise(np.array([[acc]]), r)[0, 0] == expected
    assert apply_requantise(np.array([[acc]], dtype=np.float64), r)[0, 0] == expected


@given(
    st.integers(-(2**24), 2**24),
    st.integers(1, MAX_MULTIPLIER),
    st.integers(0, 30),
    st.integers(-128, 255),
    st.integers(1, MAX_MULTIPLIER),
)
def test_residual_has_one_rounding(acc: int, multiplier: int, shift: int, residual: int, second: int) -> None:
    """The residual joins before the only rounding."""
    r = rule(5, multiplier, shift, -128, 127, second)
    expected = oracle(acc, r, residual)
    assert requantise(np.array([[acc]]), r, residual=np.array([[residual]]))[0, 0] == expected
    fast = apply_requantise(np.array([[acc]], dtype=np.float64), r, np.array([[residual]], dtype=np.float32))
    assert fast[0, 0] == expected


def test_every_value_at_small_widths() -> None:
    """All 12-bit values at all small shifts, ties included."""
    values = np.arange(-2048, 2048)
    for shift in range(8):
        expected = [round(Fraction(int(v), 1 << shift)) for v in values]
        np.testing.assert_array_equal(round_half_even_shift(values, shift), expected)


def test_half_up_would_differ() -> None:
    """The check can fail: rounding half up gives other integers on the same values."""
    values = np.arange(-64, 64)
    half_up = (values + 2) >> 2
    assert (round_half_even_shift(values, 2) != half_up).sum() == 16


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 0, 0, 0, 1), "multiplier must lie within"),
        ((0, 1 << 16, 0, 0, 1), "multiplier must lie within"),
        ((0, 1, 48, 0, 1), "shift must lie within"),
        ((1 << 39, 1, 0, 0, 1), "bias must fit 40 signed bits"),
        ((0, 1, 0, 2, 1), "lower must not exceed upper"),
        ((0, 1, 0, 0, 1, 0), "residual multiplier must lie within"),
    ],
)
def test_bad_rule(arguments: tuple[int, ...], text: str) -> None:
    """A rule outside the normative ranges is refused."""
    with pytest.raises(ValueError, match=text):
        rule(*arguments)


def test_overflow_is_refused() -> None:
    """Products beyond int64 raise, they do not wrap."""
    with pytest.raises(OverflowError, match=r"below 2\^62"):
        requantise(np.array([[1 << 50]]), rule(0, MAX_MULTIPLIER, 0, 0, 1))


@given(st.integers(2, 8), st.integers(-(2**15), 2**15))
def test_digits_are_exact(bits: int, value: int) -> None:
    """Digits fit their width and add up to the value."""
    count = digits_needed(min(value, 0), max(value, 0), bits)
    digits = cut_digits(np.array([value]), count, bits)[:, 0]
    assert all(-(1 << (bits - 1)) <= d < 1 << (bits - 1) for d in digits)
    assert sum(int(d) << (bits * i) for i, d in enumerate(digits)) == value


def test_digits_out_of_range() -> None:
    """120 does not fit two balanced digits of 4 bits."""
    assert digit_range(2, 4) == (-136, 119)
    with pytest.raises(ValueError, match=r"\[-136, 119\]"):
        cut_digits(np.array([120]), 2, 4)
