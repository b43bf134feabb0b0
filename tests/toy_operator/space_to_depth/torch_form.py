"""Blocks of positions become channels, in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from toolflow.operators.space_to_depth.spec import SpaceToDepth

from toolflow.ir.operator import Operator, Weights


def value(op: Operator, inputs: Sequence[torch.Tensor], weights: Weights) -> torch.Tensor:
    """Return (N, C·b², H/b, W/b)."""
    assert isinstance(op, SpaceToDepth)
    blocks = functional.pixel_unshuffle(inputs[0], op.block)
    if not op.blocks_first:
        return blocks
    images, channels = inputs[0].shape[:2]
    apart = blocks.reshape(images, channels, op.block**2, *blocks.shape[2:])
    return apart.transpose(1, 2).reshape(blocks.shape)
