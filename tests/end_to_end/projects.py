"""Shared by the end-to-end tests: commands as a user types them, small models, damaged files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from typer.testing import CliRunner, Result

from toolflow.cli.main import app

REPOSITORY = Path(__file__).resolve().parents[2]
DIGITS = REPOSITORY / "examples" / "digits.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
# A test run in the background ignores SIGINT, and its children would too.
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
LAUNCH = [sys.executable, "-c", f"{INTERRUPTIBLE}; import sys, cascade_toolflow; sys.exit(cascade_toolflow.main())"]
SMALL_ENGINE = "lanes_k=4,lanes_p=2,slots=1"

MODELS = """
import torch
from torch import nn


def small():
    torch.manual_seed(7)
    layers = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 4)
    return nn.Sequential(*layers).eval()


def one_pixel():
    return nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Flatten(), nn.Linear(5, 4)).eval()


def detector():
    return nn.Conv2d(1, 4, 3, padding=1).eval()


def unsupported():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(144, 4)).eval()
"""


def toolflow(*arguments: str | Path) -> Result:
    """Run a command in this process; the result has stdout and stderr separately."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_models(folder: Path) -> tuple[Path, Path, Path]:
    """Write the models, and random labelled images of shapes (1, 8, 8) and (3, 1, 1)."""
    models = folder / "models.py"
    models.write_text(MODELS, encoding="utf-8")
    rng = np.random.default_rng(3)
    paths = []
    for name, shape in (("small", (8, 8, 1)), ("one_pixel", (1, 1, 3))):
        paths.append(folder / f"{name}.npz")
        images = rng.integers(0, 256, (60, *shape), dtype=np.uint8)
        np.savez(paths[-1], x=images, y=rng.integers(0, 4, 60))
    return models, paths[0], paths[1]


def train_digits(folder: Path) -> None:
    """Run the example as the README does, on one core."""
    subprocess.run([sys.executable, str(DIGITS), str(folder)], env=ENVIRONMENT, check=True)


def digest_all(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def flipped(path: Path, byte: int, mask: int = 0x80) -> Iterator[None]:
    """Flip bits of one byte of a file inside a `with` block."""
    original = path.read_bytes()
    damaged = bytearray(original)
    damaged[byte] ^= mask
    path.write_bytes(bytes(damaged))
    try:
        yield
    finally:
        path.write_bytes(original)


def digits_arguments(trained: Path) -> list[str | Path]:
    """Return the arguments of the model and its images, the same for every command."""
    weights, images = trained / "digits.safetensors", trained / "calibration.npz"
    return [f"{DIGITS}:digits", "--weights", weights, "--calibration", images, "--scales", "fixed-point"]
