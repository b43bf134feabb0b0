"""Round weights to integers: each to the nearest, or so that the layer's output is closest to the float output.

The second way is optimal brain quantisation in the column order of GPTQ (Frantar et al. 2022,
arXiv 2210.17323), with the statistics of the quantised network's own inputs: for inputs x̂ that
already carry the errors of earlier layers, and x of the float network, it minimises
E‖W x − Ŵ x̂‖² instead of E‖W x̂ − Ŵ x̂‖². Brevitas' own GPTQ walks a model by hooks, with one pass
of the whole network a layer and the second objective; this one visits every layer once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from quant.config import Family
from quant.least_squares.columns import MIN_SAMPLES, SAMPLES_PER_COLUMN, positions, sample, sampled_columns
from quant.least_squares.compensation import compensation, round_columns
from quant.post_training.ranges import next_power_of_two, weight_scales
from toolflow.ir.operator import Operator

MAX_COLUMNS = 4608
DAMPING = 0.01


@dataclass(frozen=True)
class InputStatistics:
    """Second moments of a layer's input columns, per channel group g.

    Attributes:
        covariance: (G, F, F), of the quantised inputs.
        cross: (G, F, F), of the float inputs (rows) with the quantised ones (columns).
    """

    covariance: torch.Tensor
    cross: torch.Tensor


def input_statistics(
    op: Operator,
    kernel: tuple[int, int],
    quantised: torch.Tensor,
    exact: torch.Tensor,
    generator: torch.Generator,
    about_mean: bool,
) -> InputStatistics:
    """Return the statistics of a layer's inputs, from a random sample of its output positions.

    Args:
        op: the layer.
        kernel: its kernel, (1, 1) for a linear layer.
        quantised: the inputs that it will see, (N, C, H, W) or (N, F).
        exact: those of the float network.
        generator: of the sample.
        about_mean: whether moments are about the inputs' means: right where the bias makes up for the mean error.
    """
    features = quantised.shape[1] // op.groups * kernel[0] * kernel[1]
    total = len(quantised) * positions(op, kernel, tuple(quantised.shape[1:]))
    wanted = max(MIN_SAMPLES, SAMPLES_PER_COLUMN * features)
    places = sample(total, wanted, generator)
    seen, meant = (sampled_columns(op, kernel, x, places) for x in (quantised, exact))
    # the means are taken out first: float32 products of inputs that hardly vary would leave a negative variance
    if about_mean:
        seen, meant = (t - t.mean(2, keepdim=True) for t in (seen, meant))
    covariance, cross = ((t @ seen.mT).double() / len(places) for t in (seen, meant))
    return InputStatistics(covariance, cross)


def compensated(weight: torch.Tensor, statistics: InputStatistics) -> torch.Tensor:
    """Return the weights (G, K/G, F) that, on the quantised inputs, best give the float outputs."""
    ridge = _ridge(statistics.covariance)
    target = weight @ (statistics.cross + ridge)
    solved: torch.Tensor = torch.linalg.solve(statistics.covariance + ridge, target, left=False)
    return solved


def gptq(
    weight: torch.Tensor, scales: torch.Tensor, limits: Sequence[tuple[int, int]], covariance: torch.Tensor
) -> torch.Tensor:
    """Return integers (widths, G, k, F) for weights (G, k, F): column by column, errors moved to later columns.

    Args:
        weight: target weights.
        scales: (widths, G, k).
        limits: smallest and largest integer of every width.
        covariance: (G, F, F) of the inputs.
    """
    groups = len(weight)
    hessian = covariance + _ridge(covariance)
    diagonal = torch.diagonal(hessian, dim1=1, dim2=2)
    order = torch.argsort(diagonal, dim=1, descending=True)
    rows = torch.arange(groups)[:, None]
    rest = weight.double().mT[rows, order].mT.expand(len(scales), *weight.shape).clone()
    hessian = hessian[rows[:, :, None], order[:, :, None], order[:, None, :]]
    factor = compensation(hessian)
    integers = round_columns(rest, scales.unsqueeze(3).expand_as(rest), limits, factor)
    restored = torch.empty_like(integers)
    for found, ordered in zip(restored, integers, strict=True):
        found[rows, :, order] = ordered.mT
    return restored


def _ridge(covariance: torch.Tensor) -> torch.Tensor:
    mean = torch.diagonal(covariance, dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    return torch.diag_embed((DAMPING * mean).unsqueeze(1).expand(-1, covariance.shape[1]))


def choose_scales(weight: torch.Tensor, lower: int, upper: int, family: Family, smallest: torch.Tensor) -> torch.Tensor:
    """Return the scales (K,) of weights (K, F), none below `smallest` (K,)."""
    scales = torch.maximum(weight_scales(weight, lower, upper, family), smallest)
    if family == "multiplier":
        return scales
    return torch.as_tensor([next_power_of_two(float(s)) for s in scales], dtype=torch.float64)
