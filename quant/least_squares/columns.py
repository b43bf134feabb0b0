"""The columns that a layer's weights meet, at a sample of its output positions."""

from __future__ import annotations

import torch

from toolflow.operators import Conv, Linear
from toolflow.operators.torch_windows import pad_for_windows

SAMPLES_PER_COLUMN = 48
MIN_SAMPLES = 24576


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
