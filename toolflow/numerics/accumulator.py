"""Bounds of accumulators for given weights, and the float types that hold them exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolflow.numerics.types import IntegerType, smallest_signed_bits

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53


def accumulator_range(weight: npt.NDArray[np.int64], operand: IntegerType) -> tuple[int, int]:
    """Return the smallest and the largest accumulator of a layer, over all output channels.

    Args:
        weight: integers of shape (K, ...): every weight of an output channel meets one operand.
        operand: type of the input's elements. Zero is included (padding).
    """
    rows = weight.reshape(len(weight), -1)
    total, magnitude = rows.sum(axis=1), np.abs(rows).sum(axis=1)
    positive, negative = (magnitude + total) // 2, (total - magnitude) // 2  # both even
    low = positive * min(operand.lower, 0) + negative * operand.upper
    high = positive * operand.upper + negative * min(operand.lower, 0)
    return int(min(low.min(initial=0), 0)), int(max(high.max(initial=0), 0))


def accumulator_bits(weight: npt.NDArray[np.int64], operand: IntegerType) -> int:
    """Return the width in which every final accumulator of the layer fits, two's complement."""
    return smallest_signed_bits(*accumulator_range(weight, operand))


def magnitude_bound(weight: npt.NDArray[np.int64], operand: IntegerType) -> int:
    """Return Σ|w|·max|a| of the largest output channel: no partial sum, in any order, exceeds it."""
    rows = np.abs(weight.reshape(len(weight), -1)).sum(axis=1)
    return int(rows.max(initial=0)) * max(operand.upper, -operand.lower)


def exact_float(bound: int) -> type[np.float32] | type[np.float64]:
    """Return the narrowest float type whose sums of integers up to `bound` are exact.

    Raises:
        OverflowError: no float type holds them.
    """
    if bound <= FLOAT32_EXACT:
        return np.float32
    if bound <= FLOAT64_EXACT:
        return np.float64
    raise OverflowError(f"accumulators reach {bound}, which must not exceed 2^53")
