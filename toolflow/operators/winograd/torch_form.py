"""Winograd convolution in torch."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from toolflow.ir.operator import Operator
from toolflow.numerics.winograd import WINOGRAD, Winograd
from toolflow.operators.winograd.spec import WinogradConv


def tiles_of(op: WinogradConv, x: torch.Tensor) -> torch.Tensor:
    """Return every input tile: (N, C, tiles down, tiles across, t, t)."""
    form = WINOGRAD[op.tile]
    top, left, bottom, right = op.pads
    height, width = x.shape[2] + top + bottom - 2, x.shape[3] + left + right - 2
    down, across = form.tiles(height, width)
    x = functional.pad(x, (left, right + across * op.tile - width, top, bottom + down * op.tile - height))
    return x.unfold(2, form.taps, op.tile).unfold(3, form.taps, op.tile)


def transform_tiles(form: Winograd, tiles: torch.Tensor) -> torch.Tensor:
    """Return V (t·t, C, n) of tiles (n, C, t, t)."""
    matrix = torch.as_tensor(form.input).to(tiles.dtype)
    both = torch.kron(matrix, matrix)  # (t·t, t·t): row y·t + x over column r·t + s
    count, channels = tiles.shape[:2]
    flat = tiles.permute(1, 0, 2, 3).reshape(channels * count, -1)
    return (both @ flat.T).reshape(-1, channels, count)


def sums(op: Operator, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the convolution's sums (N, K, H', W') for inputs (N, C, H, W) and U (K, C, t, t)."""
    assert isinstance(op, WinogradConv)
    form = WINOGRAD[op.tile]
    tiles = tiles_of(op, x)
    images, channels, down, across = tiles.shape[:4]
    v = transform_tiles(form, tiles.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels, form.taps, form.taps))
    u = weight.permute(2, 3, 0, 1).reshape(form.taps**2, len(weight), channels)
    matrix = torch.as_tensor(form.output).to(x.dtype)
    y = torch.kron(matrix, matrix) @ torch.bmm(u, v).reshape(form.taps**2, -1) / form.scale
    y = y.reshape(op.tile, op.tile, len(weight), images, down, across).permute(3, 2, 4, 0, 5, 1)
    top, left, bottom, right = op.pads
    height, width = x.shape[2] + top + bottom - 2, x.shape[3] + left + right - 2
    return y.reshape(images, len(weight), down * op.tile, across * op.tile)[:, :, :height, :width]
