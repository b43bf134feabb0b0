"""Convolution, with an optional residual and an activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.activation import Activation
from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.numerics.srbs import Pattern
from toolflow.operators.window import Pads, Pair, feature_map, operand_count, window_shape


@dataclass(frozen=True)
class Conv(Operator):
    """y = activation(conv(x) + bias [+ residual]).

    Inputs: x (C, H, W), and optionally a residual of the output's shape.
    Weights: "weight" (K, C/groups, kh, kw); "bias" (K,), always there in a float graph.

    Attributes:
        stride: (vertical, horizontal).
        pads: zeros around the input, (top, left, bottom, right).
        dilation: (vertical, horizontal) distance of the kernel's elements.
        groups: channel groups; groups = C is a depthwise convolution.
        activation: applied last.
        pattern: n:S or n:SxG where the weight is sub-row-balanced sparse, else None.
    """

    kind: ClassVar[str] = "conv"
    rounds: ClassVar[bool | None] = True
    has_weights: ClassVar[bool] = True
    convolves: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.CONVOLUTION
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    activation: Activation = Activation.NONE
    pattern: Pattern | None = None

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return (K, H', W')."""
        operand_count(inputs, (1, 2))
        channels, _, _ = feature_map(inputs[0])
        weight = weights["weight"]
        if weight.ndim != 4:
            raise ValueError(f"weight must have the shape (K, C/groups, kh, kw), not {weight.shape}")
        outputs, depth, kernel_h, kernel_w = weight.shape
        if self.groups < 1 or channels % self.groups or outputs % self.groups:
            raise ValueError(
                f"groups must divide the {channels} input and {outputs} output channels, not be {self.groups}"
            )
        if depth != channels // self.groups:
            raise ValueError(f"weight must have {channels // self.groups} channels per group, not {depth}")
        if "bias" in weights and weights["bias"].shape != (outputs,):
            raise ValueError(f"bias must have the shape ({outputs},), not {weights['bias'].shape}")
        shape = outputs, *window_shape(inputs[0], (kernel_h, kernel_w), self.stride, self.pads, self.dilation)
        if len(inputs) == 2 and inputs[1] != shape:
            raise ValueError(f"the residual must have the output's shape {shape}, not {inputs[1]}")
        return shape
