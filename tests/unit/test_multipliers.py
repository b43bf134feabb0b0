"""Scales as 16-bit multipliers: nearest, powers of two exact, what cannot be held refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.multipliers import multipliers
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.requantise import MAX_MULTIPLIER, MAX_SHIFT


@given(st.floats(2.0**-40, 60000))
def test_multiplier_is_nearest(ratio: float) -> None:
    """The quotient is within half a unit of the 16-bit multiplier."""
    (multiplier,), (shift,), residual = multipliers(np.array([ratio]))
    assert residual is None
    assert 1 <= multiplier <= MAX_MULTIPLIER
    assert 0 <= shift <= MAX_SHIFT
    assert abs(int(multiplier) / 2 ** int(shift) - ratio) <= max(2.0**-16 * ratio, 2.0**-48)


@pytest.mark.parametrize("exponent", range(-47, 16))
def test_powers_of_two_are_exact(exponent: int) -> None:
    """A power of two comes out exactly, as the fixed-point family needs."""
    (multiplier,), (shift,), _ = multipliers(np.array([2.0**exponent]))
    assert Fraction(int(multiplier), 1 << int(shift)) == Fraction(2) ** exponent


@pytest.mark.parametrize(("ratio", "residual"), [(0.75, 0.5), (0.01, 3.0), (300.0, 0.25)])
def test_both_terms_share_one_shift(ratio: float, residual: float) -> None:
    (multiplier,), (shift,), second = multipliers(np.array([ratio]), residual)
    assert second is not None
    scale = 2 ** int(shift)
    assert abs(int(multiplier) / scale - ratio) <= 0.5 / scale
    assert abs(int(second[0]) / scale - residual) <= 0.5 / scale


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf")])
def test_a_ratio_that_is_none_is_refused(ratio: float) -> None:
    with pytest.raises(ToolflowError, match="ratio must be positive and finite"):
        multipliers(np.array([ratio]))


@pytest.mark.parametrize(("ratio", "residual"), [(2.0**-60, None), (1e6, None), (2.0**-20, 4.0)])
def test_ratios_that_no_multiplier_holds_are_refused(ratio: float, residual: float | None) -> None:
    with pytest.raises(ToolflowError, match="must both be representable by 16-bit"):
        multipliers(np.array([ratio]), residual)
