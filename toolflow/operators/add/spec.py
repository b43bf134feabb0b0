"""Element-wise sum of two maps, with an activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.activation import Activation
from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.operators.window import operand_count


@dataclass(frozen=True)
class Add(Operator):
    """y = activation(a + b), both of one shape.

    Attributes:
        activation: applied last.
    """

    kind: ClassVar[str] = "add"
    rounds: ClassVar[bool | None] = True
    keeps_sign: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.CONVOLUTION
    activation: Activation = Activation.NONE

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return the operands' shape."""
        operand_count(inputs, (2,))
        if inputs[0] != inputs[1]:
            raise ValueError(f"both operands must have one shape, not {inputs[0]} and {inputs[1]}")
        return inputs[0]
