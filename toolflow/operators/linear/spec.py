"""Fully connected layer, with an optional residual and an activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.activation import Activation
from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.operators.window import operand_count


@dataclass(frozen=True)
class Linear(Operator):
    """y = activation(weight · x + bias [+ residual]).

    Inputs: x (F,), and optionally a residual (K,).
    Weights: "weight" (K, F); "bias" (K,), always there in a float graph.

    Attributes:
        activation: applied last.
    """

    kind: ClassVar[str] = "linear"
    rounds: ClassVar[bool | None] = True
    has_weights: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.CONVOLUTION
    activation: Activation = Activation.NONE

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return (K,)."""
        operand_count(inputs, (1, 2))
        if len(inputs[0]) != 1:
            raise ValueError(f"the input must be a flat vector (F,), not {inputs[0]}; flatten it first")
        weight = weights["weight"]
        if weight.ndim != 2 or weight.shape[1] != inputs[0][0]:
            raise ValueError(f"weight must have the shape (K, {inputs[0][0]}), not {weight.shape}")
        shape = (weight.shape[0],)
        if "bias" in weights and weights["bias"].shape != shape:
            raise ValueError(f"bias must have the shape {shape}, not {weights['bias'].shape}")
        if len(inputs) == 2 and inputs[1] != shape:
            raise ValueError(f"the residual must have the output's shape {shape}, not {inputs[1]}")
        return shape
