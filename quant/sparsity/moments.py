"""Second moments of a layer's inputs, tap by tap: in the Winograd domain for tiles, in space for kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from quant.least_squares.columns import MIN_SAMPLES, SAMPLES_PER_COLUMN, positions, sample, sampled_columns
from toolflow.ir.operator import Operator
from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import WinogradConv
from toolflow.operators.winograd.torch_form import tiles_of, transform_tiles

Tensor = torch.Tensor
CHUNK = 1024  # tiles transformed at once


@dataclass(frozen=True)
class Moments:
    """Second moments of the columns x̂ (quantised) and x (float).

    A layer has x̂ as its input in the quantised or pruned network, and x in the float network.

    Attributes:
        covariance: (F, F), of x̂; F is tap · C + channel.
        cross: (F, F), of x (rows) with x̂ (columns).
    """

    covariance: Tensor
    cross: Tensor


def tap_major(weight: Tensor) -> Tensor:
    """Return (K, taps · C) of weights (K, C, kh, kw)."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def channel_major(columns: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Return (K, C, kh, kw) of weights (K, taps · C)."""
    return columns.reshape(len(columns), *kernel, -1).permute(0, 3, 1, 2)


def moments(
    op: Operator,
    kernel: tuple[int, int],
    quantised: Tensor,
    exact: Tensor,
    generator: torch.Generator,
    about_mean: bool,
) -> Moments:
    """Return the moments of a layer's columns, from a random sample of its tiles or positions.

    Args:
        op: the layer, with one channel group.
        kernel: of a direct layer.
        quantised: the inputs that it will see, (N, C, H, W).
        exact: those of the float network.
        generator: of the sample.
        about_mean: whether they are about the columns' means: right where the bias makes up for the mean error.
    """
    if isinstance(op, WinogradConv):
        return _of_tiles(op, quantised, exact, generator, about_mean)
    shape = quantised.shape[1], quantised.shape[2], quantised.shape[3]
    wanted = max(MIN_SAMPLES, SAMPLES_PER_COLUMN * shape[0] * kernel[0] * kernel[1])
    places = sample(len(quantised) * positions(op, kernel, shape), wanted, generator)
    seen, meant = (
        sampled_columns(op, kernel, x, places)[0].reshape(shape[0], -1, len(places)).transpose(0, 1).flatten(0, 1)
        for x in (quantised, exact)
    )
    if about_mean:
        seen, meant = (t - t.mean(1, keepdim=True) for t in (seen, meant))  # first: see `input_statistics`
    return Moments(*((t @ seen.T).double() / len(places) for t in (seen, meant)))


def _of_tiles(
    op: WinogradConv, quantised: Tensor, exact: Tensor, generator: torch.Generator, about_mean: bool
) -> Moments:
    """An output is Σ a[i, tap] · U · V: its columns' moments are those of V, weighted by what two taps share."""
    form = WINOGRAD[op.tile]
    matrix = torch.as_tensor(form.output).double()
    share = torch.kron(matrix, matrix) / form.scale  # (m·m, t·t)
    channels = quantised.shape[1]
    features = channels * form.taps**2
    seen_tiles, meant_tiles = tiles_of(op, quantised), tiles_of(op, exact)
    down, across = seen_tiles.shape[2:4]
    wanted = max(MIN_SAMPLES, SAMPLES_PER_COLUMN * features) // len(share)
    places = sample(len(quantised) * down * across, wanted, generator)
    second, cross = (torch.zeros(features, features, dtype=torch.float64) for _ in range(2))
    total, total_exact = (torch.zeros(features, dtype=torch.float64) for _ in range(2))
    for some in torch.split(places, CHUNK):
        image, position = some // (down * across), some % (down * across)
        seen, meant = (
            transform_tiles(form, t[image, :, position // across, position % across]).flatten(0, 1)
            for t in (seen_tiles, meant_tiles)
        )
        second += (seen @ seen.T).double()
        cross += (meant @ seen.T).double()
        total += seen.sum(1, dtype=torch.float64)
        total_exact += meant.sum(1, dtype=torch.float64)
    pairs = (share.T @ share / len(share)).repeat_interleave(channels, 0).repeat_interleave(channels, 1)
    if not about_mean:
        return Moments(pairs * second / len(places), pairs * cross / len(places))
    mean_share = share.mean(0).repeat_interleave(channels)
    mean, mean_exact = mean_share * total / len(places), mean_share * total_exact / len(places)
    return Moments(
        pairs * second / len(places) - torch.outer(mean, mean),
        pairs * cross / len(places) - torch.outer(mean_exact, mean),
    )
