"""Rectifier; exists only before the passes, which fuse it into its producer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.window import operand_count


@dataclass(frozen=True)
class Relu(Operator):
    """y = min(max(x, 0), upper).

    Attributes:
        upper: None for ReLU, 6.0 for ReLU6.
    """

    kind: ClassVar[str] = "relu"
    keeps_sign: ClassVar[bool] = True
    upper: float | None = None

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return the input's shape."""
        operand_count(inputs, (1,))
        if self.upper not in (None, 6.0):
            raise ValueError(f"upper must be None or 6.0, not {self.upper}")
        return inputs[0]
