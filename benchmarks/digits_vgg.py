"""A deeper network for the digits: three blocks of two convolutions between pools, trained in place in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import nn

from examples import digits
from quant.config import Normalisation
from quant.exchange.float_onnx import save_onnx
from quant.mechanisms.finetune import fine_tuned, fresh
from quant.training.images import TrainingImages
from quant.training.recipe import Recipe
from toolflow.importers.load import load_model

WIDTHS = (16, 32, 32)
RECIPE = Recipe(40, rate=0.01, taught=0.0, flip=False)


class Vgg(nn.Module):
    """(N, 1, 8, 8) to logits (N, 10)."""

    input_shape = (1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in WIDTHS:
            for source in (before, width):
                layers += [nn.Conv2d(source, width, 3, padding=1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
            before = width
        self.features, self.linear = nn.Sequential(*layers), nn.Linear(before, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return cast(torch.Tensor, self.linear(self.features(x).flatten(1)))


def vgg() -> Vgg:
    """Return the network, not trained."""
    return Vgg()


def write(path: Path) -> None:
    """Train the network on the training part of the digits, and write it as ONNX."""
    x, y = digits.split()["train"]
    normalisation = Normalisation(mean=(digits.MEAN,), std=(digits.STD,))
    graph = fresh(load_model(f"{__file__}:vgg", None), 0)
    save_onnx(fine_tuned(graph, graph, TrainingImages(x, y, normalisation), RECIPE), path)
