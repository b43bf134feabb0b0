"""Tensors over all calibration images, a few images at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

BATCH = 64


def batched(function: Callable[..., torch.Tensor], tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Apply a function to slices of the images and join the results."""
    first = function(*[t[:BATCH] for t in tensors])
    out = first.new_empty((len(tensors[0]), *first.shape[1:]))
    out[:BATCH] = first
    for start in range(BATCH, len(out), BATCH):
        out[start : start + BATCH] = function(*[t[start : start + BATCH] for t in tensors])
    return out


def channel_means(x: torch.Tensor) -> torch.Tensor:
    """Return the mean of every channel over images and positions: float64 (C,)."""
    return x.flatten(2).mean(2).double().mean(0) if x.ndim > 2 else x.double().mean(0)
