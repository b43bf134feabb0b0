"""What the user's float model answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from quant.config import Normalisation
from toolflow.importers.torch_module import to_torch
from toolflow.ir.graph import Graph

BATCH_IMAGES = 250


def float_classes(graph: Graph, images: npt.NDArray[np.uint8], normalisation: Normalisation) -> npt.NDArray[np.int64]:
    """Return the class that the float network answers for each uint8 image (N, H, W, C), int64 (N,)."""
    module = to_torch(graph).eval()
    parts = [np.zeros(0, dtype=np.int64)]
    with torch.no_grad():
        for start in range(0, len(images), BATCH_IMAGES):
            x = torch.as_tensor(normalisation.apply(images[start : start + BATCH_IMAGES])).float()
            parts.append(module(x).reshape(len(x), -1).argmax(dim=1).numpy().astype(np.int64))
    return np.concatenate(parts)
