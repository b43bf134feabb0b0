"""Max pooling in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional

from toolflow.ir.operator import Operator, Weights
from toolflow.operators.max_pool.spec import MaxPool
from toolflow.operators.torch_windows import pad_for_windows, symmetric_pads


def value(op: Operator, inputs: Sequence[torch.Tensor], weights: Weights) -> torch.Tensor:
    """Return the maximum of every window; padding never wins."""
    assert isinstance(op, MaxPool)
    x, pads = inputs[0], symmetric_pads(op)
    if pads is not None and not op.ceil_mode and all(2 * p <= k for p, k in zip(pads, op.kernel, strict=True)):
        return functional.max_pool2d(x, op.kernel, op.stride, pads, op.dilation)
    padded = pad_for_windows(x, op, op.kernel, float("-inf"))
    return functional.max_pool2d(padded, op.kernel, op.stride, 0, op.dilation)
