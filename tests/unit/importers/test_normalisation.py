"""The normalisation of the images, inside the model or in the calibration file: one network, one result."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from quant.config import Normalisation, QuantiseConfig
from quant.float_network import float_logits
from quant.quantise import quantise
from tests.unit.importers.import_tools import random_array, run_onnx
from toolflow.importers.images.calibration_file import load_calibration_file
from toolflow.importers.images.pixels import InputStatistics
from toolflow.importers.images.plausible import listed
from toolflow.importers.onnx.importer import import_onnx
from toolflow.importers.pytorch.importer import import_module
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import QuantisedGraph
from toolflow.passes.pipeline import simplify

MEAN, STD = np.array([0.5, 0.4, 0.3]), np.array([0.25, 0.2, 0.3])
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
CONFIG = QuantiseConfig(weight_bits=3, activation_bits=3, rounding="nearest")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


class Normalised(nn.Module):
    """(x − mean) / std in the model, then the network."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.register_buffer("mean", torch.tensor(MEAN.reshape(3, 1, 1), dtype=torch.float32))
        self.register_buffer("std", torch.tensor(STD.reshape(3, 1, 1), dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net((x - self.mean) / self.std)  # type: ignore[no-any-return,operator]


def normed() -> nn.Sequential:
    """Return the same normalisation as a batch norm before the first convolution."""
    norm = nn.BatchNorm2d(3, eps=0.0, affine=False)
    norm.running_mean, norm.running_var = torch.tensor(MEAN).float(), torch.tensor(STD**2).float()
    return nn.Sequential(norm, *network())


def scaled() -> nn.Sequential:
    """Return the same normalisation as a depthwise 1×1 convolution."""
    first = nn.Conv2d(3, 3, 1, groups=3)
    with torch.no_grad():
        first.weight.copy_(torch.tensor(1 / STD).view(3, 1, 1, 1))
        first.bias.copy_(torch.tensor(-MEAN / STD))  # type: ignore[union-attr]
    return nn.Sequential(first, *network())


def exported(module: nn.Module, folder: Path) -> Graph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.zeros(1, 3, 6, 6)
        torch.onnx.export(module.eval(), (example,), folder / "m.onnx", dynamo=False, do_constant_folding=False)
    return import_onnx(folder / "m.onnx")


def quantised(graph: Graph, folder: Path, **arrays: np.ndarray) -> QuantisedGraph:
    """Quantise as the command line does: the file's normalisation and the model's own together."""
    path = folder / "images.npz"
    np.savez(path, x=PIXELS, **arrays)  # type: ignore[arg-type]
    graph = simplify(graph)
    pixels = load_calibration_file(path, input_map=graph.input_map).pixels
    normalisation = Normalisation(mean=pixels.mean, std=pixels.std, scale=pixels.scale)
    return quantise(graph, PIXELS, normalisation, CONFIG).graph


@pytest.mark.parametrize("inside", [Normalised, normed, scaled])
@pytest.mark.parametrize("source", ["torch", "onnx"])
def test_inside_and_outside_give_the_same_integers(tmp_path: Path, inside: type[nn.Module], source: str) -> None:
    outside = quantised(import_module(network(), (3, 6, 6)), tmp_path, mean=MEAN, std=STD)
    module = inside()
    graph = exported(module, tmp_path) if source == "onnx" else import_module(module, (3, 6, 6))
    found = quantised(graph, tmp_path)
    assert (found.input_table == outside.input_table).all()
    assert [node.op for node in found.nodes] == [node.op for node in outside.nodes]
    for node, other in zip(found.nodes, outside.nodes, strict=True):
        assert node.weight_bits == other.weight_bits
        assert all((node.weights[name] == other.weights[name]).all() for name in other.weights)


def test_a_float_network_on_pixels_answers_as_onnxruntime_on_its_own_input(tmp_path: Path) -> None:
    """Padded zeros are zeros of the normalised image, as in the model."""
    graph = simplify(exported(Normalised(), tmp_path))
    path = tmp_path / "images.npz"
    np.savez(path, x=PIXELS)
    table = load_calibration_file(path, input_map=graph.input_map).pixels.table()
    first = np.stack([table[c][PIXELS[..., c]] for c in range(3)], axis=1)
    found = float_logits(graph, torch.from_numpy(first).float()).numpy()
    model = onnx.load(tmp_path / "m.onnx")
    wanted = [run_onnx(model, (image[None] / 255).astype(np.float32))[0] for image in PIXELS.transpose(0, 3, 1, 2)]
    np.testing.assert_allclose(found, np.array(wanted), rtol=1e-4, atol=1e-4)


def test_a_model_that_inverts_its_image(tmp_path: Path) -> None:
    """1 − x: the composed std is negative, and the table falls."""
    path = tmp_path / "images.npz"
    np.savez(path, x=PIXELS)

    class Inverted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(1 - x)  # type: ignore[no-any-return]

    graph = simplify(import_module(Inverted(), (3, 6, 6)))
    table = load_calibration_file(path, input_map=graph.input_map).pixels.table()
    np.testing.assert_allclose(table, np.tile(1 - np.arange(256) / 255, (3, 1)), atol=1e-12)
    assert (np.diff(quantised(graph, tmp_path).input_table) <= 0).all()


def test_one_stays_a_layer_where_the_image_is_read_elsewhere() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Conv2d(6, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(torch.cat([x, (x - 0.5) / 0.25], 1))  # type: ignore[no-any-return]

    module = Both()
    graph = simplify(import_module(module, (3, 6, 6)))
    assert graph.input_map is None
    assert [node.op.kind for node in graph.nodes] == ["conv", "concat", "conv"]
    x = torch.from_numpy(random_array(2, 3, 6, 6))
    with torch.no_grad():
        torch.testing.assert_close(float_logits(graph, x), module(x), rtol=1e-4, atol=1e-4)


def test_a_mean_of_zero_has_no_sign() -> None:
    shown = str(InputStatistics.of(np.array([-0.0, -0.0]), np.array([1, 2])))
    assert "mean 0," in shown
    assert listed([-0.0, -1.5]) == "0, -1.5"
