"""Batch normalisation in inference; exists only before the passes, which fold it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.window import operand_count


@dataclass(frozen=True)
class BatchNorm(Operator):
    """y = (x - mean) / sqrt(variance + eps) · scale + bias, per channel.

    Weights: "scale", "bias", "mean", "variance", each (C,).

    Attributes:
        eps: added to the variance.
    """

    kind: ClassVar[str] = "batch_norm"
    eps: float = 1e-5

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return the input's shape."""
        operand_count(inputs, (1,))
        for name in ("scale", "bias", "mean", "variance"):
            if weights[name].shape != inputs[0][:1]:
                raise ValueError(f"{name} must have the shape {inputs[0][:1]}, not {weights[name].shape}")
        if not 0 <= self.eps < math.inf:
            raise ValueError(f"eps must be 0 or more and finite, not {self.eps}")
        if not float((weights["variance"].astype(float) + self.eps).min()) > 0:
            raise ValueError("variance + eps must be positive in every channel")
        return inputs[0]
