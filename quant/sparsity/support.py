"""Sub-row-balanced weights without training: choose the kept values, solve them, and round them.

A layer's weights are (K, F), tap by tap and channel by channel within a tap; its Hessian (F, F) holds the second
moments of what they meet. The support is chosen as SparseGPT does (Frantar and Alistarh 2023, arXiv 2301.00774): a
value's saliency is the error that its removal leaves after the values behind it have made up for it. The saliency of a
place that output channels share is the sum of theirs, since their errors do not touch each other. Where the layer is
not too large for it, half of each sub-row goes first, then further values by what their removal would cost among those
that are left. Of a tile's taps, which share, each gets its part by the same saliencies. The kept values are then solved
for by least squares, and rounded one after the other as GPTQ does, each error moved to later ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from quant.least_squares.compensation import compensation, round_columns
from quant.sparsity.moments import Moments, channel_major, moments, tap_major
from toolflow.ir.operator import Operator
from toolflow.numerics.srbs import Int64Array, Pattern, obeys, project, share_taps, support, worth_of
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
THINNED = 0.75  # of the values that a sub-row keeps, from one choice of the support to the next
MAX_SOLVING = 3e10  # multiplications, about, of a layer's saliencies on half of its values
DAMPING = 0.001


def with_ridge(covariance: Tensor) -> Tensor:
    """Return the covariance with a thousandth of its mean variance on the diagonal: it can be inverted."""
    mean = torch.diagonal(covariance).mean().clamp_min(1e-12)
    return covariance + DAMPING * mean * torch.eye(len(covariance), dtype=covariance.dtype)


def _inverse_diagonal(factor: Tensor) -> Tensor:
    """Return the diagonal (…, F) of the inverse of what a lower Cholesky factor belongs to."""
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype).expand_as(factor)
    inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return inverse.pow(2).sum(-2)


def channels_at_once(kernel: tuple[int, int], pattern: Pattern | None) -> int:
    """Return how many input channels are solved together, whole sub-rows: more would take too long."""
    sub_row = 1 if pattern is None else pattern.sub_row
    return max(MAX_COLUMNS // (kernel[0] * kernel[1]) // sub_row, 1) * sub_row


def solve_layer(
    op: Operator,
    weight: Tensor,
    seen: Tensor,
    exact: Tensor,
    generator: torch.Generator,
    about_mean: bool = True,
) -> tuple[SolvedTaps, ...]:
    """Return the weights that, on what the layer will meet, best give the float outputs; some input channels each.

    Args:
        op: the layer, of one channel group, with the pattern to hold.
        weight: float64 (K, C, kh, kw), U of a Winograd layer; where it obeys the pattern already, its own support is
            kept.
        seen: the inputs that it will see, (N, C, H, W).
        exact: those of the float network.
        generator: of the sample of inputs.
        about_mean: as `solve_weights`.
    """
    kernel = weight.shape[2], weight.shape[3]
    some = channels_at_once(kernel, op.pattern)
    split = zip(*(torch.split(t, some, 1) for t in (weight, seen, exact)), strict=True)
    parts = [_part(part, _solvable_moments(op, kernel, x, meant, generator, about_mean)) for part, x, meant in split]
    if op.pattern is None:
        return tuple(SolvedTaps(p.dense, torch.ones_like(p.dense, dtype=torch.bool), p.hessian) for p in parts)
    pattern, shared = op.pattern, op.tile > 0
    if obeys(weight.numpy(), pattern, shared):
        held = torch.as_tensor(support(weight.numpy(), pattern, shared))
        masks = [tap_major(part) for part in torch.split(held, some, 1)]
    else:
        masks = _supports(parts, kernel, pattern, shared)
    return tuple(
        SolvedTaps(refit(part.wanted, part.hessian, mask), mask, part.hessian)
        for part, mask in zip(parts, masks, strict=True)
    )


def _solvable_moments(
    op: Operator,
    kernel: tuple[int, int],
    seen: Tensor,
    exact: Tensor,
    generator: torch.Generator,
    about_mean: bool,
) -> Moments:
    """Return the moments of a layer's inputs, from float64 products if float32 products leave a negative variance.

    This happens if inputs are large and nearly constant, for example behind a layer whose output is mostly its bias.
    """
    state = generator.get_state()
    found = moments(op, kernel, seen, exact, generator, about_mean)
    if not int(torch.linalg.cholesky_ex(with_ridge(found.covariance)).info):
        return found
    generator.set_state(state)
    return moments(op, kernel, seen.double(), exact.double(), generator, about_mean)


@dataclass(frozen=True)
class Part:
    """The least squares of some input channels, solved with every value kept.

    Attributes:
        wanted: (K, F), the moments of the wanted outputs with what the weights meet.
        hessian: (F, F), with its ridge.
        dense: (K, F), the solution.
    """

    wanted: Tensor
    hessian: Tensor
    dense: Tensor

    def saliency(self, mask: Tensor | None) -> Tensor:
        """Return the error (K, F) that the removal of each value leaves after the others have made up for it.

        Args:
            mask: bool (K, F), the values that there are still, as many in every row; None for all.
        """
        if mask is None:
            return self.dense**2 / _inverse_diagonal(torch.linalg.cholesky(self.hessian))
        out = torch.zeros_like(self.wanted)
        for rows, mine, factor in _of_rows(self.hessian, mask):
            right = self.wanted[rows].gather(1, mine)
            value = torch.cholesky_solve(right[:, :, None], factor)[:, :, 0]
            out[rows].scatter_(1, mine, value**2 / _inverse_diagonal(factor))
        return out


def _supports(parts: Sequence[Part], kernel: tuple[int, int], pattern: Pattern, shared: bool) -> list[Tensor]:
    """Return the mask (K, F) of each part: at once, or half of every sub-row first, then fewer by new saliencies."""
    kept = pattern.kept
    if _can_thin(parts):
        kept = max(pattern.sub_row // 2, pattern.kept)

    def chosen_at(kept: int, masks: Sequence[Tensor | None]) -> tuple[list[npt.NDArray[np.float64]], Int64Array]:
        saliencies = [channel_major(p.saliency(mask), kernel).numpy() for p, mask in zip(parts, masks, strict=True)]
        worth = np.sum([worth_of(saliency, pattern.sub_row, pattern.outputs) for saliency in saliencies], axis=0)
        step = replace(pattern, kept=kept)
        return saliencies, share_taps(worth, step) if shared else np.full(kernel, kept)

    shares = chosen_at(kept, [None] * len(parts))[1] if shared else np.full(kernel, kept)
    masks = [choose_support(part.dense, part.hessian, pattern, shares) for part in parts]
    while kept > pattern.kept:
        kept = max(min(math.ceil(THINNED * kept), kept - 1), pattern.kept)
        before = shares
        saliencies, shares = chosen_at(kept, masks)
        shares = np.minimum(shares, before)
        masks = [tap_major(torch.as_tensor(project(saliency, pattern, shares))) for saliency in saliencies]
    return masks


def _can_thin(parts: Sequence[Part]) -> bool:
    """Return whether the values that half of each sub-row leaves can be solved for again in seconds."""
    columns = [part.wanted.shape[1] // 2 for part in parts]
    return sum(len(part.wanted) * count**3 for part, count in zip(parts, columns, strict=True)) <= MAX_SOLVING


def _of_rows(hessian: Tensor, mask: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield, a few rows at a time: which; the columns (rows, kept) of their values; the factor of the Hessian there."""
    place = mask.nonzero()[:, 1].reshape(len(mask), -1)
    for start in range(0, len(mask), ROWS):
        mine = place[start : start + ROWS]
        yield slice(start, start + ROWS), mine, torch.linalg.cholesky(hessian[mine[:, :, None], mine[:, None, :]])


def _part(weight: Tensor, found: Moments) -> Part:
    hessian = with_ridge(found.covariance)
    wanted = tap_major(weight) @ (found.cross + hessian - found.covariance)
    return Part(wanted, hessian, torch.cholesky_solve(wanted.T, torch.linalg.cholesky(hessian)).T)


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


def choose_support(weight: Tensor, hessian: Tensor, pattern: Pattern, shares: Int64Array) -> Tensor:
    """Return the mask (K, F) of the values to keep.

    Args:
        weight: (K, F).
        hessian: (F, F), with its ridge.
        pattern: whose sub-rows they are.
        shares: (kh, kw), how many of a sub-row each tap keeps.
    """
    channels = weight.shape[1] // shares.size
    energy = torch.diagonal(hessian).reshape(-1, channels).sum(1)
    taps = torch.argsort(energy, descending=True)
    order = (taps[:, None] * channels + torch.arange(channels)).reshape(-1)
    factor = compensation(hessian[order][:, order])
    rest = weight[:, order].clone()
    mask = torch.zeros_like(rest, dtype=torch.bool)
    starts = [tap * channels + c for tap in range(len(taps)) for c in range(0, channels, pattern.sub_row)]
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        saliency = (rest[:, start:end] / torch.diagonal(factor)[start:end]) ** 2
        share = int(shares.reshape(-1)[taps[start // channels]])
        of_groups = torch.stack([group.sum(0) for group in torch.split(saliency, pattern.outputs)])
        kept = of_groups.topk(min(share, end - start), dim=1).indices.repeat_interleave(pattern.outputs, 0)
        mask[:, start:end].scatter_(1, kept[: len(mask)], value=True)
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
    out = torch.zeros_like(wanted)
    for rows, mine, factor in _of_rows(hessian, mask):
        right = wanted[rows].gather(1, mine)
        out[rows].scatter_(1, mine, torch.cholesky_solve(right[:, :, None], factor)[:, :, 0])
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
    out = torch.zeros_like(steps)
    same = bool((place == place[0]).all())
    rows = len(mask) if same else ROWS
    for start in range(0, len(mask), rows):
        mine = place[start : start + rows]
        used = mine[:1] if same else mine
        factor = compensation(hessian[used[:, :, None], used[:, None, :]])  # the same for all widths
        there = mine.expand(len(steps), -1, -1)
        rest = weight[start : start + rows].expand_as(steps[:, start : start + rows]).gather(2, there)
        step = steps[:, start : start + rows].gather(2, there)
        # rows of one support are rounded together, others each with a factor of its own
        grouped = (len(steps), len(factor), -1, mine.shape[1])
        integers = round_columns(rest.view(grouped), step.view(grouped), limits, factor).reshape(rest.shape)
        out[:, start : start + rows].scatter_(2, there, integers)
    return out
