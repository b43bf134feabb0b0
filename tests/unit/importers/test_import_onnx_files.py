"""ONNX files from practice: several outputs, dead branches, ArgMax and TopK, operator sets, functions, quantisers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from tests.unit.importers.import_tools import (
    Array,
    assert_close,
    assert_same_graph,
    onnx_model,
    random_array,
    run_graph,
    run_onnx,
    saved,
)
from toolflow.importers.onnx.importer import import_onnx
from toolflow.importers.onnx.quantisers import QUANTISED
from toolflow.ir.errors import ToolflowError, UnsupportedModelError

node = helper.make_node
WEIGHTS = {"w": random_array(4, 3, 3, 3), "f": random_array(5, 4, seed=2), "fb": random_array(5)}


def network(output: str = "y") -> list[NodeProto]:
    """Return conv, ReLU, global average pool and linear layer."""
    return [
        node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Flatten", ["p"], ["flat"]),
        node("Gemm", ["flat", "f", "fb"], [output], name="fc", transB=1),
    ]


def test_a_branch_that_leads_nowhere_is_not_looked_at(tmp_path: Path) -> None:
    dead = [
        node("Softmax", ["y"], ["unread"], axis=1),
        node("Foo", ["c", "z"], ["odd"], domain="com.example"),
        node("Relu", ["odd"], ["odder"]),
    ]
    model = onnx_model([*network(), *dead], WEIGHTS)
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N"]))
    plain = import_onnx(saved(onnx_model(network(), WEIGHTS), tmp_path))
    assert_same_graph(import_onnx(saved(model, tmp_path)), plain)


def two_outputs() -> onnx.ModelProto:
    early = [
        node("GlobalAveragePool", ["c"], ["q"]),
        node("Flatten", ["q"], ["early"]),
    ]
    return onnx_model([*network(), *early], WEIGHTS, outputs=("y", "early"))


def test_one_of_two_outputs_is_chosen(tmp_path: Path) -> None:
    path, x = saved(two_outputs(), tmp_path), random_array(3, 3, 9, 8, seed=5)
    with pytest.raises(ToolflowError, match=r"must have one output, not 2: 'y', 'early'; .* --output NAME"):
        import_onnx(path)
    with pytest.raises(ToolflowError, match=r"--output must be one of 'y', 'early', the outputs of .*, not 'r'"):
        import_onnx(path, output="r")
    kinds = {"y": ["conv", "relu", "avg_pool", "flatten", "linear"], "early": ["conv", "avg_pool", "flatten"]}
    for name in kinds:
        graph = import_onnx(path, output=name)
        assert [n.op.kind for n in graph.nodes] == kinds[name]
        alone = onnx.ModelProto()
        alone.CopyFrom(two_outputs())
        del alone.graph.output[name == "y"]
        assert_close(run_graph(graph, x), run_onnx(alone, x))


K = {"k": np.array([3])}
DECISIONS: dict[str, list[NodeProto]] = {
    "ArgMax": [node("ArgMax", ["s"], ["y"], name="end", axis=1, keepdims=0)],
    "ArgMax kept": [node("ArgMax", ["s"], ["y"], name="end", axis=-1)],
    "Softmax, ArgMax": [node("Softmax", ["s"], ["t"], axis=1), node("ArgMax", ["t"], ["y"], name="end", axis=1)],
    "ArgMax, Squeeze, Cast": [
        node("ArgMax", ["s"], ["t"], name="end", axis=1),
        node("Squeeze", ["t", "one"], ["u"]),
        node("Cast", ["u"], ["y"], to=TensorProto.INT32),
    ],
    "TopK": [node("TopK", ["s", "k"], ["values", "y"], name="end")],
    "TopK's scores": [node("TopK", ["s", "k"], ["y", "unread"], name="end", axis=1)],
}


@pytest.mark.parametrize("ending", DECISIONS)
def test_a_decision_at_the_end_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    constants = {**WEIGHTS, **K, "one": np.array([1])}
    model = onnx_model([*network("s"), *DECISIONS[ending]], constants)
    kinds = {"TopK's scores": TensorProto.FLOAT, "ArgMax, Squeeze, Cast": TensorProto.INT32}
    model.graph.output[0].type.tensor_type.elem_type = kinds.get(ending, TensorProto.INT64)
    graph = import_onnx(saved(model, tmp_path))
    assert_same_graph(graph, import_onnx(saved(onnx_model(network(), WEIGHTS), tmp_path)))
    kind = next(n.op_type for n in model.graph.node if n.name == "end")
    assert f"{kind} 'end' is left out: the device answers with the class" in caplog.text
    x = random_array(20, 3, 9, 8, seed=5)
    answers = run_onnx(model, x).reshape(len(x), -1)[:, 0]
    scores = run_graph(graph, x)
    np.testing.assert_allclose(answers, scores.max(1) if "scores" in ending else scores.argmax(1), rtol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([node("ArgMax", ["s"], ["y"], axis=0)], "over the classes at the very end"),
        ([node("ArgMax", ["s"], ["y"], axis=1, select_last_index=1)], "the device takes the first"),
        ([node("TopK", ["s", "k"], ["v", "y"], largest=0)], r"largest = 0 is not handled, allowed: 1"),
        ([node("ArgMax", ["x"], ["y"], axis=3)], "over the classes at the very end"),
        (
            [node("Relu", ["x"], ["map"]), node("ArgMax", ["map"], ["y"], axis=1)],
            r"ArgMax 'y': input shape = \(3, 9, 8\) is not handled, allowed: \(3,\) or \(3, 1, 1\): one score",
        ),
        (
            [node("Relu", ["x"], ["map"]), node("Softmax", ["map"], ["y"], axis=1)],
            r"Softmax 'y': input shape = \(3, 9, 8\) is not handled, allowed: \(3,\) or \(3, 1, 1\): one score",
        ),
        (
            [
                node("Gemm", ["s", "one"], ["o"], transB=1),
                node("Sigmoid", ["o"], ["t"]),
                node("Sigmoid", ["t"], ["y"]),
            ],
            "Sigmoid 'y': a sigmoid of a sigmoid is not handled, allowed: one sigmoid",
        ),
        (
            [node("Gemm", ["s", "one"], ["o"], transB=1), node("ArgMax", ["o"], ["y"], axis=1)],
            "ArgMax 'y': classes = 1 is not handled, allowed: 2 or more: of one class it is always 0",
        ),
        (
            [node("ArgMax", ["s"], ["i"], axis=1), node("Cast", ["i"], ["t"], to=1), node("Add", ["t", "s"], ["y"])],
            "ArgMax 'i': a decision is not handled, allowed: over the classes at the very end",
        ),
    ],
)
def test_a_decision_elsewhere_is_refused(tmp_path: Path, nodes: list[NodeProto], text: str) -> None:
    with pytest.raises(UnsupportedModelError, match=text):
        import_onnx(saved(onnx_model([*network("s"), *nodes], {**WEIGHTS, **K, "one": random_array(1, 5)}), tmp_path))


NORM = {"s": random_array(4, seed=3), "b": random_array(4, seed=4), "m": random_array(4, seed=5), "d": np.ones(4, "f4")}


def of_opset(opset: int) -> onnx.ModelProto:
    """Return a network of every kind of operator whose version changed beside the sets 9 to 21."""
    spatial: dict[str, Any] = {"spatial": 1} if opset < 9 else {}
    rounding: dict[str, Any] = {"round_mode": "nearest"} if opset >= 24 else {}
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "s", "b", "m", "d"], ["n"], **spatial),
        node("Cast", ["n"], ["t"], to=1, **rounding),
        node("MaxPool", ["t"], ["o"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("AveragePool", ["o"], ["a"], kernel_shape=[2, 2]),
        node("Dropout", ["a"], ["e"]),
        node("GlobalMaxPool", ["e"], ["g"]),
        node("Reshape", ["g", "two"], ["h"]),
        node("Gemm", ["h", "f", "z"], ["y"], transB=1),
    ]
    constants = {**WEIGHTS, **NORM, "two": np.array([0, -1]), "z": random_array(5, seed=9)}
    return onnx_model(nodes, constants, opset=opset)


@pytest.mark.parametrize("opset", [8, 9, 21, 22, 23, 24, 25, 26, 27])
def test_operator_sets_mean_the_same(tmp_path: Path, opset: int) -> None:
    graph = import_onnx(saved(of_opset(opset), tmp_path))
    assert_same_graph(graph, import_onnx(saved(of_opset(17), tmp_path)))
    x = random_array(2, 3, 9, 8, seed=5)
    assert_close(run_graph(graph, x), run_onnx(of_opset(17), x))


def test_what_an_operator_set_does_not_know_is_refused(tmp_path: Path) -> None:
    norm = node("BatchNormalization", ["x", "s", "b", "m", "d"], ["y"], spatial=0)
    with pytest.raises(UnsupportedModelError, match="spatial = 0 is not handled, allowed: 1: statistics per channel"):
        import_onnx(saved(onnx_model([norm], NORM, ("N", 4, 9, 8), opset=8), tmp_path))
    with pytest.raises(ToolflowError, match="spatial"):
        import_onnx(saved(onnx_model([norm], NORM, ("N", 4, 9, 8), opset=9), tmp_path))


@pytest.mark.parametrize(
    ("opset", "shape", "attributes"),
    [
        (10, (), {}),
        (13, (4,), {"axis": 0}),
        (17, (3,), {"axis": 1}),
        (21, (4, 1, 3, 3), {"axis": 1, "block_size": 3}),
        (23, (4,), {"axis": 0, "output_dtype": 1}),
    ],
)
@pytest.mark.parametrize("zero", [True, False])
def test_stored_integers_are_dequantised(
    tmp_path: Path, opset: int, shape: tuple[int, ...], attributes: dict[str, Any], zero: bool
) -> None:
    rng = np.random.default_rng(6)
    constants: dict[str, Array] = {
        "q": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "scale": rng.uniform(0.01, 0.1, shape).astype(np.float32),
        "zero": rng.integers(-9, 9, shape).astype(np.int8),
    }
    inputs = ["q", "scale", *(["zero"] if zero else [])]
    nodes = [node("DequantizeLinear", inputs, ["w"], **attributes), node("Conv", ["x", "w"], ["y"])]
    model, x = onnx_model(nodes, constants, opset=opset), random_array(2, 3, 9, 8, seed=5)
    assert_close(run_graph(import_onnx(saved(model, tmp_path)), x), run_onnx(model, x))


@pytest.mark.parametrize(
    ("kind", "domain"),
    [("Quant", "qonnx.custom_op.general"), ("QuantizeLinear", ""), ("BipolarQuant", "onnx.brevitas")],
)
def test_a_quantised_file_is_one_sentence(tmp_path: Path, kind: str, domain: str) -> None:
    extra = {} if kind == "QuantizeLinear" else {"domain": domain}
    nodes = [
        node(kind, ["x", "scale", "zero"], ["q"], name="image", **extra),
        *([node(kind, ["w", "scale", "zero"], ["u"], name="weight", **extra)] if extra else []),
        node("Conv", ["q", "u" if extra else "w"], ["c"]),
        node("Sigmoid", ["c"], ["y"]),
    ]
    constants: dict[str, Array] = {
        **WEIGHTS,
        "scale": np.array(0.1, np.float32),
        "zero": np.array(0, np.float32 if extra else np.int8),
    }
    model = onnx_model(nodes, constants)
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    with pytest.raises(ToolflowError) as caught:
        import_onnx(saved(model, tmp_path))
    prefix, count = (f"{domain}.", 2) if domain else ("", 1)
    assert str(caught.value) == (
        f"'{tmp_path / 'model.onnx'}' is quantised already: it holds {count} quantising node(s), the first "
        f"{prefix}{kind} 'image'; give the float network instead, which the toolflow quantises itself (of Brevitas: "
        "the same layers of torch.nn with the trained weights)"
        + ("; 'toolflow build' and 'toolflow check' take this file as it is" if kind in QUANTISED and domain else "")
    )


def with_functions(bodies: dict[str, list[NodeProto]]) -> onnx.ModelProto:
    """Return a model that calls function F; the functions take x and give y."""
    model = onnx_model([node("F", ["x"], ["y"], name="call", domain="own")])
    model.opset_import.append(helper.make_opsetid("own", 1))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for name, nodes in bodies.items():
        model.functions.append(helper.make_function("own", name, ["x"], ["y"], nodes, opsets))
    return model


def calls(name: str, count: int = 1) -> list[NodeProto]:
    names = ["x", *(f"t{i}" for i in range(count - 1)), "y"]
    return [node(name, [a], [b], domain="own") for a, b in pairwise(names)]


def test_functions_are_called_in_place(tmp_path: Path) -> None:
    model = with_functions({"F": calls("G", 2), "G": [node("Relu", ["x"], ["y"])]})
    assert [n.op.kind for n in import_onnx(saved(model, tmp_path)).nodes] == ["relu", "relu"]


@pytest.mark.parametrize("bodies", [{"F": calls("F")}, {"F": calls("G"), "G": calls("H"), "H": calls("G")}])
def test_a_function_that_calls_itself(tmp_path: Path, bodies: dict[str, list[NodeProto]]) -> None:
    with pytest.raises(ToolflowError, match=r"function '[FG]' of '.*' must not call itself"):
        import_onnx(saved(with_functions(bodies), tmp_path))


def test_functions_that_grow_without_bound(tmp_path: Path) -> None:
    names = ["F", *(f"G{i}" for i in range(40))]
    bodies = {name: calls(inner, 2) for name, inner in zip(names, [*names[1:], "Relu"], strict=True)}
    bodies[names[-1]] = [node("Relu", ["x"], ["y"])]
    with pytest.raises(ToolflowError, match="must have at most 1048576 nodes in its functions' calls"):
        import_onnx(saved(with_functions(bodies), tmp_path))
