"""ONNX operators with all their attributes, against onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import NodeProto, helper

from tests.unit.importers.import_tools import (
    Array,
    Dims,
    assert_close,
    onnx_model,
    random_array,
    run_graph,
    run_onnx,
    saved,
)
from toolflow.importers.load import load_model
from toolflow.importers.onnx.importer import import_onnx
from toolflow.ir.errors import UnsupportedModelError
from toolflow.ir.graph import Graph
from toolflow.operators import AvgPool, Conv, MaxPool
from toolflow.passes.pipeline import simplify

FOLDER_OK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
GROUPS = st.sampled_from([1, 2, 4])
PADS = st.lists(st.integers(0, 2), min_size=4, max_size=4)


def compare(model: onnx.ModelProto, folder: Path, x: Array) -> Graph:
    """Import, run raw and simplified, and compare both with onnxruntime."""
    wanted = run_onnx(model, x)
    graph = import_onnx(saved(model, folder))
    assert_close(run_graph(graph, x), wanted)
    assert_close(run_graph(simplify(graph), x), wanted)
    return graph


def imported(
    folder: Path,
    nodes: list[NodeProto],
    constants: Mapping[str, Array] | None = None,
    shape: Dims = ("N", 4, 9, 8),
    opset: int = 17,
) -> Graph:
    x = random_array(2, *(int(size) for size in shape[1:] if isinstance(size, int)), seed=5)
    return compare(onnx_model(nodes, constants, shape, opset=opset), folder, x)


def imported_or_untouched(folder: Path, node: NodeProto, shape: Dims, opset: int = 17) -> None:
    """A window that is only padding has no integer meaning and must be refused; all others must be equal."""
    try:
        imported(folder, [node], {}, shape, opset)
    except UnsupportedModelError as error:
        if "every window must touch the input" not in str(error):
            raise


@FOLDER_OK
@given(
    data=st.data(), size=SIZES, kernel=PAIR, stride=PAIR, dilation=PAIR, pads=PADS, groups=st.sampled_from([1, 2, 4])
)
def test_conv_with_any_attributes_equals_onnxruntime(
    tmp_path: Path, data: st.DataObject, size: Any, kernel: Any, stride: Any, dilation: Any, pads: Any, groups: int
) -> None:
    auto = data.draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto == "NOTSET":
        for axis in (0, 1):
            assume(size[axis] + pads[axis] + pads[axis + 2] >= dilation[axis] * (kernel[axis] - 1) + 1)
    else:
        pads = None
        assume(dilation == (1, 1))  # onnxruntime refuses dilation with SAME
        assume(auto != "VALID" or all(size[axis] >= kernel[axis] for axis in (0, 1)))
    attributes = {"strides": stride, "dilations": dilation, "group": groups, "auto_pad": auto}
    if pads is not None:
        attributes["pads"] = pads
    weights = {"w": random_array(8, 4 // groups, *kernel, seed=1), "b": random_array(8, seed=2)}
    node = helper.make_node("Conv", ["x", "w", "b"][: data.draw(st.sampled_from([2, 3]))], ["y"], **attributes)
    imported(tmp_path, [node], weights, ("N", 4, *size))


@FOLDER_OK
@given(size=SIZES, kernel=PAIR, stride=PAIR, dilation=PAIR, pads=PADS, ceil=st.sampled_from([0, 1]))
def test_max_pool_with_any_attributes_equals_onnxruntime(
    tmp_path: Path, size: Any, kernel: Any, stride: Any, dilation: Any, pads: Any, ceil: int
) -> None:
    for axis in (0, 1):
        assume(size[axis] + pads[axis] + pads[axis + 2] >= dilation[axis] * (kernel[axis] - 1) + 1)
        assume(max(pads[axis], pads[axis + 2]) < kernel[axis])  # onnxruntime's own rule
    attributes = {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": pads, "ceil_mode": ceil}
    node = helper.make_node("MaxPool", ["x"], ["y"], **attributes)
    imported_or_untouched(tmp_path, node, ("N", 4, *size))


@FOLDER_OK
@given(size=SIZES, kernel=PAIR, stride=PAIR, pads=PADS, ceil=st.sampled_from([0, 1]), count=st.sampled_from([0, 1]))
def test_average_pool_with_any_attributes_equals_onnxruntime(
    tmp_path: Path, size: Any, kernel: Any, stride: Any, pads: Any, ceil: int, count: int
) -> None:
    for axis in (0, 1):
        assume(size[axis] + pads[axis] + pads[axis + 2] >= kernel[axis])
        assume(max(pads[axis], pads[axis + 2]) < kernel[axis])
    attributes = {
        "kernel_shape": kernel, "strides": stride, "pads": pads, "ceil_mode": ceil, "count_include_pad": count,
    }  # fmt: skip
    node = helper.make_node("AveragePool", ["x"], ["y"], **attributes)
    imported_or_untouched(tmp_path, node, ("N", 4, *size), 19)


@pytest.mark.parametrize("mode", ["VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_auto_pad_of_pools(tmp_path: Path, operator: str, mode: str) -> None:
    node = helper.make_node(operator, ["x"], ["y"], kernel_shape=[2, 3], strides=[2, 2], auto_pad=mode)
    imported(tmp_path, [node])


@pytest.mark.parametrize(
    ("operator", "attributes", "forgotten"),
    [
        ("Conv", {"strides": [2, 1]}, {"stride": (1, 1)}),
        ("Conv", {"dilations": [1, 2]}, {"dilation": (1, 1)}),
        ("Conv", {"pads": [0, 1, 2, 0]}, {"pads": (0, 0, 0, 0)}),
        ("Conv", {"pads": [0, 1, 2, 0]}, {"pads": (1, 0, 0, 2)}),
        ("Conv", {"pads": [0, 1, 2, 0]}, {"pads": (0, 2, 1, 0)}),
        ("MaxPool", {"strides": [2, 1]}, {"stride": (1, 1)}),
        ("MaxPool", {"dilations": [1, 2]}, {"dilation": (1, 1)}),
        ("MaxPool", {"pads": [0, 1, 1, 0]}, {"pads": (1, 0, 0, 1)}),
        ("MaxPool", {"strides": [4, 4], "ceil_mode": 1}, {"ceil_mode": False}),
        ("AveragePool", {"strides": [2, 1]}, {"stride": (1, 1)}),
        ("AveragePool", {"pads": [0, 1, 1, 0]}, {"pads": (1, 0, 0, 1)}),
        ("AveragePool", {"strides": [4, 4], "ceil_mode": 1}, {"ceil_mode": False}),
        ("AveragePool", {"pads": [0, 1, 1, 0], "count_include_pad": 1}, {"count_include_pad": False}),
        ("AveragePool", {"pads": [0, 1, 1, 0], "count_include_pad": 0}, {"count_include_pad": True}),
    ],
)
def test_a_forgotten_attribute_would_be_noticed(
    tmp_path: Path, operator: str, attributes: dict[str, Any], forgotten: dict[str, Any]
) -> None:
    weights = {"w": random_array(8, 4, 3, 2, seed=1)}
    if operator == "Conv":
        node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    else:
        weights = {}
        node = helper.make_node(operator, ["x"], ["y"], kernel_shape=[3, 2], **attributes)
    graph = imported(tmp_path, [node], weights, opset=19)
    (only,) = graph.nodes
    assert isinstance(only.op, Conv | MaxPool | AvgPool)
    wrong = replace(graph, nodes=(replace(only, op=replace(only.op, **forgotten)),))
    x = random_array(2, 4, 9, 8, seed=5)
    right, found = run_graph(graph, x), run_graph(wrong, x)
    assert right.shape != found.shape or not np.allclose(right, found)


def test_groups_are_not_forgotten(tmp_path: Path) -> None:
    graph = imported(
        tmp_path, [helper.make_node("Conv", ["x", "w"], ["y"], group=4)], {"w": random_array(8, 1, 3, 3, seed=1)}
    )
    assert graph.nodes[0].op == Conv(groups=4)


GAP = helper.make_node("GlobalAveragePool", ["x"], ["p"])
ENDINGS = {
    "flatten": [GAP, helper.make_node("Flatten", ["p"], ["y"])],
    "flatten -3": [GAP, helper.make_node("Flatten", ["p"], ["y"], axis=-3)],
    "squeeze": [GAP, helper.make_node("Squeeze", ["p", "axes23"], ["y"])],
    "squeeze negative": [GAP, helper.make_node("Squeeze", ["p", "axesneg"], ["y"])],
    "squeeze twice": [
        GAP,
        helper.make_node("Squeeze", ["p", "axis3"], ["q"]),
        helper.make_node("Squeeze", ["q", "axis2"], ["y"]),
    ],
    "reshape": [GAP, helper.make_node("Reshape", ["p", "minus"], ["y"])],
    "reshape copy": [GAP, helper.make_node("Reshape", ["p", "zero"], ["y"])],
    "mean": [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)],
    "mean kept": [
        helper.make_node("ReduceMean", ["x"], ["p"], axes=[-1, -2], keepdims=1),
        helper.make_node("Flatten", ["p"], ["y"]),
    ],
    "shape arithmetic": [
        GAP,
        helper.make_node("Shape", ["p"], ["s"]),
        helper.make_node("Gather", ["s", "index0"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axis0"], ["n1"]),
        helper.make_node("Concat", ["n1", "minus1"], ["target"], axis=0),
        helper.make_node("Reshape", ["p", "target"], ["y"]),
    ],
}
INTEGERS = {
    "axes23": np.array([2, 3]),
    "axesneg": np.array([-1, -2]),
    "axis3": np.array([3]),
    "axis2": np.array([2]),
    "minus": np.array([-1, 4]),
    "zero": np.array([0, -1]),
    "index0": np.array(0),
    "axis0": np.array([0]),
    "minus1": np.array([-1]),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_way_to_end_in_a_global_average_gives_one_graph(tmp_path: Path, ending: str) -> None:
    graph = imported(tmp_path, ENDINGS[ending], INTEGERS)
    assert [node.op.kind for node in graph.nodes] == ["avg_pool", "flatten"]
    assert graph.shapes[graph.output] == (4,)


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [(), (5,), (1, 5), (1,)])
def test_gemm(tmp_path: Path, alpha: float, transposed: int, bias: tuple[int, ...]) -> None:
    weight = random_array(*((5, 36) if transposed else (36, 5)), seed=1)
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"], alpha=alpha, beta=2.0, transB=transposed),
    ]
    imported(tmp_path, nodes, {"w": weight, "b": random_array(*bias, seed=2)}, ("N", 4, 3, 3))


@pytest.mark.parametrize("order", [["m", "b"], ["b", "m"]])
def test_matmul_and_a_constant_sum_are_one_linear_layer(tmp_path: Path, order: list[str]) -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("Add", order, ["y"]),
    ]
    constants = {"w": random_array(36, 5), "b": random_array(5, seed=1)}
    graph = simplify(imported(tmp_path, nodes, constants, ("N", 4, 3, 3)))
    assert [node.op.kind for node in graph.nodes] == ["flatten", "linear"]


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("shape", [(), (1,), (4, 1, 1), (1, 4, 1, 1)])
def test_constants_per_channel(tmp_path: Path, operator: str, first: bool, shape: tuple[int, ...]) -> None:
    if operator == "Div" and not first:
        with pytest.raises(UnsupportedModelError, match="input 0 = constant or absent"):
            imported(tmp_path, [helper.make_node("Div", ["c", "x"], ["y"])], {"c": random_array(*shape)})
        return
    nodes = [helper.make_node(operator, ["x", "c"] if first else ["c", "x"], ["y"])]
    imported(tmp_path, nodes, {"c": random_array(*shape, seed=3)})


@pytest.mark.parametrize("opset", [9, 13, 15])
def test_batch_norm(tmp_path: Path, opset: int) -> None:
    constants = {
        "s": random_array(4), "b": random_array(4, seed=1), "m": random_array(4, seed=2),
        "v": np.abs(random_array(4, seed=3)),
    }  # fmt: skip
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=0.1, momentum=0.5)
    imported(tmp_path, [node], constants, opset=opset)


BOUNDS = {"0": np.array(0, np.float32), "6": np.array(6, np.float32)}


@pytest.mark.parametrize(
    ("node", "opset", "upper"),
    [
        (helper.make_node("Relu", ["x"], ["y"]), 17, None),
        (helper.make_node("Clip", ["x", "0", "6"], ["y"]), 13, 6.0),
        (helper.make_node("Clip", ["x", "0", ""], ["y"]), 13, None),
        (helper.make_node("Clip", ["x"], ["y"], min=0.0, max=6.0), 10, 6.0),
        (helper.make_node("Clip", ["x"], ["y"], min=0.0), 9, None),
    ],
)
def test_rectifiers(tmp_path: Path, node: NodeProto, opset: int, upper: float | None) -> None:
    model = onnx_model([node], BOUNDS, ("N", 4, 9, 8), opset=opset)
    graph = compare(model, tmp_path, 5 * random_array(2, 4, 9, 8))
    assert graph.nodes[0].op.upper == upper  # type: ignore[attr-defined]


def test_the_padded_shortcut(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Slice", ["x", "starts", "ends", "axes", "steps"], ["s"]),
        helper.make_node("Pad", ["s", "pads"], ["p"]),
        helper.make_node("Conv", ["x", "w"], ["c"], strides=[2, 3]),
        helper.make_node("Add", ["c", "p"], ["y"]),
    ]
    constants = {
        "starts": np.array([0, 0]),
        "ends": np.array([2**63 - 1, 8]),
        "axes": np.array([2, -1]),
        "steps": np.array([2, 3]),
        "pads": np.array([0, 1, 0, 0, 0, 3, 0, 0]),
        "w": random_array(8, 4, 1, 1),
    }
    graph = simplify(imported(tmp_path, nodes, constants))
    assert [node.op.kind for node in graph.nodes] == ["shortcut", "conv", "add"]


@pytest.mark.parametrize("opset", [10, 11, 13, 18])
def test_pad_in_its_forms(tmp_path: Path, opset: int) -> None:
    constants = {"w": random_array(8, 4, 3, 3), "zero": np.array(0, np.float32)}
    if opset == 10:
        node = helper.make_node("Pad", ["x"], ["p"], pads=[0, 0, 1, 0, 0, 0, 2, 3])
    elif opset < 18:
        node = helper.make_node("Pad", ["x", "pads", "zero"], ["p"])
        constants["pads"] = np.array([0, 0, 1, 0, 0, 0, 2, 3])
    else:
        node = helper.make_node("Pad", ["x", "pads", "", "axes"], ["p"])
        constants.update(pads=np.array([0, 1, 3, 2]), axes=np.array([-1, 2]))
    graph = simplify(imported(tmp_path, [node, helper.make_node("Conv", ["p", "w"], ["y"])], constants, opset=opset))
    assert [node.op for node in graph.nodes] == [Conv(pads=(1, 0, 2, 3))]


def test_concat_dropout_identity_cast_and_sum(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["i"]),
        helper.make_node("Dropout", ["i"], ["d"]),
        helper.make_node("Cast", ["d"], ["c"], to=1),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Sum", ["r", "x"], ["s"]),
        helper.make_node("Concat", ["s", "x", "r"], ["y"], axis=-3),
    ]
    assert [node.op.kind for node in imported(tmp_path, nodes).nodes] == ["relu", "add", "concat"]


def test_softmax_at_the_end_is_dropped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nodes = [*ENDINGS["flatten"][:1], helper.make_node("Flatten", ["p"], ["f"])]
    nodes.append(helper.make_node("Softmax", ["f"], ["y"], name="last", axis=1))
    graph = import_onnx(saved(onnx_model(nodes), tmp_path))
    assert [node.op.kind for node in graph.nodes] == ["avg_pool", "flatten"]
    assert "Softmax 'last' is left out: it keeps the order of the classes" in caplog.text


def test_a_1x1_input(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), GAP]
    nodes = [nodes[0], helper.make_node("GlobalAveragePool", ["c"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    imported(tmp_path, nodes, {"w": random_array(8, 1, 3, 3)}, ("N", 1, 1, 1))


def test_a_fixed_batch_in_a_reshape(tmp_path: Path) -> None:
    model = onnx_model([helper.make_node("Reshape", ["x", "t"], ["y"])], {"t": np.array([3, 36])}, (3, 4, 3, 3))
    compare(model, tmp_path, random_array(3, 4, 3, 3))


def test_open_sizes_are_filled_by_the_caller(tmp_path: Path) -> None:
    path = saved(onnx_model([GAP, helper.make_node("Flatten", ["p"], ["y"])], shape=("N", 3, "H", "W")), tmp_path)
    assert load_model(str(path), input_shape=(3, 6, 7)).input_shape == (3, 6, 7)
