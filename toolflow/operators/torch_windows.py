"""Sliding windows in torch: the padding that convolution and pooling share. Loaded by the torch forms alone."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.conv.spec import Conv
from toolflow.operators.max_pool.spec import MaxPool
from toolflow.operators.window import window_shape


def symmetric_pads(op: Conv | MaxPool) -> tuple[int, int] | None:
    """Return (vertical, horizontal) pads if torch's own padding does the same, else None."""
    top, left, bottom, right = op.pads
    return (top, left) if (top, left) == (bottom, right) else None


def pad_for_windows(
    x: torch.Tensor, op: Conv | MaxPool | AvgPool, kernel: tuple[int, int], fill: float = 0.0
) -> torch.Tensor:
    """Pad x so that exactly the operator's windows fit, those of ceil mode included."""
    dilation = op.dilation if isinstance(op, Conv | MaxPool) else (1, 1)
    ceil_mode = op.ceil_mode if isinstance(op, MaxPool | AvgPool) else False
    _, channels, height, width = x.shape
    out = window_shape((channels, height, width), kernel, op.stride, op.pads, dilation, ceil_mode)
    top, left = op.pads[:2]
    reach = [(out[a] - 1) * op.stride[a] + (kernel[a] - 1) * dilation[a] + 1 for a in (0, 1)]
    bottom, right = max(reach[0] - height - top, 0), max(reach[1] - width - left, 0)
    if top == left == bottom == right == 0:
        return x
    return functional.pad(x, (left, right, top, bottom), value=fill)
