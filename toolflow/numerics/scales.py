"""Scales as the hardware multiplies by them: 16-bit multipliers over a common power of two."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.numerics.requantise import MAX_MULTIPLIER, MAX_SHIFT, MULTIPLIER_BITS

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

RESIDUAL_SIGNIFICANT_BITS = 10
SMALLEST_RELATIVE_MULTIPLIER = 4.0


class RatioError(ValueError):
    """The ratios of a requantisation cannot be held: one is too large, or too small beside the other."""


@dataclass(frozen=True)
class ScalesAround:
    """The scales between which a layer's weights get theirs.

    Attributes:
        source: real value of a step of the layer's sums where the weight's step is 1.
        output: of the layer's tensor.
        residual: of the residual, None if there is none.
        max_residual_shift: how far the engine shifts the residual to the left.
    """

    source: float
    output: float
    residual: float | None = None
    max_residual_shift: int = 0

    @property
    def residual_ratio(self) -> float | None:
        """Output steps in one step of the residual, None if there is none."""
        return None if self.residual is None else self.residual / self.output


@dataclass(frozen=True)
class Multipliers:
    """Multipliers of a requantisation, int64 (K,) each; None if there is no residual.

    ratio[k] ≈ multiplier[k] / 2^shift[k], residual ratio ≈ residual[k] · 2^residual_shift[k] / 2^shift[k].
    """

    multiplier: Int64Array
    shift: Int64Array
    residual: Int64Array | None = None
    residual_shift: Int64Array | None = None


def multipliers(ratio: FloatArray, residual_ratio: float | None = None, max_residual_shift: int = 0) -> Multipliers:
    """Return the multipliers nearest to the given ratios.

    The shift is the largest for which both multipliers fit 16 bits; what both have in common of
    powers of two is then taken out again, so that exact powers of two become small multipliers.

    Args:
        ratio: (K,), output steps in one step of each channel's sums.
        residual_ratio: output steps in one step of the residual, None if there is none.
        max_residual_shift: how far the residual may be shifted to the left: its multiplier keeps its precision where
            sums are many times finer than the residual.

    Raises:
        RatioError: a ratio is too large, or too small beside the other one; the text names the channel.
    """
    found = [_fit(float(r), residual_ratio, max_residual_shift) for r in ratio]
    if None in found:
        channel = found.index(None)
        raise RatioError(_refusal(channel, float(ratio[channel]), residual_ratio, max_residual_shift))
    columns = [np.array(column, dtype=np.int64) for column in zip(*(f for f in found if f is not None), strict=True)]
    multiplier, shift, residual, left = columns
    if residual_ratio is None:
        return Multipliers(multiplier, shift)
    return Multipliers(multiplier, shift, residual, left if max_residual_shift else None)


def _fit(ratio: float, residual_ratio: float | None, max_residual_shift: int) -> tuple[int, int, int, int] | None:
    """Return (multiplier, shift, residual multiplier, its left shift), None if nothing holds the ratios."""
    given = [ratio] if residual_ratio is None else [ratio, residual_ratio]
    if not all(r > 0 and math.isfinite(r) for r in given):
        return None
    shift = min(_largest_shift(ratio), MAX_SHIFT)
    if residual_ratio is not None:
        shift = min(shift, _largest_shift(residual_ratio) + max_residual_shift)
    if shift < 0:
        return None
    multiplier, residual, left = round(math.ldexp(ratio, shift)), 0, 0
    if residual_ratio is not None:
        left = max(shift - _largest_shift(residual_ratio), 0)
        residual = round(math.ldexp(residual_ratio, shift - left))
    if multiplier < 1 or (residual_ratio is not None and residual < 1):
        return None
    common = multiplier | residual << left
    zeros = min((common & -common).bit_length() - 1, shift)
    kept = max(left - zeros, 0)
    return multiplier >> zeros, shift - zeros, residual >> (zeros - (left - kept)), kept


def _largest_shift(ratio: float) -> int:
    """Return the largest shift for which the ratio's multiplier fits 16 bits."""
    shift = MULTIPLIER_BITS - math.frexp(ratio)[1]
    return shift - (round(math.ldexp(ratio, shift)) > MAX_MULTIPLIER)


def _refusal(channel: int, ratio: float, residual_ratio: float | None, max_residual_shift: int) -> str:
    left = f", the residual's shifted left by at most {max_residual_shift}" if max_residual_shift else ""
    beside = "" if residual_ratio is None else f" and a step of its residual {residual_ratio:.3g}"
    return (
        f"a step of output channel {channel}'s sums is {ratio:.3g} steps of the output{beside}; "
        f"requantisation holds ratios as 16-bit multipliers over one shift of 0 to {MAX_SHIFT}{left}. The ranges of "
        "the layer's sums, residual and output differ too much: scale its weights and bias so that they are of like "
        "size, for example by batch normalisation, or remove the layer if its output is constant"
    )


def snap_residual_scale(residual_scale: float, scale: float) -> float:
    """Return the output scale nearest to `scale` over which the residual's multiplier is exact.

    The multiplier gets few significant bits, so that it stays exact in channels with a larger shift.
    """
    mantissa, exponent = math.frexp(residual_scale / scale)
    rounded = round(math.ldexp(mantissa, RESIDUAL_SIGNIFICANT_BITS))
    return residual_scale / math.ldexp(rounded, exponent - RESIDUAL_SIGNIFICANT_BITS)


def smallest_weight_scale(around: ScalesAround) -> float:
    """Return the smallest weight scale whose multiplier still has a few steps of precision."""
    smallest = math.ldexp(around.output / around.source, -(MAX_SHIFT - MULTIPLIER_BITS // 2))
    if around.residual is not None:
        relative = around.residual / around.source * SMALLEST_RELATIVE_MULTIPLIER
        smallest = max(smallest, math.ldexp(relative, -MULTIPLIER_BITS + 1 - around.max_residual_shift))
    return smallest


def snap_weight_scales(scales: FloatArray, around: ScalesAround) -> FloatArray:
    """Return the weight scales (K,) nearest to `scales` over which every multiplier is exact.

    So requantisation has no error of its own: the fake-quantised network and the integers agree.
    Powers of two stay as they are.

    Raises:
        RatioError: as `multipliers`.
    """
    ratio = scales * (around.source / around.output)
    found = multipliers(ratio, around.residual_ratio, around.max_residual_shift)
    return np.ldexp(found.multiplier.astype(np.float64), -found.shift) * (around.output / around.source)
