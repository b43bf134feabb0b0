"""Rounding to a grid; exists only in the float graph of a network that was quantised elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.window import operand_count

ROUNDINGS = ("ROUND", "FLOOR", "CEIL", "ROUND_TO_ZERO")


@dataclass(frozen=True)
class FakeQuant(Operator):
    """y = clip(round(x / step), lower, upper) · step, the zero point being 0.

    Attributes:
        step: real value of one integer, above 0.
        lower, upper: range of the integers.
        rounding: to the nearest integer, ties to the even one ("ROUND"), down, up, or towards zero.
        bipolar: y is step where x is 0 or more, else -step; nothing is rounded.
        single: the file means float32, so sums count as exact only where float32 holds them.
    """

    kind: ClassVar[str] = "fake_quant"
    step: float
    lower: int
    upper: int
    rounding: str = "ROUND"
    bipolar: bool = False
    single: bool = False

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return the input's shape."""
        operand_count(inputs, (1,))
        if not (self.step > 0 and math.isfinite(self.step)):
            raise ValueError(f"the scale must be positive and finite, not {self.step}")
        if self.rounding not in ROUNDINGS:
            raise ValueError(f"the rounding mode must be one of {', '.join(ROUNDINGS)}, not {self.rounding}")
        if self.lower > self.upper:
            raise ValueError(f"lower must not exceed upper, not {self.lower} > {self.upper}")
        return inputs[0]
