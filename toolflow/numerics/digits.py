"""Balanced digits: integers that are wider than an engine's operands are cut into digits, exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]


def digit_range(digits: int, digit_bits: int) -> tuple[int, int]:
    """Return the smallest and largest integer that `digits` balanced digits of `digit_bits` bits hold."""
    ones = sum(1 << (digit_bits * d) for d in range(digits))
    return -(1 << (digit_bits - 1)) * ones, ((1 << (digit_bits - 1)) - 1) * ones


def digits_needed(lower: int, upper: int, digit_bits: int) -> int:
    """Return how many balanced digits hold every integer of [lower, upper]."""
    digits = 1
    while True:
        smallest, largest = digit_range(digits, digit_bits)
        if smallest <= lower and upper <= largest:
            return digits
        digits += 1


def cut_digits(values: Int64Array, digits: int, digit_bits: int) -> Int64Array:
    """Return (digits, *values.shape) signed digits, lowest first: values = Σ digit[d]·2^(d·digit_bits).

    Raises:
        ValueError: a value lies outside `digit_range`.
    """
    out = np.empty((digits, *values.shape), dtype=np.int64)
    rest = values.astype(np.int64)
    half = 1 << (digit_bits - 1)
    for d in range(digits):
        out[d] = ((rest + half) & ((1 << digit_bits) - 1)) - half
        rest = (rest - out[d]) >> digit_bits
    if np.any(rest):
        lower, upper = digit_range(digits, digit_bits)
        raise ValueError(
            f"values must lie within [{lower}, {upper}] to be cut into {digits} digits of {digit_bits} bits, "
            f"not [{values.min()}, {values.max()}]"
        )
    return out
