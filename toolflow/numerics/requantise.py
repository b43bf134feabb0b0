"""Requantisation: the only rounding that is applied to a network's integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

MULTIPLIER_BITS = 16
MAX_MULTIPLIER = (1 << MULTIPLIER_BITS) - 1
MAX_SHIFT = 47
MAX_RESIDUAL_SHIFT = 15  # of layers that are computed by tiles; the others shift no residual
PLAIN_BIAS_BITS = 32
TILE_BIAS_BITS = 40


@dataclass(frozen=True)
class Requantise:
    """From accumulators to the next layer's integers, per output channel.

    out = clip(round_half_even(((acc + bias)·multiplier + residual·residual_factor) / 2^shift), lower, upper)
    residual_factor = residual_multiplier·2^residual_shift

    Attributes:
        bias, multiplier, shift: int64 of shape (K,).
        residual_multiplier: int64 (K,), or None if there is no residual.
        residual_shift: int64 (K,), or None for 0. It is used if accumulators are many times finer than the residual.
        lower, upper: the clip's bounds (ReLU6 lowers `upper`).
    """

    bias: Int64Array
    multiplier: Int64Array
    shift: Int64Array
    lower: int
    upper: int
    residual_multiplier: Int64Array | None = None
    residual_shift: Int64Array | None = None

    @property
    def residual_factor(self) -> Int64Array | None:
        """What the residual is multiplied by, (K,), or None."""
        if self.residual_multiplier is None or self.residual_shift is None:
            return self.residual_multiplier
        return self.residual_multiplier << self.residual_shift

    def __post_init__(self) -> None:
        multipliers = [("multiplier", self.multiplier)]
        if self.residual_multiplier is not None:
            multipliers.append(("residual multiplier", self.residual_multiplier))
        for what, values in multipliers:
            if values.size and (values.min() < 1 or values.max() > MAX_MULTIPLIER):
                raise ValueError(f"{what} must lie within [1, {MAX_MULTIPLIER}], not [{values.min()}, {values.max()}]")
        if self.shift.size and (self.shift.min() < 0 or self.shift.max() > MAX_SHIFT):
            raise ValueError(f"shift must lie within [0, {MAX_SHIFT}], not [{self.shift.min()}, {self.shift.max()}]")
        left = self.residual_shift
        if left is not None and left.size and (left.min() < 0 or left.max() > MAX_RESIDUAL_SHIFT):
            raise ValueError(
                f"residual shift must lie within [0, {MAX_RESIDUAL_SHIFT}], not [{left.min()}, {left.max()}]"
            )
        if not fits_signed(self.bias, TILE_BIAS_BITS):
            raise ValueError(f"bias must fit {TILE_BIAS_BITS} signed bits, not [{self.bias.min()}, {self.bias.max()}]")
        if self.lower > self.upper:
            raise ValueError(f"lower must not exceed upper, not {self.lower} > {self.upper}")


def fits_signed(values: Int64Array, bits: int) -> bool:
    """Return whether every value fits so many bits, two's complement."""
    bound = 1 << (bits - 1)
    return not values.size or (values.min() >= -bound and values.max() < bound)


def round_half_even_shift(values: Int64Array, shift: Int64Array | int) -> Int64Array:
    """Return values / 2^shift rounded to the nearest integer, ties to the even one.

    The sum with half − 1 + (the quotient's lowest bit) is floored, which gives this rounding for both signs.
    """
    shift = np.asarray(shift, dtype=np.int64)
    quotient = values >> shift
    remainder = values - (quotient << shift)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), np.int64(1))
    up = (remainder > half) | ((remainder == half) & ((quotient & 1) == 1))
    return np.asarray(quotient + np.where(shift > 0, up, False), dtype=np.int64)


def requantise(
    accumulators: Int64Array, rule: Requantise, channel_axis: int = 1, residual: Int64Array | None = None
) -> Int64Array:
    """Apply `rule` to int64 accumulators whose axis `channel_axis` is the output channel.

    Raises:
        OverflowError: a product could exceed int64.
        ValueError: a residual is given without its multiplier, or the reverse.
    """
    factor = rule.residual_factor
    if (residual is None) != (factor is None):
        raise ValueError("a residual and its multiplier must be given together")
    view = [1] * accumulators.ndim
    view[channel_axis] = -1
    total = accumulators + rule.bias.reshape(view)
    magnitude = _magnitude(total) * int(rule.multiplier.max(initial=1))
    scaled = total * rule.multiplier.reshape(view)
    if residual is not None and factor is not None:
        magnitude += _magnitude(residual) * int(factor.max(initial=1))
        scaled = scaled + residual * factor.reshape(view)
    if magnitude >= 1 << 62:
        raise OverflowError(f"requantisation reaches {magnitude}, which must stay below 2^62")
    rounded = round_half_even_shift(scaled, rule.shift.reshape(view))
    return np.clip(rounded, rule.lower, rule.upper)


def _magnitude(values: Int64Array) -> int:
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))
