"""Batch normalisation in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional

from toolflow.ir.operator import Operator, Weights
from toolflow.operators.batch_norm.spec import BatchNorm


def value(op: Operator, inputs: Sequence[torch.Tensor], weights: Weights) -> torch.Tensor:
    """Return (x - mean) / sqrt(variance + eps) · scale + bias, per channel."""
    assert isinstance(op, BatchNorm)
    x = inputs[0]
    mean, variance, scale, bias = (
        torch.as_tensor(weights[name].copy()).to(x.dtype) for name in ("mean", "variance", "scale", "bias")
    )
    return functional.batch_norm(x, mean, variance, scale, bias, training=False, eps=op.eps)
