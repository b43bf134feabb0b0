"""Negation in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from toolflow.ir.operator import Operator, Weights


def value(op: Operator, inputs: Sequence[torch.Tensor], weights: Weights) -> torch.Tensor:
    """Return -x."""
    return -inputs[0]
