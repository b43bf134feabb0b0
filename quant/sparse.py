"""Sub-row-balanced weights without training: which values to keep, what to make them, and their integers.

A layer's weights are (K, F), tap by tap and channel by channel within a tap; its Hessian (F, F) holds the second
moments of what they meet. The support is chosen as SparseGPT does (Frantar and Alistarh 2023, arXiv 2301.00774): a
value's saliency is the error that its removal leaves after the values behind it have made up for it. The kept values
are then solved for by least squares, and rounded one after the other as GPTQ does, each error moved to later ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from quant.tile_statistics import Moments, tap_major
from toolflow.numerics.srbs import Pattern, obeys, project
from toolflow.numerics.winograd import MAX_EXPONENT

Tensor = torch.Tensor


@dataclass(frozen=True)
class SolvedTaps:
    """A layer's weights before rounding.

    Attributes:
        weight: (K, F), 0 off the support.
        mask: bool (K, F), the support.
        hessian: (F, F), with its ridge.
    """

    weight: Tensor
    mask: Tensor
    hessian: Tensor


MAX_COLUMNS = 2304  # taps times channels, solved at once: time grows with the cube, 64 channels of F(4x4,3x3)
ROWS = 8  # output channels solved at once
DAMPING = 0.001


def with_ridge(covariance: Tensor) -> Tensor:
    """Return the covariance with a thousandth of its mean variance on the diagonal: it can be inverted."""
    mean = torch.diagonal(covariance).mean().clamp_min(1e-12)
    return covariance + DAMPING * mean * torch.eye(len(covariance), dtype=covariance.dtype)


def _compensation(hessian: Tensor) -> Tensor:
    """Return the upper factor whose rows say how later values make up for an earlier one's error."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor


def channels_at_once(kernel: tuple[int, int], pattern: tuple[int, int] | None) -> int:
    """Return how many input channels are solved together, whole sub-rows: more would take too long."""
    sub_row = 1 if pattern is None else pattern[1]
    return max(MAX_COLUMNS // (kernel[0] * kernel[1]) // sub_row, 1) * sub_row


def solve_taps(weight: Tensor, found: Moments, pattern: tuple[int, int] | None) -> SolvedTaps:
    """Return the weights that, on what the layer will meet, best give the float outputs.

    Args:
        weight: (K, C, kh, kw) of the float network, U of a Winograd layer; where it obeys the pattern already, its own
            support is kept.
        found: the moments.
        pattern: (n, S) to hold, or None.
    """
    hessian = with_ridge(found.covariance)
    wanted = tap_major(weight) @ (found.cross + hessian - found.covariance)
    dense = torch.cholesky_solve(wanted.T, torch.linalg.cholesky(hessian)).T
    if pattern is None:
        return SolvedTaps(dense, torch.ones_like(dense, dtype=torch.bool), hessian)
    kept = Pattern(*pattern)
    if obeys(weight.numpy(), kept):
        mask = tap_major(torch.as_tensor(project(weight.abs().numpy(), kept)))
    else:
        mask = choose_support(dense, hessian, weight.shape[1], kept)
    return SolvedTaps(refit(wanted, hessian, mask), mask, hessian)


def tap_exponents(parts: Sequence[Tensor], kernel: tuple[int, int]) -> Tensor:
    """Return the left shifts int64 (t, t) that bring the taps' weights to like magnitudes.

    Args:
        parts: (K, t·t·c) of some input channels each.
        kernel: (t, t).
    """
    taps = torch.cat([part.reshape(len(part), *kernel, -1) for part in parts], 3)
    power = taps.pow(2).mean((0, 3)).sqrt()
    smallest = power[power > 0].min() if bool((power > 0).any()) else torch.ones(())
    return torch.log2(power.clamp_min(smallest) / smallest).round().clamp(0, MAX_EXPONENT).to(torch.int64)


def choose_support(weight: Tensor, hessian: Tensor, channels: int, pattern: Pattern) -> Tensor:
    """Return the mask (K, F) of the values to keep.

    Args:
        weight: (K, F).
        hessian: (F, F), with its ridge.
        channels: C; F is taps · C.
        pattern: n of every S channels.
    """
    energy = torch.diagonal(hessian).reshape(-1, channels).sum(1)
    taps = torch.argsort(energy, descending=True)
    order = (taps[:, None] * channels + torch.arange(channels)).reshape(-1)
    factor = _compensation(hessian[order][:, order])
    rest = weight[:, order].clone()
    mask = torch.zeros_like(rest, dtype=torch.bool)
    starts = [tap * channels + c for tap in range(len(taps)) for c in range(0, channels, pattern.sub_row)]
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        saliency = (rest[:, start:end] / torch.diagonal(factor)[start:end]) ** 2
        kept = saliency.topk(min(pattern.kept, end - start), dim=1).indices
        mask[:, start:end].scatter_(1, kept, value=True)
        errors = torch.zeros(len(weight), end - start, dtype=weight.dtype)
        for column in range(start, end):
            lost = torch.where(mask[:, column], 0.0, rest[:, column])
            errors[:, column - start] = lost / factor[column, column]
            rest[:, column:end] -= errors[:, column - start, None] * factor[column, column:end]
        rest[:, end:] -= errors @ factor[start:end, end:]
    restored = torch.empty_like(mask)
    restored[:, order] = mask
    return restored


def refit(wanted: Tensor, hessian: Tensor, mask: Tensor) -> Tensor:
    """Return the weights (K, F) on the support that are best in the least squares.

    Args:
        wanted: (K, F), the moments of the wanted outputs with what the weights meet.
        hessian: (F, F), with its ridge.
        mask: (K, F), as many values in every row.
    """
    place = mask.nonzero()[:, 1].reshape(len(mask), -1)
    out = torch.zeros_like(wanted)
    for start in range(0, len(mask), ROWS):
        mine = place[start : start + ROWS]
        block = hessian[mine[:, :, None], mine[:, None, :]]
        right = wanted[start : start + ROWS].gather(1, mine)
        solved = torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(block))[:, :, 0]
        out[start : start + ROWS].scatter_(1, mine, solved)
    return out


def round_on_support(
    weight: Tensor, steps: Tensor, limits: Sequence[tuple[int, int]], hessian: Tensor, mask: Tensor
) -> Tensor:
    """Return integers (widths, K, F), 0 off the support; each rounding error is moved to the row's later values.

    Args:
        weight: (K, F).
        steps: (widths, K, F), the step of every weight.
        limits: smallest and largest integer of every width.
        hessian: (F, F), with its ridge.
        mask: (K, F), as many values in every row.
    """
    order = torch.argsort(torch.diagonal(hessian), descending=True)
    place = order[mask[:, order].nonzero()[:, 1].reshape(len(mask), -1)]
    lower, upper = (torch.tensor(ends, dtype=weight.dtype)[:, None] for ends in zip(*limits, strict=True))
    out = torch.zeros_like(steps)
    same = bool((place == place[0]).all())
    rows = len(mask) if same else ROWS
    for start in range(0, len(mask), rows):
        mine = place[start : start + rows]
        used = mine[:1] if same else mine
        factor = _compensation(hessian[used[:, :, None], used[:, None, :]])  # the same for all widths
        there = mine.expand(len(steps), -1, -1)
        rest = weight[start : start + rows].expand_as(steps[:, start : start + rows]).gather(2, there)
        step = steps[:, start : start + rows].gather(2, there)
        integers = torch.empty_like(rest)
        for column in range(mine.shape[1]):
            value, size = rest[:, :, column], step[:, :, column]
            integers[:, :, column] = torch.round(value / size).clamp(lower, upper)
            error = (value - integers[:, :, column] * size) / factor[:, column, column]
            rest[:, :, column:] -= error[:, :, None] * factor[:, column, column:]
        out[:, start : start + rows].scatter_(2, there, integers)
    return out
