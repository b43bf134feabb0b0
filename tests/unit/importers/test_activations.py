"""Activations that are made of rectifiers: the imported graph computes what onnxruntime and torch compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import NodeProto, helper
from torch import Tensor, nn
from torch.nn import functional as fn

from tests.unit.importers.import_tools import (
    assert_close,
    onnx_model,
    random_array,
    run_graph,
    run_module,
    run_onnx,
    saved,
)
from toolflow.importers.onnx.importer import import_onnx
from toolflow.importers.pytorch.importer import import_module
from toolflow.ir.errors import UnsupportedModelError
from toolflow.passes.check import require_engine
from toolflow.passes.pipeline import simplify

node = helper.make_node
CONSTANTS = {
    "low": np.array(-0.5, np.float32),
    "high": np.array(0.75, np.float32),
    "slopes": np.array([0.25, -0.5, 1.5, 1, 0], np.float32).reshape(5, 1, 1),
    "slope": np.full((1,), 0.3, np.float32),
    "none": np.array(-np.inf, np.float32),
}
MODELS: dict[str, tuple[list[NodeProto], int]] = {
    "leaky": ([node("LeakyRelu", ["x"], ["y"], alpha=0.1)], 17),
    "leaky by default": ([node("LeakyRelu", ["x"], ["y"])], 17),
    "leaky with a falling line": ([node("LeakyRelu", ["x"], ["y"], alpha=-0.1)], 17),
    "leaky that bends down": ([node("LeakyRelu", ["x"], ["y"], alpha=3.0)], 17),
    "a slope for each channel": ([node("PRelu", ["x", "slopes"], ["y"])], 17),
    "one slope": ([node("PRelu", ["x", "slope"], ["y"])], 17),
    "absolute": ([node("Abs", ["x"], ["y"])], 17),
    "negated": ([node("Neg", ["x"], ["y"])], 17),
    "clip": ([node("Clip", ["x", "low", "high"], ["y"])], 17),
    "clip below": ([node("Clip", ["x", "low"], ["y"])], 17),
    "clip above": ([node("Clip", ["x", "", "high"], ["y"])], 17),
    "clip by infinity": ([node("Clip", ["x", "none", "high"], ["y"])], 17),
    "clip by attributes": ([node("Clip", ["x"], ["y"], min=-1.0, max=2.0)], 10),
    "hard sigmoid": ([node("HardSigmoid", ["x"], ["y"], alpha=0.4, beta=0.25)], 17),
    "difference": ([node("Relu", ["x"], ["r"]), node("Sub", ["r", "x"], ["y"])], 17),
    "sum of three": ([node("Relu", ["x"], ["r"]), node("Sum", ["r", "x", "r"], ["y"])], 17),
    "mean of three": ([node("Relu", ["x"], ["r"]), node("Mean", ["r", "x", "r"], ["y"])], 17),
    "in another order": (
        [node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]), node("LeakyRelu", ["t"], ["l"]),
         node("Transpose", ["l"], ["y"], perm=[0, 3, 1, 2])], 17,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_onnx(tmp_path: Path, name: str) -> None:
    nodes, opset = MODELS[name]
    model = onnx_model(nodes, CONSTANTS, ("N", 5, 4, 3), opset=opset)
    graph = import_onnx(saved(model, tmp_path))
    x = 2 * random_array(3, 5, 4, 3)
    assert_close(run_graph(graph, x), run_onnx(model, x))
    simple = simplify(graph)
    assert_close(run_graph(simple, x), run_onnx(model, x))
    require_engine(graph)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky": lambda x: fn.leaky_relu(x, 0.2),
    "absolute": lambda x: x.abs(),
    "negated": lambda x: -x,
    "hard tanh": fn.hardtanh,
    "clamp": lambda x: x.clamp(-0.5, 0.25),
    "clamp below": lambda x: x.clamp_min(0.5),
    "clamp above": lambda x: x.clamp_max(0.5),
    "hard sigmoid": fn.hardsigmoid,
    "maximum": lambda x: torch.maximum(x, -x),
    "minimum": lambda x: torch.minimum(x.relu(), x),
    "maximum of the map": lambda x: x.amax((2, 3)),
    "sum of the map": lambda x: x.sum((-1, -2), keepdim=True).relu(),
    "difference": lambda x: torch.sub(x.relu(), x, alpha=3),
}


class Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize("name", [*FUNCTIONS, "a slope for each channel", "one slope"])
def test_torch(name: str) -> None:
    slopes = nn.PReLU(5 if name.startswith("a") else 1)
    nn.init.uniform_(slopes.weight, -1, 2)
    module = Apply(FUNCTIONS[name]) if name in FUNCTIONS else slopes
    graph = import_module(module, (5, 4, 3))
    x = 2 * random_array(3, 5, 4, 3)
    assert_close(run_graph(simplify(graph), x), run_module(module, x))
    require_engine(graph)


def test_a_slope_below_one_costs_two_layers(tmp_path: Path) -> None:
    graph = simplify(import_onnx(saved(onnx_model(MODELS["leaky"][0], CONSTANTS, ("N", 5, 4, 3)), tmp_path)))
    assert [n.op.kind for n in graph.nodes] == ["conv", "conv", "add"]


def test_bounds_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    model = onnx_model([node("Clip", ["x", "high", "low"], ["y"], name="swapped")], CONSTANTS, ("N", 5, 4, 3))
    with pytest.raises(UnsupportedModelError, match=r"'swapped': bounds = \[0.75, -0.5\] .* below the upper one"):
        import_onnx(saved(model, tmp_path))


EXTREMES: dict[str, list[NodeProto]] = {
    "of two maps": [node("Neg", ["x"], ["n"]), node("Max", ["x", "n"], ["y"])],
    "of three": [node("Neg", ["x"], ["n"]), node("Relu", ["x"], ["r"]), node("Min", ["x", "n", "r"], ["y"])],
    "with numbers": [node("Max", ["low", "x", "none"], ["y"])],
    "below a number": [node("Min", ["x", "high"], ["y"])],
}


@pytest.mark.parametrize("name", EXTREMES)
def test_the_larger_and_the_smaller(tmp_path: Path, name: str) -> None:
    model = onnx_model(EXTREMES[name], CONSTANTS, ("N", 5, 4, 3))
    graph = import_onnx(saved(model, tmp_path))
    x = 2 * random_array(3, 5, 4, 3)
    assert_close(run_graph(simplify(graph), x), run_onnx(model, x))
    require_engine(graph)
