"""Padding with zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.operators.window import Pads, at_least, feature_map, operand_count


@dataclass(frozen=True)
class Pad(Operator):
    """Zeros around a feature map and zero channels in front and behind.

    Attributes:
        pads: (top, left, bottom, right).
        channels_before: zero channels in front.
        channels_after: zero channels behind.
    """

    kind: ClassVar[str] = "pad"
    rounds: ClassVar[bool | None] = False
    keeps_sign: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.SELECTION
    pads: Pads
    channels_before: int = 0
    channels_after: int = 0

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return the enlarged shape."""
        operand_count(inputs, (1,))
        at_least("pads", self.pads, 0)
        at_least("channel padding", (self.channels_before, self.channels_after), 0)
        channels, height, width = feature_map(inputs[0])
        top, left, bottom, right = self.pads
        return (self.channels_before + channels + self.channels_after, top + height + bottom, left + width + right)
