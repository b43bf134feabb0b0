"""The fully connected layer in torch."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from toolflow.ir.operator import Operator


def sums(op: Operator, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return weight · x: (N, K)."""
    return functional.linear(x, weight)
