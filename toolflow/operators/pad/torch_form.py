"""Zero padding in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional

from toolflow.ir.operator import Operator, Weights
from toolflow.operators.pad.spec import Pad


def value(op: Operator, inputs: Sequence[torch.Tensor], weights: Weights) -> torch.Tensor:
    """Return the enlarged map."""
    assert isinstance(op, Pad)
    top, left, bottom, right = op.pads
    return functional.pad(inputs[0], (left, right, top, bottom, op.channels_before, op.channels_after))
