"""Negation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.operators.window import feature_map, operand_count


@dataclass(frozen=True)
class Negate(Operator):
    """y = -x of a feature map. It rounds: the least integer of a type has no opposite in that type."""

    kind: ClassVar[str] = "negate"
    rounds: ClassVar[bool | None] = True
    commutes_with_scale: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.CONVOLUTION

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return the input's shape."""
        operand_count(inputs, (1,))
        return feature_map(inputs[0])
