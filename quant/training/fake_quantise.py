"""Fake quantisation for training: values are on the integer grid; gradients pass straight unless clipped."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from quant.post_training.solution import LayerNumbers
from toolflow.numerics.types import IntegerType

Tensor = torch.Tensor

SMALLEST_SCALE = 1e-12


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor | float, lower: int, upper: int) -> Tensor:
        level = (x / scale).round_()
        ctx.save_for_backward((level >= lower) & (level <= upper))
        return level.clamp_(lower, upper).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None, None


def rounded(x: Tensor, scale: Tensor | float, lower: int, upper: int) -> Tensor:
    """Return x rounded to multiples of the scale from lower to upper; the gradient is 0 if it was cut off."""
    return cast(Tensor, _Rounded.apply(x, scale, lower, upper))  # type: ignore[no-untyped-call]


class WeightGrid(nn.Module):
    """The grid of a layer's quantised weights, independent of the norms of its kernels.

    The largest value of a channel that is not cut off stays the same share of the channel's largest value.

    Args:
        weight: float (K, ..), the weights that were quantised.
        numbers: its integers and scales.
    """

    reach: Tensor
    steps: Tensor

    def __init__(self, weight: Tensor, numbers: LayerNumbers) -> None:
        super().__init__()
        self.kind = IntegerType(numbers.weight_bits, signed=True)
        steps = torch.ones(()) if numbers.exponent is None else 2.0 ** torch.as_tensor(numbers.exponent).float()
        largest = _largest(weight / steps)
        scale = torch.as_tensor(numbers.weight_scale).float().view(-1, *[1] * (weight.ndim - 1))
        reach = torch.where(largest > 0, scale * self.kind.upper / largest, torch.ones_like(largest))
        self.register_buffer("reach", reach)
        self.register_buffer("steps", steps)

    def forward(self, weight: Tensor) -> Tensor:
        """Return weights (K, ..) on the grid."""
        level = weight / self.steps
        return rounded(level, self._scale(level.detach()), self.kind.lower, self.kind.upper) * self.steps

    def scale(self, weight: Tensor) -> Tensor:
        """Return the step (K,) of the integers of weights (K, ..), before the shifts of their taps."""
        return self._scale((weight / self.steps).detach()).flatten()

    def _scale(self, level: Tensor) -> Tensor:
        return (_largest(level) * self.reach / self.kind.upper).clamp_min(SMALLEST_SCALE)


def _largest(level: Tensor) -> Tensor:
    """Return the largest magnitude of each output channel, (K, 1, ..)."""
    return level.abs().amax(tuple(range(1, level.ndim)), keepdim=True)
