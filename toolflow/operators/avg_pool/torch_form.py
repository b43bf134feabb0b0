"""Average pooling in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional

from toolflow.ir.operator import Operator, Weights
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.torch_windows import pad_for_windows


def value(op: Operator, inputs: Sequence[torch.Tensor], weights: Weights) -> torch.Tensor:
    """Return the mean of every window."""
    assert isinstance(op, AvgPool)
    x = inputs[0]
    return undivided(op, x) / torch.as_tensor(op.divisors(tuple(x.shape[1:])), device=x.device)


def undivided(op: Operator, x: torch.Tensor) -> torch.Tensor:
    """Return the sum of every window, as a depthwise convolution with ones."""
    assert isinstance(op, AvgPool)
    channels = x.shape[1]
    ones = torch.ones((channels, 1, *op.kernel), dtype=x.dtype, device=x.device)
    return functional.conv2d(pad_for_windows(x, op, op.kernel), ones, None, op.stride, groups=channels)
