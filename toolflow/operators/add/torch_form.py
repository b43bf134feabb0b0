"""Addition in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from toolflow.ir.operator import Operator, Weights


def value(op: Operator, inputs: Sequence[torch.Tensor], weights: Weights) -> torch.Tensor:
    """Return a + b."""
    return inputs[0] + inputs[1]
