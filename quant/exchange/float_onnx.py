"""A float graph as ONNX, and its weights as safetensors: files that need nothing of the toolflow to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from toolflow.ir.activation import Activation
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.operators.folders import part
from toolflow.operators.onnx_nodes import OnnxNode, constant

OPSET, IR_VERSION = 17, 8
BATCH = "N"


def save_onnx(graph: Graph, path: Path) -> None:
    """Write a float graph as ONNX; the model's own input map becomes its first nodes.

    Raises:
        ToolflowError: an operator has no form in ONNX.
    """
    path.write_bytes(to_onnx(graph).SerializeToString())


def save_weights(graph: Graph, path: Path) -> None:
    """Write the weights of a graph as safetensors, under the names of the ONNX file's initialisers."""
    path.write_bytes(save({name: np.ascontiguousarray(value) for name, value in _weights(graph).items()}))


def to_onnx(graph: Graph) -> onnx.ModelProto:
    """Return a float graph as an ONNX model with a free batch.

    Raises:
        ToolflowError: an operator has no form in ONNX.
    """
    writer = _Writer(graph)
    shapes = ((graph.input_name, graph.input_shape), (graph.output, graph.shapes[graph.output]))
    image, answers = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape]) for name, shape in shapes)
    made = helper.make_graph(writer.nodes, graph.name, [image], [answers], writer.constants)
    domains = {"": OPSET, **dict.fromkeys((each.domain for each in writer.functions), 1)}
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid(*each) for each in domains.items()],
        functions=writer.functions,
        producer_name="cascade-toolflow",
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


class _Writer:
    """Collects the nodes and the constants of a model."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants = [numpy_helper.from_array(value, name) for name, value in _weights(graph).items()]
        self._functions: dict[str, onnx.FunctionProto] = {}
        self._names = {name: name for name in graph.shapes}
        if graph.input_map is not None:
            scale, shift = (
                np.array(values, dtype=np.float32).reshape(1, -1, 1, 1)
                for values in (graph.input_map.scale, graph.input_map.shift)
            )
            mapped = f"{graph.input_name}.mapped"
            self._chain(mapped, [OnnxNode("Mul", [graph.input_name, scale]), OnnxNode("Add", ["", shift])])
            self._names[graph.input_name] = mapped
        for node in graph.nodes:
            self._chain(node.name, _nodes(node, [self._names[name] for name in node.inputs]))

    @property
    def functions(self) -> list[onnx.FunctionProto]:
        """The definitions of what ONNX lacks."""
        return list(self._functions.values())

    def _chain(self, name: str, nodes: list[OnnxNode]) -> None:
        """Add nodes, the last of which makes the tensor `name`; the first bears the name, by which it is imported."""
        before = ""
        for index, node in enumerate(nodes):
            own = f"{name}.{node.op_type.lower()}" if index else name
            made = name if index == len(nodes) - 1 else f"{name}.step{index}"
            inputs = [self._input(f"{own}.input{place}", each, before) for place, each in enumerate(node.inputs)]
            values = {key: list(value) if isinstance(value, tuple) else value for key, value in node.attributes.items()}
            if node.function is not None:
                self._functions[node.op_type] = node.function(OPSET)
                values["domain"] = self._functions[node.op_type].domain
            self.nodes.append(helper.make_node(node.op_type, inputs, [made], name=own, **values))  # type: ignore[arg-type]
            before = made

    def _input(self, name: str, given: str | npt.NDArray[Any], before: str) -> str:
        if isinstance(given, str):
            return given or before
        self.constants.append(numpy_helper.from_array(given, name))
        return name


def _nodes(node: Node, inputs: list[str]) -> list[OnnxNode]:
    try:
        nodes = list(part(node.op.kind, "onnx_form").onnx_nodes(node.op, node.name, inputs))
    except (ModuleNotFoundError, ValueError) as error:
        raise ToolflowError(f"{node.op.kind} '{node.name}' cannot be written as ONNX: {error}") from error
    if node.op.has_weights and len(inputs) > 1:
        nodes.append(OnnxNode("Add", ["", inputs[1]]))
    activation = node.op.activation
    if activation.upper is not None:
        nodes.append(OnnxNode("Clip", ["", *(constant(bound).reshape(()) for bound in (0.0, activation.upper))]))
    elif activation is not Activation.NONE:
        nodes.append(OnnxNode("Relu", [""]))
    return nodes


def _weights(graph: Graph) -> dict[str, npt.NDArray[np.float32]]:
    return {
        f"{node.name}.{name}": value.astype(np.float32)
        for node in graph.nodes
        for name, value in sorted(node.weights.items())
    }
