"""Max pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.operators.window import Pads, Pair, inside_counts, operand_count, window_shape


@dataclass(frozen=True)
class MaxPool(Operator):
    """Maximum over the elements of a window that lie inside the input; padding never wins.

    Input: x (C, H, W).

    Attributes:
        kernel: (height, width).
        stride: (vertical, horizontal).
        pads: (top, left, bottom, right).
        dilation: (vertical, horizontal) distance of the window's elements.
        ceil_mode: a last window may reach beyond the padding.
    """

    kind: ClassVar[str] = "max_pool"
    rounds: ClassVar[bool | None] = False
    keeps_sign: ClassVar[bool] = True
    commutes_with_scale: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.POOLING
    kernel: Pair
    stride: Pair
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return (C, H', W')."""
        operand_count(inputs, (1,))
        out = window_shape(inputs[0], self.kernel, self.stride, self.pads, self.dilation, self.ceil_mode)
        for axis in (0, 1):
            size = inputs[0][1 + axis]
            counts = inside_counts(
                size, out[axis], self.kernel[axis], self.stride[axis], self.pads[axis], self.dilation[axis]
            )
            if min(counts) == 0:
                raise ValueError(f"every window must touch the input, not lie in the padding {self.pads}")
        return (inputs[0][0], *out)
