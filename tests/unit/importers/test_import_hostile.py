"""Broken, foreign, hostile and unsupported files: one clear message each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, external_data_helper, helper

from tests.unit.importers.import_tools import onnx_model, random_array, saved
from toolflow.importers.load import load_model
from toolflow.importers.onnx.importer import import_onnx
from toolflow.ir.errors import ToolflowError, UnsupportedModelError

CONV = helper.make_node("Conv", ["x", "w"], ["y"], name="c1")
WEIGHT = {"w": random_array(4, 3, 3, 3)}


def refused(path: Path, text: str) -> None:
    with pytest.raises(ToolflowError, match=text):
        import_onnx(path)


def test_a_truncated_file(tmp_path: Path) -> None:
    content = onnx_model([CONV], WEIGHT).SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(0, len(content) - 1, 17):
        path.write_bytes(content[:length])
        refused(path, "not a readable ONNX file|not an ONNX model|not a valid ONNX model|operator set")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.binary(max_size=200))
def test_a_foreign_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    refused(path, "ONNX")


def rich_model() -> bytes:
    """Return a model with attributes and constants of every kind."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="c1", pads=[1, 1, 1, 1], strides=[1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
        helper.make_node("Slice", ["c", "zero", "end", "two"], ["d"]),
        helper.make_node("Pad", ["d", "pads"], ["e"]),
        helper.make_node("ReduceMean", ["e"], ["f"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["f", "g"], ["h"], transB=1),
        helper.make_node("Shape", ["h"], ["s"]),
        helper.make_node("Reshape", ["h", "s"], ["y"]),
    ]
    integers = {"zero": [0], "end": [99], "two": [2], "pads": [0, 1, 0, 0, 0, 1, 0, 0]}
    constants = {**WEIGHT, "g": random_array(5, 6), **{name: np.array(value) for name, value in integers.items()}}
    return bytes(onnx_model(nodes, constants).SerializeToString())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=3))
def test_damaged_bytes_never_end_in_a_trace(tmp_path: Path, damage: list[tuple[int, int]]) -> None:
    content = bytearray(rich_model())
    for place, flip in damage:
        content[place % len(content)] ^= flip
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(content))
    try:
        import_onnx(path)
    except ToolflowError as error:
        if not str(error):
            raise


def test_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "missing.onnx", "there is no file")
    refused(tmp_path, "there is no file")


@pytest.mark.parametrize("opset", [7, 28])
def test_an_operator_set_out_of_range(tmp_path: Path, opset: int) -> None:
    refused(saved(onnx_model([CONV], WEIGHT, opset=opset), tmp_path), f"must be 8 to 27, not {opset}")


def external(folder: Path, location: str, **info: str) -> Path:
    model = onnx_model([CONV], WEIGHT)
    (tensor,) = model.graph.initializer
    external_data_helper.set_external_data(tensor, location)
    for key, value in info.items():
        tensor.external_data.add(key=key, value=value)
    tensor.ClearField("raw_data")
    return saved(model, folder)


def test_external_data_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\0" * 16 + WEIGHT["w"].tobytes())
    graph = import_onnx(external(tmp_path, "weights.bin", offset="16", length="432"))
    np.testing.assert_array_equal(graph.nodes[0].weights["weight"], WEIGHT["w"])


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "sub/../../secret.bin", "", "link.bin"])
def test_external_data_outside_the_folder(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(WEIGHT["w"].tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    refused(external(folder, location), "must lie in the model's own folder; it was not read")


def test_external_data_missing_or_short(tmp_path: Path) -> None:
    refused(external(tmp_path, "none.bin"), "needs the file 'none.bin', which is not there")
    (tmp_path / "short.bin").write_bytes(b"\0" * 8)
    refused(external(tmp_path, "short.bin"), r"cannot be read|does not fit")
    refused(external(tmp_path, "short.bin", offset="4", length="432"), r"cannot be read|does not fit")
    refused(external(tmp_path, "short.bin", offset="-4", length="x"), r"cannot be read|does not fit")


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (("N", 3, "H", 8), r"must be known, not \(N, 3, H, 8\)"),
        (("N", "C", 8, 8), "must be known"),
        (("N", 3, "L"), r"must be known, not \(N, 3, L\); give the input's shape as --input-shape C,LENGTH"),
        (("N", 3), r"must have the shape \(N, C, H, W\), or \(N, C, length\) of a signal, not \(N, 3\)$"),
        ((1, 3, 0, 8), "must be known|valid"),
    ],
)
def test_shapes_that_are_not_known(tmp_path: Path, shape: tuple[int | str, ...], text: str) -> None:
    refused(saved(onnx_model([helper.make_node("Relu", ["x"], ["y"])], shape=shape), tmp_path), text)


def test_a_wanted_shape_must_fit(tmp_path: Path) -> None:
    path = saved(onnx_model([CONV], WEIGHT), tmp_path)
    with pytest.raises(ToolflowError, match=r"has the shape \(N, 3, 9, 8\), not \(3, 5, 5\)"):
        import_onnx(path, (3, 5, 5))


def test_inputs_that_are_no_image(tmp_path: Path) -> None:
    model = onnx_model([helper.make_node("Add", ["x", "z"], ["y"])], shape=("N", 3, 4, 4))
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 3, 4, 4]))
    refused(saved(model, tmp_path), "must have one input, the image, not 2")
    node = helper.make_node("Identity", ["x"], ["y"])
    refused(saved(onnx_model([node], kind=TensorProto.UINT8), tmp_path), "must be floating point, not UINT8")


def test_every_unsupported_thing_is_listed_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Foo", ["x"], ["foo"], name="foo", domain="com.example"),
        helper.make_node("Conv", ["x", "w"], ["b"], name="fine"),
        helper.make_node("Elu", ["b"], ["c"], name="elu", alpha=0.1),
        helper.make_node("MaxPool", ["c"], ["d", "indices"], name="pool", kernel_shape=[2, 2]),
        helper.make_node("Clip", ["d", "six", "six"], ["e"], name="clip"),
        helper.make_node("Pad", ["e", "pads", "six"], ["f"], name="pad"),
        helper.make_node(
            "AveragePool", ["f"], ["g"], name="average", kernel_shape=[2, 2], dilations=[2, 1], ceil_mode=1
        ),
        helper.make_node("Softmax", ["g"], ["i"], name="soft", axis=1),
        helper.make_node("Mul", ["i", "i"], ["j"], name="square"),
        helper.make_node("BatchNormalization", ["j", "v", "v", "v", "v"], ["k"], name="norm", training_mode=1),
        helper.make_node("Sigmoid", ["j"], ["l"], name="sigmoid"),
        helper.make_node("Concat", ["j", "j"], ["m"], name="rows", axis=0),
        helper.make_node("Sum", ["k", "l", "m", "foo", "indices"], ["y"], name="all"),
    ]
    constants = {
        **WEIGHT,
        "six": np.array(6, np.float32),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "v": np.ones(4, np.float32),
    }
    model = onnx_model(nodes, constants, ("N", 3, 9, 8), opset=19)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedModelError) as caught:
        import_onnx(saved(model, tmp_path))
    found = {(problem.node, problem.operator, problem.attribute) for problem in caught.value.problems}
    assert {
        ("foo", "com.example.Foo", ""),
        ("elu", "Elu", ""),
        ("pool", "MaxPool", "output"),
        ("clip", "Clip", "bounds"),
        ("pad", "Pad", "mode, value"),
        ("average", "AveragePool", "dilations"),
        ("soft", "Softmax", ""),
        ("square", "Mul", "input 1"),
        ("norm", "BatchNormalization", "training_mode"),
        ("sigmoid", "Sigmoid", ""),
        ("rows", "Concat", "axis"),
    } <= found
    assert not any(node == "fine" for node, *_ in found)
    assert "Elu 'elu': the operator is not handled" in str(caught.value)
    assert "use ReLU or ReLU6 and train on" in str(caught.value)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (helper.make_node("Conv", ["x", "x"], ["y"], name="c"), "input 1 = computed from the image"),
        (helper.make_node("Conv", ["x", "w"], ["y"], name="c", kernel_shape=[2, 3]), r"kernel_shape = \[2, 3\]"),
        (helper.make_node("Conv", ["x", "w"], ["y"], name="c", group=3), "must have 1 channels per group|divide"),
        (helper.make_node("Conv", ["x", "w"], ["y"], name="c", auto_pad="SAME_UPPER", pads=[1, 1, 1, 1]), "auto_pad"),
        (helper.make_node("Conv", ["x", "w"], ["y"], name="c", strides=[0, 1]), "stride must be at least 1|valid"),
        (helper.make_node("Conv", ["x", "w"], ["y"], name="c", pads=[-1, 0, 0, 0]), "pads must be at least 0|valid"),
        (helper.make_node("Conv", ["x", "w"], ["y"], name="c", pads=[1 << 40] * 4), "at most 16777216 positions"),
        (helper.make_node("Conv", ["x", "w"], ["y"], name="c", dilations=[1 << 40] * 2), "at least as large as"),
        (
            helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[1 << 40] * 2, pads=[1 << 40] * 4),
            "at most 16777216 positions",
        ),
        (helper.make_node("Pad", ["x", "pads"], ["y"]), "at most 1073741824 elements per image"),
        (helper.make_node("Slice", ["x", "i1", "i3", "i0"], ["y"]), "every n-th row or column"),
        (helper.make_node("Slice", ["x", "i1", "i3", "i9"], ["y"]), "every n-th row or column"),
        (helper.make_node("Slice", ["x", "i1", "i3", "two"], ["y"]), "lists of one length"),
        (helper.make_node("Pad", ["x", "i1"], ["y"]), "two numbers for each"),
        (
            helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0, 2, 3]),
            r"axes = \[1, 0, 2, 3\] .* all 4 axes, the batch",
        ),
        (
            helper.make_node("ConvTranspose", ["x", "turned"], ["y"], strides=[1 << 30, 1]),
            r"strides, .* = \(1073741824, 1\), .* steps of 1 to 4096",
        ),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="c"), r"\(3, K/groups, kh, kw\)|valid|dimension"),
        (helper.make_node("Upsample", ["x"], ["y"], scales=[1.0, 1.0, 1e30, 1.0]), "sizes of 1 to|valid|No Op"),
        (helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2), "a multiple of 2² channels|valid"),
        (helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=2), "height and width 2 divides|valid"),
        (helper.make_node("Transpose", ["x"], ["y"], perm=[0, 1, 3, 2]), r"\(3, 9, 8\) seen as \(3, 8, 9\) in another"),
        (helper.make_node("Gather", ["x", "i3"], ["y"], axis=1), r"index = axis 1: \[3\] .* numbers of channels"),
        (helper.make_node("Split", ["x", "two"], ["y"], axis=1), r"split = \[2, 3\] .* 1 sizes that add up to 3|valid"),
        (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2]), r"kernel_shape = \[2\]"),
        (helper.make_node("Conv", ["x", "w"], ["y"], strides=[2]), r"strides = \[2\]"),
        (helper.make_node("ReduceMean", ["x"], ["y"], axes=[6, 7]), r"axes = \[6, 7\]"),
        (
            helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], ceil_mode=7),
            "ceil_mode = 7 .* allowed: 0",
        ),
        (helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], ceil_mode=-1), "ceil_mode = -1"),
        (
            helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], count_include_pad=2),
            "count_include_pad = 2",
        ),
        (helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=5), "keepdims = 5 .* allowed: 0 or 1"),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transB=3), "transB = 3"),
        (helper.make_node("Gemm", ["x", "scalar"], ["y"]), r"input 1 = of shape \(\) .* a matrix"),
        (helper.make_node("MatMul", ["x", "scalar"], ["y"]), r"input 1 = of shape \(\) .* a matrix"),
        (helper.make_node("Gemm", ["x", "matrix", "column"], ["y"]), r"input 2 = of shape \(8, 1\) .* each of"),
        (helper.make_node("Clip", ["x", "none"], ["y"]), r"input 1 = of shape \(0,\) .* one number"),
        (helper.make_node("Clip", ["x", "line"], ["y"]), r"input 1 = of shape \(8,\) .* one number"),
        (helper.make_node("Reshape", ["x", "i1"], ["y"], allowzero=9), "allowzero = 9"),
        (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], storage_order=4), "storage_order = 4"),
        (
            helper.make_node("BatchNormalization", ["x", *["line"] * 4], ["y"], training_mode=2),
            "training_mode = 2 .* allowed: 0 or 1",
        ),
        (helper.make_node("Squeeze", ["x", "i9"], ["y"]), "axes of size 1"),
        (helper.make_node("Squeeze", ["x"], ["y"]), "axes = none"),
        (helper.make_node("Reshape", ["x", "i1"], ["y"]), "a shape of 216 elements per image"),
        (helper.make_node("Flatten", ["x"], ["y"], axis=2), "axis = 2"),
        (helper.make_node("Softmax", ["x"], ["y"], axis=2), "softmax over the classes"),
        (helper.make_node("Cast", ["x"], ["y"], to=6), "to = INT32"),
        (helper.make_node("Expand", ["w", "huge"], ["y"]), "constant operands = a shape of"),
        (helper.make_node("Relu", ["w"], ["y"]), "constant operands = all inputs of Relu"),
        (helper.make_node("ReduceMean", ["x"], ["y"], axes=[1]), r"axes = \[1\]"),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), "a matrix"),
        (helper.make_node("Gemm", ["x", "w"], ["y"]), r"input 1 = of shape \(4, 3, 3, 3\) .* a matrix"),
        (helper.make_node("Add", ["x", "line"], ["y"]), "one number, or one for each channel"),
        (helper.make_node("Identity", ["x"], ["y"]), "computes nothing"),
        (helper.make_node("Identity", ["w"], ["y"]), "does not depend on its input"),
    ],
)
def test_what_is_refused(tmp_path: Path, node: onnx.NodeProto, text: str) -> None:
    constants = {
        **WEIGHT, "i0": np.array([0]), "turned": np.ones((3, 4, 2, 2), np.float32),
        "i1": np.array([1]), "i9": np.array([9]), "two": np.array([2, 3]),
        "matrix": np.ones((216, 8), np.float32), "column": np.ones((8, 1), np.float32), "none": np.zeros(0, np.float32),
        "i3": np.array([3]), "scalar": np.array(2.0, np.float32), "huge": np.array([1 << 20, 1 << 20]),
        "line": np.ones(8, np.float32), "pads": np.array([0, 0, 1 << 40, 0, 0, 0, 0, 0]),
    }  # fmt: skip
    refused(saved(onnx_model([node], constants), tmp_path), text)


def test_quantised_and_nan_weights(tmp_path: Path) -> None:
    weight = {"w": np.full((4, 3, 3, 3), np.inf, np.float32)}
    refused(saved(onnx_model([CONV], weight), tmp_path), "weight = NaN or infinity")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("net.pt2", "loading a .pt2 file can run code that it carries; export the module with torch.onnx.export"),
        ("net.tflite", "where the engine has multipliers of 16 bits and none; give the float model as ONNX"),
    ],
)
def test_files_of_other_formats_are_refused_unread(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(ToolflowError) as error:
        load_model(str(path))
    assert text in str(error.value)
