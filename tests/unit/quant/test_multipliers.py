"""Scales as 16-bit multipliers: the nearest value, exact powers of two, and refusal of what does not fit."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.post_training.multipliers import multipliers
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.requantise import MAX_MULTIPLIER, MAX_RESIDUAL_SHIFT, MAX_SHIFT, MULTIPLIER_BITS


@given(st.floats(2.0**-40, 60000))
def test_multiplier_is_nearest(ratio: float) -> None:
    """The quotient is within half a unit of the 16-bit multiplier."""
    found = multipliers("conv", np.array([ratio]))
    assert found.residual is None
    (multiplier,), (shift,) = found.multiplier, found.shift
    assert 1 <= multiplier <= MAX_MULTIPLIER
    assert 0 <= shift <= MAX_SHIFT
    assert abs(int(multiplier) / 2 ** int(shift) - ratio) <= max(2.0**-16 * ratio, 2.0**-48)


@pytest.mark.parametrize("exponent", range(-47, 16))
def test_powers_of_two_are_exact(exponent: int) -> None:
    """A power of two comes out exactly, as the fixed-point family needs."""
    found = multipliers("conv", np.array([2.0**exponent]))
    (multiplier,), (shift,) = found.multiplier, found.shift
    assert Fraction(int(multiplier), 1 << int(shift)) == Fraction(2) ** exponent


@pytest.mark.parametrize(("ratio", "residual"), [(0.75, 0.5), (0.01, 3.0), (300.0, 0.25)])
def test_both_terms_share_one_shift(ratio: float, residual: float) -> None:
    found = multipliers("conv", np.array([ratio]), residual)
    assert found.residual is not None
    assert found.residual_shift is None
    scale = 2 ** int(found.shift[0])
    assert abs(int(found.multiplier[0]) / scale - ratio) <= 0.5 / scale
    assert abs(int(found.residual[0]) / scale - residual) <= 0.5 / scale


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf")])
def test_a_ratio_that_is_none_is_refused(ratio: float) -> None:
    with pytest.raises(ToolflowError, match=r"'conv': a step of output channel 1's sums is .* steps of the output;"):
        multipliers("conv", np.array([1.0, ratio]))


@pytest.mark.parametrize(("ratio", "residual"), [(2.0**-60, None), (1e6, None), (2.0**-20, 4.0)])
def test_ratios_that_no_multiplier_holds_are_refused(ratio: float, residual: float | None) -> None:
    beside = "" if residual is None else f" and a step of its residual {residual:.3g}"
    with pytest.raises(
        ToolflowError,
        match=f"^'conv': a step of output channel 0's sums is {re.escape(f'{ratio:.3g}')} steps of the output{beside}; "
        "requantisation holds ratios as 16-bit multipliers over one shift of 0 to 47. .*scale its weights and bias",
    ):
        multipliers("conv", np.array([ratio]), residual)


@given(st.floats(2.0**-40, 60000), st.floats(2.0**-40, 60000), st.sampled_from([0, MAX_RESIDUAL_SHIFT]), st.booleans())
def test_what_is_found_fits_and_what_is_refused_does_not(ratio: float, residual: float, left: int, exact: bool) -> None:
    """Compare with a search over all shifts: a scale is refused only if no 16-bit multiplier exists."""
    if exact:
        ratio, residual = (2.0 ** math.frexp(r)[1] for r in (ratio, residual))
    possible = [
        shift
        for shift in range(MAX_SHIFT + 1)
        if 1 <= round(ratio * 2.0**shift) <= MAX_MULTIPLIER
        and any(1 <= round(residual * 2.0 ** (shift - s)) <= MAX_MULTIPLIER for s in range(left + 1))
    ]
    if not possible:
        with pytest.raises(ToolflowError, match="'conv'"):
            multipliers("conv", np.array([ratio]), residual, left)
        return
    found = multipliers("conv", np.array([ratio]), residual, left)
    assert found.residual is not None
    factor = int(found.residual[0]) << (0 if found.residual_shift is None else int(found.residual_shift[0]))
    assert 1 <= found.residual[0] <= MAX_MULTIPLIER
    assert found.residual_shift is None or 0 <= found.residual_shift[0] <= left
    scale = 2.0 ** int(found.shift[0])
    finest = 2.0 ** max(possible)
    assert abs(int(found.multiplier[0]) / scale - ratio) <= 0.5 / finest
    assert abs(factor / scale - residual) <= max(0.5 / finest, residual * 2.0**-MULTIPLIER_BITS)
