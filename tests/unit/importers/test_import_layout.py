"""Transposes, channel shuffles, splits and means in steps: moving elements costs nothing, or one 1×1 layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import NodeProto, helper
from torch import nn

from tests.unit.importers.import_tools import (
    Array,
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
from toolflow.importers.views import mean_windows, spread
from toolflow.ir.errors import UnsupportedModelError
from toolflow.ir.graph import Graph
from toolflow.operators import AvgPool

node = helper.make_node
CONSTANTS: dict[str, Array] = {
    "w": random_array(4, 6, 3, 3), "same": random_array(6, 6, 3, 3, seed=8),
    "grouped": random_array(4, 3, 3, 3, seed=1), "half": random_array(4, 3, 3, 3, seed=2),
    "point": random_array(4, 3, 1, 1, seed=3),
    "fc": random_array(5 * 7 * 6, 5, seed=4), "fcb": random_array(5, seed=5), "scale": random_array(6, seed=6),
    "number": np.array(0.5, np.float32), "apart": np.array([0, 2, 3, 5, 7]), "joined": np.array([0, 6, 5, 7]),
    "flat": np.array([-1, 210]), "swapped": np.array([5, 4, 3, 2, 1, 0]), "some": np.array([-1, 2, 2]),
    "uneven": np.array([1, 5]), "rows": np.array([0, 6, -1]), "one": np.array([1]), "four": np.array([4]),
}  # fmt: skip


def imported(
    folder: Path, nodes: list[NodeProto], shape: tuple[int | str, ...] = ("N", 6, 5, 7), opset: int = 17
) -> Graph:
    """Import, and compare with onnxruntime."""
    model = onnx_model(nodes, CONSTANTS, shape, opset=opset)
    graph = import_onnx(saved(model, folder))
    x = random_array(3, *(int(size) for size in shape[1:]), seed=9)
    wanted = run_onnx(model, x)
    x = x if graph.input_shape == shape[1:] else x.transpose(0, 3, 1, 2)
    assert_close(run_graph(graph, x), wanted)
    return graph


def kinds(graph: Graph) -> list[str]:
    return [n.op.kind for n in graph.nodes]


def test_a_keras_export_needs_no_layer_more(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        node("Conv", ["t", "same"], ["c"], auto_pad="SAME_UPPER"),
        node("Relu", ["c"], ["r"]),
        node("Transpose", ["r"], ["u"], perm=[0, 2, 3, 1]),
        node("Reshape", ["u", "flat"], ["f"]),
        node("MatMul", ["f", "fc"], ["m"]),
        node("Add", ["m", "fcb"], ["y"]),
    ]
    graph = imported(tmp_path, nodes, ("N", 5, 7, 6))
    assert graph.input_shape == (6, 5, 7)
    assert kinds(graph) == ["conv", "relu", "flatten", "linear", "batch_norm"]


@pytest.mark.parametrize("channels", [1, 6])
def test_arithmetic_in_front_of_the_transpose(tmp_path: Path, channels: int) -> None:
    nodes = [
        node("Mul", ["x", "number"], ["a"]),
        node("Sub", ["a", "scale" if channels > 1 else "number"], ["b"]),
        node("Transpose", ["b"], ["y"], perm=[0, 3, 1, 2]),
    ]
    assert kinds(imported(tmp_path, nodes, ("N", 5, 7, channels))) == ["batch_norm", "batch_norm"]


def test_layers_between_transposes(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
        node("Mul", ["t", "scale"], ["m"]),
        node("Relu", ["m"], ["r"]),
        node("Add", ["r", "t"], ["a"]),
        node("ReduceMean", ["a"], ["y"], axes=[1, 2], keepdims=0),
    ]
    assert kinds(imported(tmp_path, nodes)) == ["batch_norm", "relu", "add", "avg_pool", "flatten"]


def test_flattened_maps_are_added_as_maps(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "same"], ["c"], pads=[1, 1, 1, 1]),
        node("Flatten", ["c"], ["f"]),
        node("Reshape", ["x", "flat"], ["g"]),
        node("Add", ["f", "g"], ["a"]),
        node("Gemm", ["a", "fc"], ["y"]),
    ]
    assert kinds(imported(tmp_path, nodes)) == ["conv", "add", "flatten", "linear"]


SHUFFLE = [
    node("Reshape", ["x", "apart"], ["s"]),
    node("Transpose", ["s"], ["p"], perm=[0, 2, 1, 3, 4]),
    node("Reshape", ["p", "joined"], ["u"]),
]


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        (node("Conv", ["u", "w"], ["y"]), ["conv"]),
        (node("Conv", ["u", "grouped"], ["y"], group=2), ["conv", "conv"]),
        (node("Relu", ["u"], ["y"]), ["relu", "conv"]),
        (node("MaxPool", ["u"], ["y"], kernel_shape=[2, 2]), ["conv", "max_pool"]),
        (node("Add", ["u", "x"], ["y"]), ["conv", "add"]),
    ],
)
def test_a_channel_shuffle(tmp_path: Path, last: NodeProto, wanted: list[str]) -> None:
    assert kinds(imported(tmp_path, [*SHUFFLE, last])) == wanted


def test_a_shuffle_that_two_read_is_one_layer(tmp_path: Path) -> None:
    nodes = [
        *SHUFFLE,
        node("Conv", ["u", "grouped"], ["a"], group=2, pads=[1, 1, 1, 1]),
        node("Conv", ["u", "grouped"], ["b"], group=2, pads=[1, 1, 1, 1]),
        node("Add", ["a", "b"], ["y"]),
    ]
    assert kinds(imported(tmp_path, nodes)) == ["conv", "conv", "conv", "add"]


@pytest.mark.parametrize(
    ("first", "opset"),
    [
        (node("Split", ["x"], ["a", "b"], axis=1), 13),
        (node("Split", ["x"], ["a", "b"], axis=-3, split=[3, 3]), 11),
        (node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2), 18),
    ],
)
def test_a_split_of_channels(tmp_path: Path, first: NodeProto, opset: int) -> None:
    nodes = [
        first,
        node("Conv", ["a", "point"], ["c"]),
        node("Conv", ["b", "half"], ["d"], pads=[1, 1, 1, 1]),
        node("Concat", ["c", "d", "b"], ["y"], axis=1),
    ]
    graph = imported(tmp_path, nodes, opset=opset)
    # the 1×1 layer reads all channels, the 3×3 layer would multiply too much for that
    assert kinds(graph) == ["conv", "conv", "conv", "concat"]
    assert graph.nodes[0].weights["weight"].shape == (4, 6, 1, 1)
    assert graph.nodes[1].weights["weight"].shape == (3, 6, 1, 1)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Gather", ["x", "swapped"], ["u"], axis=1), node("Conv", ["u", "w"], ["y"])],
        [node("Gather", ["x", "some"], ["u"], axis=1), node("Conv", ["u", "point"], ["y"])],
        [node("Gather", ["x", "some"], ["y"], axis=1)],
        [node("Slice", ["x", "one", "four", "one"], ["u"]), node("Conv", ["u", "point"], ["y"])],
        [node("Split", ["x", "uneven"], ["u", "y"], axis=1)],
        [node("Split", ["x"], ["v", "y", "z"], axis=1, num_outputs=3)],
    ],
)
def test_some_channels(tmp_path: Path, nodes: list[NodeProto]) -> None:
    assert kinds(imported(tmp_path, nodes, opset=18)) == ["conv"]


HEAD = [
    node("GlobalAveragePool", ["x"], ["g"]),
    node("Flatten", ["g"], ["f"]),
    node("Gemm", ["f", "scores"], ["s"], transB=1),
]
ENDS = {
    "scalar": ([*HEAD, node("Gather", ["s", "third"], ["y"], axis=1)], ["linear"]),
    "list": ([*HEAD, node("Gather", ["s", "one"], ["y"], axis=-1)], ["linear"]),
    "some": ([*HEAD, node("Gather", ["s", "some"], ["y"], axis=1)], ["linear"]),
    "slice": ([*HEAD, node("Slice", ["s", "one", "two", "one"], ["y"])], ["linear"]),
    "of a map": ([HEAD[0], node("Gather", ["g", "one"], ["y"], axis=1)], ["conv", "flatten"]),
}


@pytest.mark.parametrize("end", ENDS)
def test_one_score_of_many_is_the_output(tmp_path: Path, end: str) -> None:
    constants = {**CONSTANTS, "scores": random_array(5, 6), "third": np.array(-3), "two": np.array([2])}
    nodes, layers = ENDS[end]
    model = onnx_model(nodes, constants, ("N", 6, 5, 7))
    graph = import_onnx(saved(model, tmp_path))
    x = random_array(3, 6, 5, 7)
    wanted = run_onnx(model, x)
    assert_close(run_graph(graph, x), wanted if end == "some" else wanted.reshape(3, 1))
    before = ["avg_pool"] if end == "of a map" else ["avg_pool", "flatten", "linear"]
    assert kinds(graph) == [*before, *layers]


def test_one_score_of_a_module(tmp_path: Path) -> None:
    class Second(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(30, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.fc(x.flatten(1))
            return scores[:, 1]

    module, x = Second(), random_array(3, 1, 5, 6)
    assert_close(run_graph(import_module(module, (1, 5, 6)), x), run_module(module, x).reshape(3, 1))


@pytest.mark.parametrize("moved", [False, True])
def test_a_constant_that_is_no_number_is_refused_in_any_order(tmp_path: Path, moved: bool) -> None:
    scale = np.array([1, np.nan, 2, 3, 4, 5], np.float32)
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
        node("Mul", ["t", "scale"], ["m"]),
        node("Transpose", ["m"], ["y"], perm=[0, 3, 1, 2]),
    ]
    if not moved:
        nodes, scale = [node("Mul", ["x", "scale"], ["y"])], scale.reshape(6, 1, 1)
    model = onnx_model(nodes, {"scale": scale}, ("N", 6, 5, 7))
    with pytest.raises(UnsupportedModelError, match="scale = NaN or infinity is not handled"):
        import_onnx(saved(model, tmp_path))


MEANS = {
    "rows, columns": [node("ReduceMean", ["x"], ["a"], axes=[3]), node("ReduceMean", ["a"], ["y"], axes=[2])],
    "columns, rows": [
        node("ReduceMean", ["x"], ["a"], axes=[2], keepdims=0),
        node("ReduceMean", ["a"], ["y"], axes=[-1], keepdims=0),
    ],
    "flattened": [node("Reshape", ["x", "rows"], ["a"]), node("ReduceMean", ["a"], ["y"], axes=[2], keepdims=0)],
    "transposed": [
        node("Transpose", ["x"], ["a"], perm=[0, 3, 2, 1]),
        node("ReduceMean", ["a"], ["y"], axes=[2, 1], keepdims=0),
    ],
}


@pytest.mark.parametrize("form", MEANS)
def test_every_form_of_a_global_mean_is_one_pool(tmp_path: Path, form: str) -> None:
    graph = imported(tmp_path, MEANS[form])
    assert graph.nodes[0].op == AvgPool((5, 7), (5, 7))
    assert kinds(graph)[1:] in ([], ["flatten"])


@pytest.mark.parametrize(("axis", "window"), [(3, (1, 7)), (2, (5, 1))])
def test_a_mean_of_rows_or_columns(tmp_path: Path, axis: int, window: tuple[int, int]) -> None:
    graph = imported(tmp_path, [node("ReduceMean", ["x"], ["y"], axes=[axis])])
    assert [n.op for n in graph.nodes] == [AvgPool(window, window)]


def test_windows_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    for shape in ((3, 4, 5), (2, 1, 4), (3, 1, 1), (1, 2, 2)):
        channels, height, width = shape
        elements = np.arange(channels * height * width).reshape(shape)
        order = rng.permutation(channels)
        assert mean_windows(elements[order].reshape(channels, -1), shape)[1].tolist() == order.tolist()  # type: ignore[index]
    assert mean_windows(np.arange(12).reshape(6, 2), (1, 3, 4)) is None
    assert mean_windows(np.arange(12).reshape(3, 4)[:, ::-1], (1, 3, 4)) is not None
    assert mean_windows(np.arange(12).reshape(4, 3), (3, 2, 2)) is None
    assert mean_windows(np.array([[0, 2, 4, 6], [1, 3, 5, 7]]), (2, 2, 2)) is None  # rows and channels


def test_weights_of_repeated_elements_add_up() -> None:
    weight, order = np.random.default_rng(1).normal(size=(3, 5)), np.array([2, 0, 2, 2, 3])
    x = np.random.default_rng(2).normal(size=4)
    np.testing.assert_allclose(spread(weight, order, 4) @ x, weight @ x[order])


class Apply(nn.Module):
    """Calls a function between layers."""

    input_shape = (6, 5, 7)

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor], channels: int) -> None:
        super().__init__()
        self.function, self.conv = function, nn.Conv2d(channels, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.conv(self.function(x)))


def shuffle(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


@pytest.mark.parametrize(
    ("function", "channels"),
    [
        (shuffle, 6),
        (nn.ChannelShuffle(3), 6),
        (lambda x: x.permute(0, 2, 3, 1)[..., [5, 4, 3, 2, 1, 0]].permute(0, 3, 1, 2), 6),
        (lambda x: x[:, [2, 0]], 2),
        (lambda x: x[:, ::2], 3),
        (lambda x: x.split(4, 1)[1], 2),
        (lambda x: x.split([1, 5], 1)[1], 5),
        (lambda x: torch.cat(x.chunk(2, 1)[::-1], 1), 6),
        (lambda x: torch.index_select(x, 1, torch.tensor([1, 1, 4])), 3),
    ],
)
def test_modules_that_move_channels(function: Callable[[torch.Tensor], torch.Tensor], channels: int) -> None:
    torch.manual_seed(0)
    module, x = Apply(function, channels), random_array(2, 6, 5, 7)
    assert_close(run_graph(import_module(module), x), run_module(module, x))


@pytest.mark.parametrize(
    "function",
    [lambda x: x.mean(3).mean(2), lambda x: x.flatten(2).mean(2), lambda x: x.view(*x.shape[:2], -1).mean(-1)],
)
def test_modules_that_average_in_other_forms(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    module = nn.Sequential(nn.Conv2d(6, 3, 3))
    whole = Apply(lambda x: x, 6)
    whole.conv, whole.forward = module[0], lambda x: function(module(x))  # type: ignore[assignment, method-assign]
    graph, x = import_module(whole), random_array(2, 6, 5, 7)
    assert kinds(graph) == ["conv", "avg_pool", "flatten"]
    assert_close(run_graph(graph, x), run_module(whole, x))
