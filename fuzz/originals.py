"""The files to damage: a model in each format, its images, a board, a pruned file, and a project with two units."""

from __future__ import annotations

import fcntl
import random
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from toolflow.cli.main import app

BOARDS = Path(__file__).resolve().parent.parent / "boards"
MODELS = """
import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU6(), nn.Conv2d(8, 8, 3, padding=1))
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(72, 4)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.pool(torch.relu(x + self.body(x))).flatten(1))


def residual():
    torch.manual_seed(5)
    return Residual().eval()
"""
SHAPE = "2,6,6"
FAST = (
    "--rounding", "nearest", "--engine", "lanes_k=4,lanes_p=2,slots=1", "--tolerance", "0.5", "--board", "pynq-z2",
)  # fmt: skip


def toolflow(*arguments: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def originals(folder: Path) -> Path:
    """Return the folder of the originals; the first call makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / "ready"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            _make(folder)
            ready.touch()
    return folder


def _make(folder: Path) -> None:
    (folder / "models.py").write_text(MODELS, encoding="utf-8")
    names: dict[str, object] = {}
    exec(MODELS, names)
    model = names["residual"]()  # type: ignore[operator]  # the function above
    state = {name: value.clone() for name, value in model.state_dict().items()}
    save_file(state, folder / "weights.safetensors")
    torch.save(state, folder / "weights.pt")
    torch.onnx.export(model, (torch.zeros(1, 2, 6, 6),), folder / "model.onnx", dynamo=False, verbose=False)
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (64, 6, 6, 2), dtype=np.uint8)
    np.savez(folder / "images.npz", x=images, y=rng.integers(0, 4, 64), mean=[0.5, 0.4], std=[0.2, 0.3])
    shutil.copy(BOARDS / "pynq-z2.yaml", folder / "board.yaml")
    source = f"{folder / 'models.py'}:residual", "--weights", folder / "weights.safetensors", "--input-shape", SHAPE
    images_of = "--calibration", folder / "images.npz"
    for arguments in (
        ("prune", *source, *images_of, "--pattern", "4:8", "--tile", "0", "--out", folder / "pruned"),
        ("build", *source, *images_of, *FAST, "--cascade", "--out", folder / "project"),
    ):
        result = toolflow(*arguments)
        if result.exit_code != 0:
            raise RuntimeError(f"{arguments[0]} of the originals ended with {result.exit_code}: {result.stderr}")
    shutil.move(folder / "pruned" / "pruned.safetensors", folder)
    shutil.rmtree(folder / "pruned")


def project_files(folder: Path, rng: random.Random) -> str:
    """Return a random file of the project; each top-level folder is equally likely."""
    files = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    groups: dict[str, list[str]] = {}
    for name in files:
        groups.setdefault(name if "/" not in name else name.split("/")[0], []).append(name)
    return rng.choice(groups[rng.choice(sorted(groups))])
