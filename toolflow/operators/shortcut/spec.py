"""The parameterless shortcut of the CIFAR ResNets: sub-sample, then pad the channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.operators.window import Pair, at_least, feature_map, operand_count


@dataclass(frozen=True)
class Shortcut(Operator):
    """x[:, ::sv, ::sh] with zero channels in front and behind (He et al. 2015, option A).

    Attributes:
        stride: (vertical, horizontal).
        before: zero channels in front.
        after: zero channels behind.
    """

    kind: ClassVar[str] = "shortcut"
    rounds: ClassVar[bool | None] = False
    keeps_sign: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.SAMPLING
    stride: Pair = (2, 2)
    before: int = 0
    after: int = 0

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return (before + C + after, ceil(H / sv), ceil(W / sh))."""
        operand_count(inputs, (1,))
        at_least("stride", self.stride, 1)
        at_least("channel padding", (self.before, self.after), 0)
        channels, height, width = feature_map(inputs[0])
        return (self.before + channels + self.after, -(-height // self.stride[0]), -(-width // self.stride[1]))
