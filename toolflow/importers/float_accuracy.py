"""What the user's float model answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from toolflow.importers.torch_module import to_torch
from toolflow.ir.graph import Graph

BATCH_IMAGES = 250

Normalise = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]


def float_classes(graph: Graph, images: npt.NDArray[np.uint8], normalise: Normalise) -> npt.NDArray[np.int64]:
    """Return the class that the float network answers for each image, int64 (N,).

    Args:
        graph: the float network.
        images: uint8 (N, H, W, C).
        normalise: from such images to the network's input (N, C, H, W).
    """
    module = to_torch(graph).eval()
    parts = [np.zeros(0, dtype=np.int64)]
    with torch.no_grad():
        for start in range(0, len(images), BATCH_IMAGES):
            x = torch.as_tensor(normalise(images[start : start + BATCH_IMAGES])).float()
            parts.append(module(x).reshape(len(x), -1).argmax(dim=1).numpy().astype(np.int64))
    return np.concatenate(parts)
