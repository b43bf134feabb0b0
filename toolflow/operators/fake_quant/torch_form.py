"""Rounding to a grid in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from toolflow.ir.operator import Operator, Weights
from toolflow.operators.fake_quant.spec import FakeQuant

_ROUNDINGS = {"ROUND": torch.round, "FLOOR": torch.floor, "CEIL": torch.ceil, "ROUND_TO_ZERO": torch.trunc}


def value(op: Operator, inputs: Sequence[torch.Tensor], weights: Weights) -> torch.Tensor:
    """Return the multiples of the step nearest to the input."""
    assert isinstance(op, FakeQuant)
    if op.bipolar:
        return torch.where(inputs[0] >= 0, op.step, -op.step)
    return torch.clamp(_ROUNDINGS[op.rounding](inputs[0] / op.step), op.lower, op.upper) * op.step
