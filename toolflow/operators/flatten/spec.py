"""A feature map as a flat vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.operators.window import operand_count


@dataclass(frozen=True)
class Flatten(Operator):
    """Element (c, y, x) becomes element (c·H + y)·W + x."""

    kind: ClassVar[str] = "flatten"
    rounds: ClassVar[bool | None] = False
    keeps_sign: ClassVar[bool] = True
    commutes_with_scale: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.RENAMING

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return (C·H·W,)."""
        operand_count(inputs, (1,))
        return (math.prod(inputs[0]),)
