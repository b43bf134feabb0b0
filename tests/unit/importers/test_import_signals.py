"""Networks of one dimension: signals (C, length) become maps of height 1."""

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
    Array,
    assert_close,
    assert_same_graph,
    onnx_model,
    random_array,
    run_graph,
    run_module,
    run_onnx,
    saved,
)
from toolflow.importers.images.calibration_file import CalibrationFileError, load_calibration_file
from toolflow.importers.onnx.importer import import_onnx
from toolflow.importers.pytorch.importer import import_module
from toolflow.ir.errors import ToolflowError, UnsupportedModelError
from toolflow.passes.check import require_engine
from toolflow.passes.pipeline import simplify

node = helper.make_node
CONSTANTS: dict[str, Array] = {
    "w": random_array(6, 4, 5), "b": random_array(6, seed=1), "depthwise": random_array(4, 1, 3, seed=2),
    "image": random_array(6, 4, 1, 5, seed=6),
    "fc": random_array(6, 3, seed=3), "s": random_array(4, seed=4), "v": np.abs(random_array(4, seed=5)),
    "one": np.array([1]), "two": np.array([2]), "pads": np.array([0, 0, 1, 0, 0, 2]),
    "swap": np.array([3, 1, 0, 2]), "slopes": random_array(4, 1, seed=7),
}  # fmt: skip
MODELS: dict[str, list[NodeProto]] = {
    "conv": [node("Conv", ["x", "w", "b"], ["y"], strides=[2], pads=[1, 3], dilations=[2])],
    "same": [node("Conv", ["x", "w"], ["y"], auto_pad="SAME_LOWER", strides=[2])],
    "depthwise": [node("Conv", ["x", "depthwise"], ["y"], group=4)],
    "norm": [node("BatchNormalization", ["x", "s", "s", "s", "v"], ["n"]), node("Relu", ["n"], ["y"])],
    "max pool": [node("MaxPool", ["x"], ["y"], kernel_shape=[3], strides=[2], pads=[1, 0], ceil_mode=1)],
    "average pool": [node("AveragePool", ["x"], ["y"], kernel_shape=[3], pads=[1, 1])],
    "global pool": [
        node("Conv", ["x", "w"], ["c"]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("MatMul", ["f", "fc"], ["y"]),
    ],
    "global maximum": [node("GlobalMaxPool", ["x"], ["p"]), node("Flatten", ["p"], ["y"])],
    "mean": [node("ReduceMean", ["x"], ["m"], axes=[2], keepdims=0), node("Relu", ["m"], ["y"])],
    "pad": [node("Pad", ["x", "pads"], ["p"]), node("Conv", ["p", "w"], ["y"])],
    "branches": [
        node("Relu", ["x"], ["r"]),
        node("Add", ["r", "x"], ["a"]),
        node("Concat", ["a", "r"], ["y"], axis=1),
    ],
    "channels": [node("Gather", ["x", "swap"], ["g"], axis=1), node("Conv", ["g", "w"], ["y"])],
    "slopes": [node("PRelu", ["x", "slopes"], ["y"])],
    "flatten": [node("Flatten", ["x"], ["y"])],
    "as an image": [
        node("Unsqueeze", ["x", "two"], ["u"]),
        node("Conv", ["u", "image"], ["c"], pads=[0, 1, 0, 1]),
        node("Squeeze", ["c", "two"], ["q"]),
        node("MaxPool", ["q"], ["y"], kernel_shape=[2], strides=[2]),
    ],
}


@pytest.mark.parametrize("name", MODELS)
def test_onnx(tmp_path: Path, name: str) -> None:
    model = onnx_model(MODELS[name], CONSTANTS, ("N", 4, 11))
    graph = import_onnx(saved(model, tmp_path))
    assert graph.input_shape == (4, 1, 11)
    x = random_array(3, 4, 11)
    wanted = run_onnx(model, x)
    for each in (graph, simplify(graph)):
        found = run_graph(each, x[:, :, None])
        assert_close(found.reshape(wanted.shape), wanted)
    if name != "flatten":
        require_engine(graph)


@pytest.mark.parametrize("added", [False, True])
def test_channels_last(tmp_path: Path, added: bool) -> None:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("Conv", ["t", "w", "b"], ["c"]),
        node("Transpose", ["c"], ["u"], perm=[0, 2, 1]),
        node("Flatten", ["u"], ["y"]),
    ]
    if added:
        nodes = [
            node("Unsqueeze", ["x", "one"], ["h"]),
            node("Transpose", ["h"], ["t"], perm=[0, 3, 1, 2]),
            node("Conv", ["t", "image", "b"], ["c"]),
            node("Transpose", ["c"], ["u"], perm=[0, 2, 3, 1]),
            node("Flatten", ["u"], ["f"]),
            node("MatMul", ["f", "long"], ["y"]),
        ]
    else:
        nodes = [*nodes[:3], node("Flatten", ["u"], ["f"]), node("MatMul", ["f", "long"], ["y"])]
    model = onnx_model(nodes, {**CONSTANTS, "long": random_array(42, 3, seed=8)}, ("N", 11, 4))
    graph = import_onnx(saved(model, tmp_path))
    assert graph.input_shape == (4, 1, 11)
    assert [n.op.kind for n in graph.nodes] == ["conv", "flatten", "linear"]
    x = random_array(3, 11, 4)
    assert_close(run_graph(graph, x.transpose(0, 2, 1)[:, :, None]), run_onnx(model, x))


class Apply(nn.Module):
    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.layers)


LAYERS: dict[str, tuple[Callable[..., Tensor], tuple[Callable[[], nn.Module], ...]]] = {
    "conv": (lambda x, c: c(x), (lambda: nn.Conv1d(4, 6, 5, 2, padding=3, dilation=2),)),
    "same": (lambda x, c: c(x), (lambda: nn.Conv1d(4, 6, 4, padding="same"),)),
    "norm": (lambda x, c, n: n(c(x)).relu(), (lambda: nn.Conv1d(4, 6, 3), lambda: nn.BatchNorm1d(6))),
    "max pool": (lambda x: fn.max_pool1d(x, 3, 2, 1, ceil_mode=True), ()),
    "average pool": (lambda x: fn.avg_pool1d(x, 3, 2, 1), ()),
    "adaptive average": (lambda x: fn.adaptive_avg_pool1d(x, 1), ()),
    "adaptive average in parts": (lambda x: fn.adaptive_avg_pool1d(x, 4), ()),
    "adaptive maximum": (lambda x: fn.adaptive_max_pool1d(x, 1).flatten(1), ()),
    "mean": (lambda x, f: f(x.mean(2)), (lambda: nn.Linear(4, 3),)),
    "mean of the last": (lambda x, f: f(x.mean(-1)), (lambda: nn.Linear(4, 3),)),
    "leaky": (lambda x: fn.leaky_relu(x, 0.1), ()),
    "slopes": (lambda x, p: p(x), (lambda: nn.PReLU(4, 0.3),)),
    "shuffle": (lambda x, c: c(x.view(-1, 2, 2, 12).transpose(1, 2).flatten(1, 2)), (lambda: nn.Conv1d(4, 2, 3),)),
    "residual": (lambda x, c: torch.cat([c(x) + x, x], 1), (lambda: nn.Conv1d(4, 4, 3, padding=1),)),
    "flatten": (lambda x, c, f: f(c(x).flatten(1)), (lambda: nn.Conv1d(4, 2, 3), lambda: nn.Linear(20, 3))),
    "pad": (lambda x, c: c(fn.pad(x, (1, 2))), (lambda: nn.Conv1d(4, 2, 3),)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_torch(name: str) -> None:
    torch.manual_seed(0)
    function, layers = LAYERS[name]
    module = Apply(function, *(layer() for layer in layers))
    graph = import_module(module, (4, 12))
    assert graph.input_shape == (4, 1, 12)
    x = random_array(3, 4, 12)
    wanted = run_module(module, x)
    for each in (graph, simplify(graph)):
        assert_close(run_graph(each, x[:, :, None]).reshape(wanted.shape), wanted)
    require_engine(graph)


def test_both_importers_make_one_graph(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool, self.fc = nn.Conv1d(4, 6, 5, padding=2), nn.MaxPool1d(2), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self.fc(self.pool(self.conv(x).relu()).mean(2))
            return scores

    torch.manual_seed(0)
    net = Net().eval()
    torch.onnx.export(net, (torch.zeros(1, 4, 12),), tmp_path / "net.onnx", dynamo=False)
    assert_same_graph(import_module(net, (4, 12)), import_onnx(tmp_path / "net.onnx"))


def test_an_open_length_comes_from_the_caller(tmp_path: Path) -> None:
    path = saved(onnx_model(MODELS["conv"], CONSTANTS, ("N", 4, "L")), tmp_path)
    assert import_onnx(path, (4, 20)).input_shape == (4, 1, 20)
    with pytest.raises(ToolflowError, match=r"channels and length of input 'x' must be known.* --input-shape C,LENGTH"):
        import_onnx(path)
    with pytest.raises(ToolflowError, match=r"has the shape \(N, 4, L\), not \(4, 1, 20\)"):
        import_onnx(path, (4, 1, 20))


def test_a_kernel_of_two_axes_does_not_fit_a_signal(tmp_path: Path) -> None:
    path = saved(onnx_model([node("Conv", ["x", "image"], ["y"], name="wide")], CONSTANTS, ("N", 4, 11)), tmp_path)
    with pytest.raises((UnsupportedModelError, ToolflowError), match=r"wide|valid"):
        import_onnx(path)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_signals_in_a_calibration_file(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 11, 4)).astype(np.uint8)
    x = pixels if kind == "uint8" else (pixels.transpose(0, 2, 1) / 255).astype(np.float32)
    np.savez(tmp_path / "signals.npz", x=x)
    images = load_calibration_file(tmp_path / "signals.npz", input_shape=(4, 1, 11))
    np.testing.assert_array_equal(images.images, pixels[:, None])
    with pytest.raises(CalibrationFileError, match="must have the shape"):
        load_calibration_file(tmp_path / "signals.npz", input_shape=(4, 1, 12))
