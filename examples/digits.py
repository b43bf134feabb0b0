"""A small CNN for scikit-learn's handwritten digits, trained in place in seconds.

    python examples/digits.py build/digits

writes digits.safetensors and calibration.npz, which `toolflow build examples/digits.py:digits` reads.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

TEST_IMAGES = 400
CALIBRATION_IMAGES = 400  # never trained on: on training images the two precisions disagree too rarely
MEAN, STD = 0.3, 0.36  # of the pixels in 0..1

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


class Digits(nn.Module):
    """Two 3×3 convolutions, each with max pooling, and a linear layer."""

    input_shape = (1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.linear = nn.Linear(32 * 2 * 2, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1, 8, 8) to logits (N, 10)."""
        x = self.pool(functional.relu(self.conv1(x)))
        x = self.pool(functional.relu(self.conv2(x)))
        return cast(torch.Tensor, self.linear(x.flatten(1)))


def digits() -> Digits:
    """Return the network, not trained."""
    return Digits()


def images() -> tuple[Pixels, Labels]:
    """Return all 1,797 images, uint8 (N, 8, 8, 1) with values up to 255, and their classes."""
    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    return pixels[..., np.newaxis], data.target.astype(np.int64)


def split() -> dict[str, tuple[Pixels, Labels]]:
    """Return the images as "train", "calibration" and "test", without overlap, in a fixed random order."""
    x, y = images()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    test, calibration = len(x) - TEST_IMAGES, len(x) - TEST_IMAGES - CALIBRATION_IMAGES
    return {
        "train": (x[:calibration], y[:calibration]),
        "calibration": (x[calibration:test], y[calibration:test]),
        "test": (x[test:], y[test:]),
    }


def normalise(x: Pixels) -> torch.Tensor:
    """Return uint8 (N, 8, 8, 1) as the network's input, float32 (N, 1, 8, 8)."""
    return ((torch.from_numpy(x).float() / 255 - MEAN) / STD).permute(0, 3, 1, 2)


def train(seed: int = 0, epochs: int = 40) -> dict[str, torch.Tensor]:
    """Train and return the state dict; the same for the same seed, however many cores there are.

    One thread: batches of 32 small images are too little to share, and sums keep their order.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _train(seed, epochs)
    finally:
        torch.set_num_threads(threads)


def _train(seed: int, epochs: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Digits()
    x, labels = split()["train"]
    inputs, targets = normalise(x), torch.from_numpy(labels)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs), generator=generator)[: len(inputs) // 32 * 32].reshape(-1, 32):
            optimiser.zero_grad()
            loss = functional.cross_entropy(model(inputs[batch]), targets[batch])
            torch.autograd.backward(loss)
            optimiser.step()
        schedule.step()
    return model.state_dict()


def accuracy(state: dict[str, torch.Tensor], part: str = "test") -> float:
    """Return the share of one part of `split` that a trained network gets right."""
    model = Digits()
    model.load_state_dict(state)
    x, y = split()[part]
    with torch.no_grad():
        return float((model(normalise(x)).argmax(1).numpy() == y).mean())


def write(folder: Path, seed: int = 0) -> None:
    """Train, and write digits.safetensors, calibration.npz and test.npz into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(train(seed), folder / "digits.safetensors")
    for part in ("calibration", "test"):
        x, y = split()[part]
        np.savez_compressed(folder / f"{part}.npz", x=x, y=y, mean=np.array([MEAN]), std=np.array([STD]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the digits network and write what a build needs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.seed)
