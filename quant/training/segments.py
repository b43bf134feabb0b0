"""An activation of few linear segments that is trained: its bounds follow the values, its lines are parameters."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from quant.float_network import weight_of
from toolflow.ir.graph import Node
from toolflow.operators.segments.torch_form import segments

Tensor = torch.Tensor

REACH = 3  # standard deviations on each side of the mean that the segments share; the outer ones are open
KEPT = 0.99  # of the running statistics, at each batch


class TrainableSegments(nn.Module):
    """A node of operator `segments`, whose bounds lie evenly around the mean of its inputs (Xu et al. 2020).

    In training the bounds are those of the batch; gradients reach the lines and the inputs, not the bounds.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.slope, self.intercept = (
            nn.Parameter(weight_of(node, name, torch.float32)) for name in ("slope", "intercept")
        )
        bounds = weight_of(node, "bounds", torch.float64)
        width = (bounds[-1] - bounds[0]) / (len(bounds) - 1)
        self.register_buffer("mean", bounds.mean().float())
        self.register_buffer("deviation", (width * len(self.slope) / (2 * REACH)).float())
        self.observing = False

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of each value."""
        if self.observing:
            self._follow(x, 0.0)
        elif self.training:
            mean, deviation = self._follow(x, KEPT)
            return segments(x, even_bounds(mean, deviation, len(self.slope)), self.slope, self.intercept)
        return segments(x, self.bounds, self.slope, self.intercept)

    @property
    def bounds(self) -> Tensor:
        """The bounds of the running statistics, (k − 1,)."""
        return even_bounds(self.mean, self.deviation, len(self.slope))

    @torch.no_grad()
    def _follow(self, x: Tensor, kept: float) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of a batch, and take them into the running ones."""
        variance, mean = torch.var_mean(x, correction=0)
        deviation = variance.sqrt().clamp_min(torch.finfo(x.dtype).tiny)
        self.mean.mul_(kept).add_(mean, alpha=1 - kept)
        self.deviation.mul_(kept).add_(deviation, alpha=1 - kept)
        return mean, deviation

    @torch.no_grad()
    def trained(self, node: Node) -> Node:
        """Return the node with what was trained."""
        arrays = {name: getattr(self, name).detach().cpu().numpy() for name in ("bounds", "slope", "intercept")}
        return replace(node, weights=arrays)


def even_bounds(mean: Tensor, deviation: Tensor, count: int) -> Tensor:
    """Return the bounds (count − 1,) of segments that share the mean ± 3 standard deviations evenly."""
    steps = torch.arange(1, count, device=mean.device, dtype=mean.dtype) * (2 * REACH / count) - REACH
    return mean + deviation * steps
