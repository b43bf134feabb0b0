"""Shared by the tests of importers and passes: tiny ONNX models, runners and a comparison of graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.shape_inference
import onnxruntime
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper

from quant.float_network import model_output
from toolflow.ir.graph import Graph, Node

Array = npt.NDArray[Any]
Dims = Sequence[int | str | None]


def random_array(*shape: int, seed: int = 0) -> Array:
    """Return normal float32 numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def onnx_model(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, Array] | None = None,
    shape: Dims = ("N", 3, 9, 8),
    *,
    opset: int = 17,
    outputs: Sequence[str] = ("y",),
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """Return a model from input 'x' to output 'y'."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    with suppress(onnx.shape_inference.InferenceError):
        model = onnx.shape_inference.infer_shapes(model)
    for output in model.graph.output:  # the standard asks for one, even where inference finds none
        if not output.type.tensor_type.HasField("shape"):
            output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, ["d0", "d1"]))
    return model


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    """Write a model without any check."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def run_onnx(model: onnx.ModelProto, x: Array) -> Array:
    """Run a model in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def run_graph(graph: Graph, x: Array) -> Array:
    """Run a graph in float64."""
    with torch.no_grad():
        return np.asarray(model_output(graph, torch.from_numpy(x).double()).numpy())


def run_module(module: torch.nn.Module, x: Array) -> Array:
    """Run a module in float64; it stays in that type."""
    with torch.no_grad():
        return np.asarray(module.eval().double()(torch.from_numpy(x).double()).numpy())


def assert_close(found: Array, wanted: Array) -> None:
    """Compare results up to the rounding of float32."""
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(wanted).max())))


def signature(graph: Graph) -> list[tuple[object, tuple[int, ...]]]:
    """Return the operators and which tensors they read, as numbers: equal for equal graphs of any names."""
    number = {graph.input_name: -1, **{node.name: i for i, node in enumerate(graph.nodes)}}
    return [(node.op, tuple(number[tensor] for tensor in node.inputs)) for node in graph.nodes]


def assert_same_graph(a: Graph, b: Graph) -> None:
    """Compare two graphs up to names and to float32 rounding of weights."""
    assert signature(a) == signature(b)
    for node, other in zip(a.nodes, b.nodes, strict=True):
        assert node.weights.keys() == other.weights.keys()
        for name, array in node.weights.items():
            np.testing.assert_allclose(array.astype(float), other.weights[name].astype(float), rtol=1e-4, atol=1e-6)


def conv_node(name: str, op: Any, tensor: str, weight_shape: Sequence[int], seed: int = 1) -> Node:
    """Return a conv or linear node with random weights in float64."""
    weight = random_array(*weight_shape, seed=seed).astype(np.float64)
    bias = random_array(weight_shape[0], seed=seed + 1000).astype(np.float64)
    return Node(name, op, (tensor,), {"weight": weight, "bias": bias})


def norm_weights(channels: int, seed: int = 2) -> dict[str, Array]:
    """Return batch-norm weights, some scales negative."""
    generator = np.random.default_rng(seed)
    return {
        "scale": generator.normal(size=channels),
        "bias": generator.normal(size=channels),
        "mean": generator.normal(size=channels),
        "variance": generator.uniform(0.1, 2, channels),
    }
