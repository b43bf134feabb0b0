"""A function of few linear segments in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from toolflow.ir.operator import Operator, Weights


def segments(x: torch.Tensor, bounds: torch.Tensor, slope: torch.Tensor, intercept: torch.Tensor) -> torch.Tensor:
    """Return slope[j]·x + intercept[j], j counting the bounds below x."""
    place = torch.bucketize(x.detach().contiguous(), bounds)
    return slope[place] * x + intercept[place]


def value(op: Operator, inputs: Sequence[torch.Tensor], weights: Weights) -> torch.Tensor:
    """Return the function of each value."""
    x = inputs[0]
    bounds, slope, intercept = (
        torch.as_tensor(weights[name].copy()).to(x.dtype) for name in ("bounds", "slope", "intercept")
    )
    return segments(x, bounds, slope, intercept)
