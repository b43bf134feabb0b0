"""A convolution of kernel and stride b, each of whose output channels copies one element of a block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from toolflow.operators.space_to_depth.spec import SpaceToDepth

from toolflow.ir.operator import Operator, Shape
from toolflow.operators.conv.spec import Conv


def selection(op: Operator, source: Shape) -> tuple[Conv, npt.NDArray[np.int64]]:
    """Return the convolution that copies, and its weights of 0 and 1."""
    assert isinstance(op, SpaceToDepth)
    channels, block = source[0], op.block
    every = np.eye(channels * block**2, dtype=np.int64).reshape(channels, block, block, channels, block, block)
    outputs = every.transpose(1, 2, 0, 3, 4, 5) if op.blocks_first else every
    return Conv(stride=(block, block)), outputs.reshape(-1, channels, block, block)
