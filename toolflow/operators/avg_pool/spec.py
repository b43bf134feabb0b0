"""Average pooling; global where the kernel is the whole map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.operators.window import Pads, Pair, inside_counts, operand_count, window_shape


@dataclass(frozen=True)
class AvgPool(Operator):
    """Sum over a window divided by its divisor (`divisors`).

    Input: x (C, H, W).

    Attributes:
        kernel: (height, width).
        stride: (vertical, horizontal).
        pads: zeros around the input, (top, left, bottom, right).
        ceil_mode: a last window may reach beyond the padding.
        count_include_pad: padding counts in the divisor; what lies beyond it never does.
        divisor_override: divides every sum instead of the number of elements.
    """

    kind: ClassVar[str] = "avg_pool"
    rounds: ClassVar[bool | None] = True
    keeps_sign: ClassVar[bool] = True
    commutes_with_scale: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.CONVOLUTION
    kernel: Pair
    stride: Pair
    pads: Pads = (0, 0, 0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return (C, H', W')."""
        operand_count(inputs, (1,))
        out = window_shape(inputs[0], self.kernel, self.stride, self.pads, ceil_mode=self.ceil_mode)
        if self.divisor_override is not None and self.divisor_override < 1:
            raise ValueError(f"divisor_override must be at least 1, not {self.divisor_override}")
        if min(counts.min() for counts in self._factors(inputs[0], out)) < 1:
            raise ValueError(f"every window must touch the input, not lie in the padding {self.pads}")
        return (inputs[0][0], *out)

    def divisors(self, source: Shape) -> npt.NDArray[np.int64]:
        """Return what each window's sum is divided by, int64 (H', W'), for an input of shape `source`."""
        return np.outer(*self.factors(source))

    def factors(self, shape: Shape) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the two factors of the divisors, int64 (H',) of each row and (W',) of each column."""
        _, height, width = self.infer_shape([shape], {})
        return self._factors(shape, (height, width))

    def _factors(self, shape: Shape, out: Pair) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        if self.divisor_override is not None:
            return np.full(out[0], self.divisor_override, np.int64), np.ones(out[1], np.int64)
        axes = []
        for axis in (0, 1):
            before, after = (self.pads[axis], self.pads[axis + 2]) if self.count_include_pad else (0, 0)
            shift = 0 if self.count_include_pad else self.pads[axis]
            size = shape[1 + axis] + before + after
            counts = inside_counts(size, out[axis], self.kernel[axis], self.stride[axis], shift)
            axes.append(np.array(counts, np.int64))
        return axes[0], axes[1]
