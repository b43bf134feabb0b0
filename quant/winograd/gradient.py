"""Winograd convolution for training: the sums of `transforms.py` and their gradients, in few passes over memory.

Maps are (N, H, W, C) here. Each transform is two products, of the rows and of the columns, with a t × t or m × t matrix
over everything else; what moves between them are whole pixels. Narrow layers of F(2x2,3x3) are computed as one direct
convolution with the t × t kernels that each of a tile's outputs is of its inputs, which costs less than moving tiles.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as functional

from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import WinogradConv

Tensor = torch.Tensor

NARROW_CHANNELS = 16  # up to here F(2x2,3x3) is faster by its effective kernels
CACHED_VALUES = 1 << 20  # of V that are made and used at once, on a CPU


@lru_cache(maxsize=16)
def _matrices(tile: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the input transform (t, t), and the output transform (m, t) that takes in the scale."""
    form = WINOGRAD[tile]
    input_matrix = torch.as_tensor(form.input).to(device, dtype)
    return input_matrix, torch.as_tensor(form.output).to(device, dtype) / form.scale**0.5


def tap_reach(tile: int) -> Tensor:
    """Return (t, t) how far a unit of each tap's U moves an output, in the root mean square over white inputs.

    Weights multiplied by it move outputs as those of a direct convolution do, and train at the same rate.
    """
    input_matrix, output_matrix = _matrices(tile, torch.float64, torch.device("cpu"))
    reach = (output_matrix**2).mean(0).sqrt() * (input_matrix**2).sum(1).sqrt()
    return torch.outer(reach, reach)


def _transformed(x: Tensor, tile: int) -> Tensor:
    """Return V (t·t, tiles, C), its taps column by column, of x (N, Hp, Wp, C)."""
    images, height, width, channels = x.shape
    taps, down, across = tile + 2, (height - 2) // tile, (width - 2) // tile
    forth, _ = _matrices(tile, x.dtype, x.device)
    rows = torch.stack([x[:, r : r + height - 2 : tile][:, :down] for r in range(taps)])
    rows = torch.mm(forth, rows.view(taps, -1)).view(taps, images, down, width, channels)
    columns = torch.stack([rows[:, :, :, c : c + width - 2 : tile][:, :, :, :across] for c in range(taps)])
    return torch.mm(forth, columns.view(taps, -1)).view(taps * taps, -1, channels)


def _transformed_back(of_v: Tensor, of_x: Tensor, tile: int) -> None:
    """Write to of_x (N, Hp, Wp, C) the gradient that of_v (t·t, tiles, C) gives it."""
    images, height, width, channels = of_x.shape
    taps, down, across = tile + 2, (height - 2) // tile, (width - 2) // tile
    forth, _ = _matrices(tile, of_v.dtype, of_v.device)
    columns = torch.mm(forth.T, of_v.view(taps, -1)).view(taps, taps, images, down, across, channels)
    rows = of_v.new_zeros(taps, images, down, width, channels)
    for c in range(taps):
        rows[:, :, :, c : c + width - 2 : tile][:, :, :, :across] += columns[c]
    rows = torch.mm(forth.T, rows.view(taps, -1)).view(taps, images, down, width, channels)
    of_x.zero_()
    for r in range(taps):
        of_x[:, r : r + height - 2 : tile][:, :down] += rows[r]


class _TileSums(torch.autograd.Function):
    """x (N, Hp, Wp, C), a whole number of tiles, and U (t·t, C, K), its taps column by column: (N, H, W, K).

    A few images at a time, so that what passes from one step to the next stays in the cache.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, u: Tensor, tile: int) -> Tensor:
        images, height, width, channels = x.shape
        outputs, taps, down, across = u.shape[2], tile + 2, (height - 2) // tile, (width - 2) // tile
        _, back = _matrices(tile, x.dtype, x.device)
        some = images
        if x.device.type == "cpu":
            some = max(CACHED_VALUES // (down * across * channels * taps * taps), 1)
        sums = x.new_empty(images, down, tile, across, tile, outputs)
        kept = []
        for start in range(0, images, some):
            v = _transformed(x[start : start + some], tile)
            m = torch.bmm(v, u)
            y = torch.matmul(back, torch.mm(back, m.view(taps, -1)).view(tile, taps, -1))
            y = y.view(tile, tile, -1, down, across, outputs)  # column, row of the tile, image, tile
            sums[start : start + some] = y.permute(2, 3, 1, 4, 0, 5)
            kept.append(v)
        ctx.save_for_backward(u, *kept)
        ctx.tile, ctx.shape, ctx.some = tile, x.shape, some
        return sums.view(images, down * tile, across * tile, outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        u, *kept = ctx.saved_tensors
        tile, some = ctx.tile, ctx.some
        images, height, width, _ = ctx.shape
        down, across = (height - 2) // tile, (width - 2) // tile
        _, back = _matrices(tile, u.dtype, u.device)
        of_sums = gradients[0].reshape(images, down, tile, across, tile, -1)
        of_u = torch.zeros_like(u)
        of_x = u.new_empty(ctx.shape) if ctx.needs_input_grad[0] else None
        for start, v in zip(range(0, images, some), kept, strict=True):
            y = of_sums[start : start + some].permute(4, 2, 0, 1, 3, 5).reshape(tile, tile, -1)
            m = torch.mm(back.T, torch.matmul(back.T, y).view(tile, -1)).view((tile + 2) ** 2, -1, u.shape[2])
            of_u.baddbmm_(v.mT, m)
            if of_x is not None:
                _transformed_back(torch.bmm(m, u.mT), of_x[start : start + some], tile)
        return of_x, of_u, None


def tile_sums(op: WinogradConv, x: Tensor, weight: Tensor) -> Tensor:
    """Return the sums (N, K, H', W') for inputs (N, C, H, W) and U (K, C, t, t), channels last in memory."""
    form, (top, left, bottom, right) = WINOGRAD[op.tile], op.pads
    height, width = x.shape[2] + top + bottom - 2, x.shape[3] + left + right - 2
    down, across = form.tiles(height, width)
    pads = (left, right + across * op.tile - width, top, bottom + down * op.tile - height)
    x = functional.pad(x, pads)
    if op.tile == 2 and weight.shape[1] <= NARROW_CHANNELS:
        sums = _by_effective_kernels(x, weight, op.tile)
    else:
        u = weight.permute(3, 2, 1, 0).reshape(form.taps**2, weight.shape[1], len(weight))
        nhwc = x.permute(0, 2, 3, 1).contiguous()
        sums = cast(Tensor, _TileSums.apply(nhwc, u, op.tile)).permute(0, 3, 1, 2)  # type: ignore[no-untyped-call]
    return sums[:, :, :height, :width]


def _by_effective_kernels(x: Tensor, weight: Tensor, tile: int) -> Tensor:
    """Return the sums of inputs that are a whole number of tiles."""
    forth, back = _matrices(tile, x.dtype, x.device)
    taps = tile + 2
    rows = torch.einsum("iy,yr->iry", back, forth).reshape(-1, taps)  # (m·t, t): of a tap, what output i is of input r
    kernels = torch.einsum("py,kcyx,qx->kcpq", rows, weight, rows)
    kernels = kernels.view(len(weight), -1, tile, taps, tile, taps).permute(0, 2, 4, 1, 3, 5)
    kernels = kernels.reshape(-1, weight.shape[1], taps, taps).contiguous(memory_format=torch.channels_last)
    return functional.pixel_shuffle(functional.conv2d(x, kernels, stride=tile), tile)
