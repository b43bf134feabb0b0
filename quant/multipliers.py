"""Scales as the hardware multiplies by them: 16-bit multipliers over a common power of two."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from toolflow.ir.errors import ToolflowError
from toolflow.numerics.requantise import MAX_MULTIPLIER, MAX_RESIDUAL_SHIFT, MAX_SHIFT, MULTIPLIER_BITS

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

RESIDUAL_SIGNIFICANT_BITS = 10
SMALLEST_RELATIVE_MULTIPLIER = 4.0


def multipliers(
    ratio: FloatArray, residual_ratio: float | None = None
) -> tuple[Int64Array, Int64Array, Int64Array | None]:
    """Return (multiplier, shift, residual multiplier), each (K,), nearest to the given ratios.

    ratio[k] ≈ multiplier[k] / 2^shift[k] and residual_ratio ≈ residual multiplier[k] / 2^shift[k].
    The shift is the largest for which both multipliers fit 16 bits; what both have in common of
    powers of two is then taken out again, so that exact powers of two become small multipliers.

    Raises:
        ToolflowError: a ratio is too large, or too small beside the other one.
    """
    found = [_pair(float(r), residual_ratio) for r in ratio]
    multiplier, shift, residual = (np.array(column, dtype=np.int64) for column in zip(*found, strict=True))
    return multiplier, shift, residual if residual_ratio is not None else None


def _pair(ratio: float, residual_ratio: float | None) -> tuple[int, int, int]:
    largest = max(ratio, residual_ratio or 0.0)
    if not (ratio > 0 and math.isfinite(largest)):
        raise ToolflowError(f"a requantisation ratio must be positive and finite, not {ratio}")
    shift = min(MULTIPLIER_BITS - math.frexp(largest)[1], MAX_SHIFT)
    if round(math.ldexp(largest, shift)) > MAX_MULTIPLIER:
        shift -= 1
    multiplier = round(math.ldexp(ratio, shift)) if shift >= 0 else 0
    residual = round(math.ldexp(residual_ratio, shift)) if residual_ratio is not None and shift >= 0 else 0
    if multiplier < 1 or (residual_ratio is not None and residual < 1):
        raise ToolflowError(
            f"requantisation ratios {ratio} and {residual_ratio} must both be representable by 16-bit "
            f"multipliers over one shift of 0 to {MAX_SHIFT}; the ranges of this layer differ too much"
        )
    common = multiplier | residual
    zeros = min((common & -common).bit_length() - 1, shift)
    return multiplier >> zeros, shift - zeros, residual >> zeros


def shifted_multipliers(
    ratio: FloatArray, residual_ratio: float
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
    """Return (multiplier, shift, residual multiplier, residual shift), each (K,): the residual is shifted left.

    residual_ratio ≈ residual multiplier[k] · 2^residual shift[k] / 2^shift[k]: both multipliers keep their precision
    where accumulators are many times finer than the residual.
    """
    multiplier, shift, _ = multipliers(ratio)
    room = MAX_RESIDUAL_SHIFT + MULTIPLIER_BITS - math.frexp(residual_ratio)[1]
    held = np.minimum(shift, room)
    multiplier = np.where(held < shift, np.maximum(np.rint(np.ldexp(ratio, held)), 1), multiplier).astype(np.int64)
    shift = held
    wanted = np.ldexp(residual_ratio, shift)
    left = np.maximum(np.frexp(wanted)[1] - MULTIPLIER_BITS, 0).astype(np.int64)
    residual = np.rint(np.ldexp(wanted, -left)).astype(np.int64)
    over = residual > MAX_MULTIPLIER
    residual, left = np.where(over, residual >> 1, residual), left + over
    if residual.min() < 1:
        raise ToolflowError(f"a residual ratio of {residual_ratio} must be representable beside {ratio.min()}")
    return multiplier, shift, residual, left


def snap_residual_scale(residual_scale: float, scale: float) -> float:
    """Return the output scale nearest to `scale` over which the residual's multiplier is exact.

    The multiplier gets few significant bits, so that it stays exact in channels with a larger shift.
    """
    mantissa, exponent = math.frexp(residual_scale / scale)
    rounded = round(math.ldexp(mantissa, RESIDUAL_SIGNIFICANT_BITS))
    return residual_scale / math.ldexp(rounded, exponent - RESIDUAL_SIGNIFICANT_BITS)


def smallest_weight_scale(input_scale: float, output_scale: float, residual_scale: float | None) -> float:
    """Return the smallest weight scale whose multiplier still has a few steps of precision."""
    smallest = math.ldexp(output_scale / input_scale, -(MAX_SHIFT - MULTIPLIER_BITS // 2))
    if residual_scale is not None:
        relative = residual_scale / input_scale * SMALLEST_RELATIVE_MULTIPLIER
        smallest = max(smallest, math.ldexp(relative, -MULTIPLIER_BITS + 1))
    return smallest


def snap_weight_scales(
    scales: FloatArray, input_scale: float, output_scale: float, residual_scale: float | None, *, shifted: bool = False
) -> FloatArray:
    """Return the weight scales (K,) nearest to `scales` over which every multiplier is exact.

    So requantisation has no error of its own: the fake-quantised network and the integers agree.
    Powers of two stay as they are. `shifted`: the residual may be shifted left.
    """
    residual_ratio = None if residual_scale is None else residual_scale / output_scale
    ratio = scales * (input_scale / output_scale)
    if shifted and residual_ratio is not None:
        multiplier, shift, _, _ = shifted_multipliers(ratio, residual_ratio)
    else:
        multiplier, shift, _ = multipliers(ratio, residual_ratio)
    return np.ldexp(multiplier.astype(np.float64), -shift) * (output_scale / input_scale)
