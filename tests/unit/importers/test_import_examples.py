"""The example networks: trained in place, or with the published weights on real images."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from quant.float_network import model_output
from tests.unit.importers.test_import_same import EXAMPLES, example
from toolflow.importers.load import load_model
from toolflow.ir.graph import Graph
from toolflow.passes.check import Status, check
from toolflow.passes.fuse_residual import fuse_residual
from toolflow.passes.pipeline import simplify


def hits(graph: Graph, x: torch.Tensor, y: np.ndarray) -> float:
    with torch.no_grad():
        logits = torch.cat([model_output(graph, part) for part in torch.split(x, 250)])
    return float((logits.argmax(1).numpy() == y).mean())


def test_digits_trains_and_imports(tmp_path: Path) -> None:
    digits = example("digits")
    digits.write(tmp_path)
    graph = simplify(load_model(f"{EXAMPLES / 'digits.py'}:digits", tmp_path / "digits.safetensors"))
    assert [node.op.kind for node in graph.nodes] == ["conv", "max_pool", "conv", "max_pool", "flatten", "linear"]
    stored = np.load(tmp_path / "test.npz")
    assert stored["x"].shape == (digits.TEST_IMAGES, 8, 8, 1)
    assert hits(graph, digits.normalise(stored["x"]), stored["y"]) >= 0.98
    parts = digits.split()
    calibration = np.load(tmp_path / "calibration.npz")
    np.testing.assert_array_equal(calibration["x"], parts["calibration"][0])
    assert sum(len(x) for x, _ in parts.values()) == len(digits.images()[0])


def test_digits_training_repeats_itself() -> None:
    digits = example("digits")
    first, second, other = digits.train(0, epochs=1), digits.train(0, epochs=1), digits.train(1, epochs=1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def cifar(folder: Path, count: int) -> tuple[torch.Tensor, np.ndarray]:
    images = np.load(folder / "cifar10_test_jpeg75.npz")
    x = torch.from_numpy(images["x"][:count]).float() / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    return x.permute(0, 3, 1, 2), images["y"][:count]


def resnet(folder: Path, factory: str, weights: str) -> Graph:
    graph = load_model(f"{EXAMPLES / 'resnet20.py'}:{factory}", folder / f"{weights}.safetensors")
    assert all(line.status is not Status.IMPORTS_ONLY for line in check(graph))
    return fuse_residual(simplify(graph))


def test_resnet20_on_1000_images(shared_data: Path) -> None:
    graph = resnet(shared_data, "resnet20", "cifar10_resnet20_jpeg75_finetuned")
    assert {node.op.kind for node in graph.nodes} == {"conv", "shortcut", "avg_pool", "flatten", "linear"}
    assert hits(graph, *cifar(shared_data, 1000)) == pytest.approx(0.888, abs=0.002)


@pytest.mark.long
@pytest.mark.parametrize(
    ("factory", "weights", "accuracy"),
    [
        ("resnet20", "cifar10_resnet20_jpeg75_finetuned", 0.8807),
        ("resnet20", "cifar10_resnet20", 0.8103),
        ("resnet56", "cifar10_resnet56", 0.8320),
    ],
)
def test_resnets_have_their_published_accuracy(shared_data: Path, factory: str, weights: str, accuracy: float) -> None:
    graph = resnet(shared_data, factory, weights)
    assert hits(graph, *cifar(shared_data, 10_000)) == pytest.approx(accuracy, abs=0.0002)


def test_squeezenet_on_100_images(shared_data: Path) -> None:
    weights = shared_data / "imagenet_squeezenet_v1_0_deepcompressed.safetensors"
    graph = load_model(f"{EXAMPLES / 'squeezenet.py'}:squeezenet", weights)
    with (shared_data / "imagenet_sample_1000_labels.csv").open() as table:
        rows = list(csv.DictReader(table))[:100]
    pictures = []
    with zipfile.ZipFile(shared_data / "imagenet_sample_1000_s256.zip") as archive:
        for row in rows:
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(row["file"]))).convert("RGB"))
            top, left = (pixels.shape[0] - 227) // 2, (pixels.shape[1] - 227) // 2
            pictures.append(pixels[top : top + 227, left : left + 227, ::-1].astype(np.float32) - (104, 117, 123))
    x = torch.from_numpy(np.stack(pictures).astype(np.float32)).permute(0, 3, 1, 2)
    classes = np.array([int(row["class_index_0_999"]) for row in rows])
    assert hits(simplify(graph), x, classes) == pytest.approx(0.61, abs=0.01)
    assert all(line.status is not Status.IMPORTS_ONLY for line in check(graph))
