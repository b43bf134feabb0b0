"""Convolution in torch."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from toolflow.ir.operator import Operator
from toolflow.operators.conv.spec import Conv
from toolflow.operators.torch_windows import pad_for_windows, symmetric_pads


def sums(op: Operator, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the sums (N, K, H', W'), without bias, residual and activation."""
    assert isinstance(op, Conv)
    pads = symmetric_pads(op)
    if pads is None:
        x, pads = pad_for_windows(x, op, (weight.shape[2], weight.shape[3])), (0, 0)
    return functional.conv2d(x, weight, None, op.stride, pads, op.dilation, op.groups)
