"""A network gives the same graph from PyTorch and from ONNX files of several exporters and versions."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.unit.importers.import_tools import assert_close, assert_same_graph, random_array, run_graph, run_module
from toolflow.importers.onnx.importer import import_onnx
from toolflow.importers.pytorch.importer import import_module
from toolflow.passes.pipeline import simplify

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def example(name: str) -> ModuleType:
    """Import one of the example files as a user's command would."""
    key = f"example_{name}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[key] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[key])
    return sys.modules[key]


class Everything(nn.Module):
    """Uses every operator that both importers know, with attributes off their defaults."""

    input_shape = (3, 17, 15)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (3, 2), (2, 1), (1, 0), bias=False)
        self.norm = nn.BatchNorm2d(8, eps=1e-3)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.branch = nn.Conv2d(8, 4, 1)
        self.down = nn.Conv2d(12, 24, 3, 2, 1)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.hidden = nn.Linear(24, 16)
        self.last = nn.Linear(16, 5, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu6(self.norm(self.stem(x)))
        x = functional.relu(x + self.depthwise(x))
        x = torch.cat([x, functional.avg_pool2d(self.branch(x), 3, 1, 1, count_include_pad=True)], 1)
        y = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 5, 7))
        x = self.pool(functional.relu(self.down(functional.dropout(x, training=self.training)) + y))
        x = functional.relu(self.hidden(x.mean((2, 3))))
        logits: torch.Tensor = self.last(x)
        return logits


def networks() -> dict[str, Callable[[], nn.Module]]:
    return {
        "digits": example("digits").digits,
        "resnet20": example("resnet20").resnet20,
        "squeezenet": example("squeezenet").squeezenet,
        "everything": Everything,
    }


def export(module: nn.Module, path: Path, opset: int, dynamo: bool, fold: bool) -> None:
    """Export as a user would; with `fold` the exporter folds batch norm itself."""
    shape = module.input_shape
    assert isinstance(shape, tuple)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, *shape),),
            path,
            input_names=["x"],
            opset_version=opset,
            dynamo=dynamo,
            external_data=dynamo,
            do_constant_folding=fold,
            training=torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE,
            dynamic_axes=None if dynamo else {"x": {0: "N"}},
            verbose=False,
        )


@pytest.mark.parametrize("name", ["digits", "resnet20", "squeezenet", "everything"])
@pytest.mark.parametrize(("opset", "fold"), [(11, True), (13, False), (17, True)])
def test_one_graph_through_both_importers(tmp_path: Path, name: str, opset: int, fold: bool) -> None:
    torch.manual_seed(0)
    module = networks()[name]()
    path = tmp_path / f"{name}.onnx"
    export(module, path, opset, dynamo=False, fold=fold)
    through_onnx, through_torch = import_onnx(path), import_module(module)
    assert_same_graph(simplify(through_onnx), simplify(through_torch))


def test_one_graph_through_the_newer_exporter_with_external_data(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Everything()
    path = tmp_path / "everything.onnx"
    export(module, path, 20, dynamo=True, fold=True)
    graph = simplify(import_onnx(path))
    assert_same_graph(graph, simplify(import_module(module)))
    x = random_array(2, *module.input_shape)
    assert_close(run_graph(graph, x), run_module(module, x))
