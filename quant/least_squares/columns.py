"""The inputs of a layer's weights as columns of a matrix, at a sample of output positions."""

from __future__ import annotations

import torch

from toolflow.ir.operator import Operator, Shape
from toolflow.operators import Conv
from toolflow.operators.torch_windows import pad_for_windows
from toolflow.operators.window import window_shape

SAMPLES_PER_COLUMN = 48
MIN_SAMPLES = 24576


def sample(total: int, wanted: int, generator: torch.Generator) -> torch.Tensor:
    """Return the places of a random sample, int64 (samples,) in their order: all of them if no more are wanted."""
    if total <= wanted:
        return torch.arange(total)
    return torch.randint(total, (wanted,), generator=generator).sort().values


def positions(op: Operator, kernel: tuple[int, int], shape: Shape) -> int:
    """Return how many output positions a layer has, for inputs of shape `shape`."""
    if not op.convolves:
        return 1
    conv = _direct(op)
    rows, width = window_shape(shape, kernel, conv.stride, conv.pads, conv.dilation)
    return rows * width


def sampled_columns(op: Operator, kernel: tuple[int, int], x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the columns that the layer's weights meet: (G, F, samples).

    Args:
        op: the layer.
        kernel: its kernel.
        x: its inputs, (N, C, H, W) or (N, F).
        places: int64 (samples,), image · positions + position, positions row-major.
    """
    if not op.convolves:
        return x[places].T.unsqueeze(0)
    conv = _direct(op)
    x = pad_for_windows(x, conv, kernel)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, conv.dilation, strict=True)]
    windows = x.unfold(2, spans[0], conv.stride[0]).unfold(3, spans[1], conv.stride[1])
    windows = windows[..., :: conv.dilation[0], :: conv.dilation[1]]
    rows, width = windows.shape[2:4]
    image, position = places // (rows * width), places % (rows * width)
    picked = windows[image, :, position // width, position % width]
    return picked.reshape(len(places), op.groups, -1).permute(1, 2, 0)


def _direct(op: Operator) -> Conv:
    assert isinstance(op, Conv)
    return op
