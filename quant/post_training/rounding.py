"""Weights to integers: each on its own, or so that a layer's output is nearest to the float one.

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
from quant.float_network import pad_for_windows
from quant.post_training.ranges import next_power_of_two, weight_scales
from toolflow.operators import Conv, Linear

MAX_COLUMNS = 4608
SAMPLES_PER_COLUMN = 48
MIN_SAMPLES = 24576
DAMPING = 0.01
BLOCK = 128  # columns whose errors reach the later ones together


@dataclass(frozen=True)
class InputStatistics:
    """Second moments of a layer's input columns, per channel group g.

    Attributes:
        covariance: (G, F, F), of the quantised inputs.
        cross: (G, F, F), of the float inputs (rows) with the quantised ones (columns).
    """

    covariance: torch.Tensor
    cross: torch.Tensor


def sampled_columns(op: Conv | Linear, kernel: tuple[int, int], x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the columns that the layer's weights meet: (G, F, samples).

    Args:
        op: the layer.
        kernel: its kernel.
        x: its inputs, (N, C, H, W) or (N, F).
        places: int64 (samples,), image · positions + position, positions row-major.
    """
    if isinstance(op, Linear):
        return x[places].T.unsqueeze(0)
    x = pad_for_windows(x, op, kernel)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, op.dilation, strict=True)]
    windows = x.unfold(2, spans[0], op.stride[0]).unfold(3, spans[1], op.stride[1])
    windows = windows[..., :: op.dilation[0], :: op.dilation[1]]
    rows, width = windows.shape[2:4]
    image, position = places // (rows * width), places % (rows * width)
    picked = windows[image, :, position // width, position % width]
    return picked.reshape(len(places), op.groups, -1).permute(1, 2, 0)


def input_statistics(
    op: Conv | Linear,
    kernel: tuple[int, int],
    quantised: torch.Tensor,
    exact: torch.Tensor,
    positions: int,
    generator: torch.Generator,
    about_mean: bool,
) -> InputStatistics:
    """Return the statistics of a layer's inputs, from a random sample of its output positions.

    Args:
        op: the layer.
        kernel: its kernel, (1, 1) for a linear layer.
        quantised: the inputs that it will see, (N, C, H, W) or (N, F).
        exact: those of the float network.
        positions: output positions of one image.
        generator: of the sample.
        about_mean: whether moments are about the inputs' means: right where the bias makes up for the mean error.
    """
    features = quantised.shape[1] // (op.groups if isinstance(op, Conv) else 1) * kernel[0] * kernel[1]
    total = len(quantised) * positions
    wanted = max(MIN_SAMPLES, SAMPLES_PER_COLUMN * features)
    if total <= wanted:
        places = torch.arange(total)
    else:
        places = torch.randint(total, (wanted,), generator=generator).sort().values
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


def compensation(hessian: torch.Tensor) -> torch.Tensor:
    """Return the upper Cholesky factor of the inverse, (…, F, F): its rows say how later columns make up for an error.

    With both axes reversed, the inverse of a lower factor is that upper one; LAPACK inverts a triangle many times
    faster than it makes the inverse out of a factor.
    """
    lower = torch.linalg.cholesky(hessian.flip(-1, -2))
    identity = torch.eye(hessian.shape[-1], dtype=hessian.dtype).expand_as(lower)
    inverse: torch.Tensor = torch.linalg.solve_triangular(lower, identity, upper=False)
    return inverse.flip(-1, -2)


def round_columns(
    weight: torch.Tensor, steps: torch.Tensor, limits: Sequence[tuple[int, int]], factor: torch.Tensor
) -> torch.Tensor:
    """Return integers (widths, G, k, F) for weights of that shape, each error moved to the later columns of its row.

    Errors reach the columns of the same block at once and those behind it in one matrix product.

    Args:
        weight: target weights.
        steps: the step of every weight, the same shape.
        limits: smallest and largest integer of every width.
        factor: (G, F, F), upper: its rows say how later columns make up for an earlier one's error.
    """
    lower, upper = (torch.tensor(ends, dtype=weight.dtype)[:, None, None] for ends in zip(*limits, strict=True))
    rest, size = weight.movedim(3, 0).contiguous(), steps.movedim(3, 0)  # columns first: each is contiguous
    integers = torch.empty_like(rest)
    for start in range(0, len(rest), BLOCK):
        block, beyond = rest[start : start + BLOCK], rest[start + BLOCK :]
        within = factor[:, start : start + BLOCK, start : start + BLOCK].permute(1, 2, 0).unsqueeze(3)
        errors = torch.empty_like(block)
        for column, value in enumerate(block):
            step = size[start + column]
            found = torch.round(value / step).clamp_(lower, upper)
            integers[start + column] = found
            errors[column] = (value - found * step) / within[column, column]
            block[column + 1 :] -= errors[column] * within[column, column + 1 :].unsqueeze(1)
        if len(beyond):
            ahead = factor[:, start : start + BLOCK, start + BLOCK :]
            beyond -= (errors.movedim(0, 3) @ ahead).movedim(3, 0)
    return integers.movedim(0, 3)


def _ridge(covariance: torch.Tensor) -> torch.Tensor:
    mean = torch.diagonal(covariance, dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    return torch.diag_embed((DAMPING * mean).unsqueeze(1).expand(-1, covariance.shape[1]))


def choose_scales(weight: torch.Tensor, lower: int, upper: int, family: Family, smallest: torch.Tensor) -> torch.Tensor:
    """Return the scales (K,) of weights (K, F), none below `smallest` (K,)."""
    scales = torch.maximum(weight_scales(weight, lower, upper, family), smallest)
    if family == "multiplier":
        return scales
    return torch.as_tensor([next_power_of_two(float(s)) for s in scales], dtype=torch.float64)
