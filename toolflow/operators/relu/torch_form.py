"""The rectifier in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from toolflow.ir.operator import Operator, Weights
from toolflow.operators.relu.spec import Relu


def value(op: Operator, inputs: Sequence[torch.Tensor], weights: Weights) -> torch.Tensor:
    """Return min(max(x, 0), upper)."""
    assert isinstance(op, Relu)
    return torch.relu(inputs[0]) if op.upper is None else torch.clamp(inputs[0], 0.0, op.upper)
