"""Concatenation along the channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights


@dataclass(frozen=True)
class Concat(Operator):
    """Channels of the first operand, then of the second, and so on; flat vectors likewise."""

    kind: ClassVar[str] = "concat"
    rounds: ClassVar[bool | None] = False
    keeps_sign: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.JOINING

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return (sum of C, H, W) or (sum of F,)."""
        if not inputs:
            raise ValueError("the number of inputs must be at least 1, not 0")
        rest = inputs[0][1:]
        if any(shape[1:] != rest for shape in inputs):
            raise ValueError(f"all operands must have one height and width, not {list(inputs)}")
        return (sum(shape[0] for shape in inputs), *rest)
