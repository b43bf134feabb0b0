"""Integer types: a width and a sign, no zero point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, order=True)
class IntegerType:
    """Two's complement (`signed`) or unsigned integers of `bits` bits."""

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 63:
            raise ValueError(f"bits must be 1 to 63, not {self.bits}")

    @property
    def lower(self) -> int:
        """Smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def upper(self) -> int:
        """Largest value."""
        return (1 << (self.bits - int(self.signed))) - 1

    def check(self, values: np.ndarray, what: str) -> None:
        """Raise ValueError if a value lies outside the type."""
        if values.size and (int(values.min()) < self.lower or int(values.max()) > self.upper):
            raise ValueError(
                f"{what} must lie within [{self.lower}, {self.upper}], not [{int(values.min())}, {int(values.max())}]"
            )

    def __str__(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}"


def smallest_signed_bits(lower: int, upper: int) -> int:
    """Return the width of the narrowest two's complement type that holds [lower, upper]."""
    return max((-lower - 1).bit_length() if lower < 0 else 0, upper.bit_length() if upper > 0 else 0) + 1
