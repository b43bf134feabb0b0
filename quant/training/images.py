"""Images to train on, and how they are shifted and mirrored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from quant.config import Normalisation

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainingImages:
    """Images uint8 (N, H, W, C), their labels if there are any, and how pixels are normalised."""

    images: Images
    labels: Labels | None
    normalisation: Normalisation

    def inputs(self, images: Images, device: torch.device) -> torch.Tensor:
        """Return a batch as the network takes it: float32 (n, C, H, W), channels last in memory."""
        mean, std = (torch.tensor(v, device=device) for v in (self.normalisation.mean, self.normalisation.std))
        x = torch.as_tensor(images, device=device).float() * self.normalisation.scale
        return ((x - mean) / std).permute(0, 3, 1, 2)


def augmented(images: Images, rng: np.random.Generator, flip: bool) -> Images:
    """Return images (n, H, W, C) shifted by up to an eighth of their size, black where nothing was, some mirrored."""
    count, height, width, _ = images.shape
    margins = height // 8, width // 8
    padded = np.pad(images, ((0, 0), (margins[0],) * 2, (margins[1],) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    down, right = (rng.integers(0, 2 * margin + 1, count) for margin in margins)
    cut = windows[np.arange(count), down, right].transpose(0, 2, 3, 1)
    if flip:
        mirrored = rng.random(count) < 0.5
        cut[mirrored] = cut[mirrored, :, ::-1]
    return np.ascontiguousarray(cut)
