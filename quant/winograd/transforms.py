"""Winograd convolution in torch: what a tile does to floats, to train, to quantise and to measure against."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from toolflow.numerics.winograd import WINOGRAD, Winograd
from toolflow.operators import Conv, WinogradConv

Tensor = torch.Tensor


def can_tile(op: Conv, kernel: tuple[int, int]) -> bool:
    """Return whether a convolution has a Winograd form: 3 × 3, stride 1, dense in its channels."""
    return kernel == (3, 3) and op.stride == op.dilation == (1, 1) and op.groups == 1


def transformed(form: Winograd, weight: Tensor) -> Tensor:
    """Return U (K, C, t, t) of a kernel (K, C, 3, 3), in the integers' scaling."""
    matrix = torch.as_tensor(form.weight).to(weight.dtype)
    return torch.einsum("ya,kcab,xb->kcyx", matrix, weight, matrix)


def tiles_of(op: WinogradConv, x: Tensor) -> Tensor:
    """Return every input tile: (N, C, tiles down, tiles across, t, t)."""
    form = WINOGRAD[op.tile]
    top, left, bottom, right = op.pads
    height, width = x.shape[2] + top + bottom - 2, x.shape[3] + left + right - 2
    down, across = form.tiles(height, width)
    x = functional.pad(x, (left, right + across * op.tile - width, top, bottom + down * op.tile - height))
    return x.unfold(2, form.taps, op.tile).unfold(3, form.taps, op.tile)


def transform_tiles(form: Winograd, tiles: Tensor) -> Tensor:
    """Return V (t·t, C, n) of tiles (n, C, t, t)."""
    matrix = torch.as_tensor(form.input).to(tiles.dtype)
    both = torch.kron(matrix, matrix)  # (t·t, t·t): row y·t + x over column r·t + s
    count, channels = tiles.shape[:2]
    flat = tiles.permute(1, 0, 2, 3).reshape(channels * count, -1)
    return (both @ flat.T).reshape(-1, channels, count)


def winograd_sums(op: WinogradConv, x: Tensor, weight: Tensor) -> Tensor:
    """Return the convolution's sums (N, K, H', W') for inputs (N, C, H, W) and U (K, C, t, t)."""
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
