"""Blocks of positions become channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.operators.window import at_least, feature_map, operand_count


@dataclass(frozen=True)
class SpaceToDepth(Operator):
    """Element (c, y·b + i, x·b + j) of the input is at position (y, x), in a channel that c, i and j choose.

    Attributes:
        block: b, the side of a block.
        blocks_first: the channel is (i·b + j)·C + c, as in ONNX; otherwise (c·b + i)·b + j, as in PyTorch.
    """

    kind: ClassVar[str] = "space_to_depth"
    rounds: ClassVar[bool | None] = False
    keeps_sign: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.SELECTION
    block: int
    blocks_first: bool = False

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return (C·b², H/b, W/b)."""
        operand_count(inputs, (1,))
        at_least("block", (self.block,), 1)
        channels, height, width = feature_map(inputs[0])
        if height % self.block or width % self.block:
            raise ValueError(f"height and width must be multiples of the block {self.block}, not {height}×{width}")
        return (channels * self.block**2, height // self.block, width // self.block)
