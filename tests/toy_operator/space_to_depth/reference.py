"""Blocks of integers become channels: moves integers, rounds nothing."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.operators.space_to_depth.spec import SpaceToDepth

from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.integers import Integers, Types


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return (N, H/b, W/b, C·b²)."""
    op = node.op
    assert isinstance(op, SpaceToDepth)
    images, height, width, channels = inputs[0].shape
    rows, columns = height // op.block, width // op.block
    blocks = inputs[0].reshape(images, rows, op.block, columns, op.block, channels)
    order = (0, 1, 3, 2, 4, 5) if op.blocks_first else (0, 1, 3, 5, 2, 4)
    return blocks.transpose(order).reshape(images, rows, columns, -1)
