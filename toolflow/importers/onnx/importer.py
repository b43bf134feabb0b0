"""ONNX file -> Graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, helper

from toolflow.importers import vocabulary
from toolflow.importers.builder import GraphBuilder, Place, Value
from toolflow.importers.onnx import file as onnx_file
from toolflow.importers.onnx.call import Absent, Call
from toolflow.importers.onnx.constants import FOLDED, CannotFoldError, fold
from toolflow.importers.onnx.operators import DECISIONS, ENDINGS, OPERATORS, QUANTISERS, RESHAPING, REWRITES
from toolflow.importers.onnx.quantisers import LINEAR, QUANTISED, Stored, clip_stored, is_linear, is_qonnx
from toolflow.importers.onnx.select import feeds_transposes, keep_one_output
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.operator import Shape
from toolflow.operators.segments.onnx_form import DOMAIN, NAME

STANDARD_DOMAINS = ("", "ai.onnx")
SEVERAL = DECISIONS | {"Split"}  # operators of which more than the first output may be read


def import_onnx(path: Path, input_shape: Shape | None = None, output: str | None = None) -> Graph:
    """Import an ONNX file of operator set 8 to 27.

    Args:
        path: the file; external data must lie in its folder.
        input_shape: (C, H, W), where the file leaves a dimension open.
        output: name of the output to take, if there are several.

    Raises:
        UnsupportedModelError: it holds something that cannot be imported; all of it is listed.
        ToolflowError: the file cannot be read, or is no valid model of one image input.
    """
    model = onnx_file.read_model(path)
    keep_one_output(model, path, output)
    if all(_is_known(node) for node in model.graph.node):
        onnx_file.check(model, path)  # the checker would stop at the first operator it does not know
    return _Walk(model, path, input_shape).graph()


def import_quantised_onnx(path: Path, input_shape: Shape | None = None, output: str | None = None) -> Graph:
    """Import an ONNX file that was quantised elsewhere, with a `FakeQuant` node for each rounding.

    Args:
        path: the file.
        input_shape: as for `import_onnx`.
        output: as for `import_onnx`.

    Raises:
        UnsupportedModelError: as `import_onnx`.
        ToolflowError: as `import_onnx`.
    """
    model = onnx_file.read_model(path)
    keep_one_output(model, path, output)
    return _Walk(model, path, input_shape, quantised=True).graph()


def is_quantised_onnx(path: Path) -> bool:
    """Return whether an ONNX file rounds what is computed from the image: whether it was quantised elsewhere."""
    try:
        model = onnx_file.read_model(path)
    except ToolflowError:
        return False  # whoever imports it says what is wrong
    stored = {tensor.name for tensor in model.graph.initializer}
    return any(
        is_qonnx(node) or (node.op_type == "QuantizeLinear" and is_linear(node) and node.input[0] not in stored)
        for node in model.graph.node
    )


def _tail(graph: GraphProto, output: str) -> set[str]:
    """Return the tensors from which only nodes that keep the order of the classes lead to the output."""
    tail = {output}
    for node in reversed(graph.node):
        if tail.intersection(node.output) and node.op_type in ENDINGS | RESHAPING:
            tail.add(node.input[0])
    return tail


def _is_known(node: NodeProto) -> bool:
    if node.domain == DOMAIN:
        return node.op_type == NAME
    return node.domain in STANDARD_DOMAINS and (node.op_type in OPERATORS or node.op_type in FOLDED)


class _Walk:
    """Goes through a model's nodes, which ONNX keeps in topological order."""

    def __init__(self, model: ModelProto, path: Path, wanted: Shape | None, quantised: bool = False) -> None:
        self._takes_quantisers = quantised
        channels_last = feeds_transposes(model.graph)
        image, self._batch, shape = onnx_file.image_input(model, path, wanted, channels_last)
        self._model = model
        self._path = path
        self._stated = onnx_file.stated_shapes(model)
        self._build = GraphBuilder(path.stem, image.name, shape)
        self._opset = next(entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS)
        (self._output,) = (entry.name for entry in model.graph.output)
        self._values: dict[str, Any] = dict(onnx_file.constants(model, path))
        self._values[image.name] = self._build.channels_last if channels_last else self._build.input
        self._read = {name for node in model.graph.node for name in node.input}
        self._tail = _tail(model.graph, self._output)
        self._decided: set[str] = set()  # tensors that hold the class, no longer its scores
        self._quantisers: list[str] = []
        self._is_qonnx = any(map(is_qonnx, model.graph.node))

    def graph(self) -> Graph:
        for node in self._model.graph.node:
            self._values.update({name: None for name in node.output if name})
            result = self._node(node)
            if isinstance(result, list):
                self._values.update(zip(node.output, result, strict=True))
            else:
                names = node.output if node.op_type in DECISIONS else node.output[:1]
                self._values.update(dict.fromkeys(names, result))
        if self._quantisers:
            raise ToolflowError(
                f"'{self._path}' is quantised already: it holds {len(self._quantisers)} quantising node(s), the first "
                f"{self._quantisers[0]}; give the float network instead, which the toolflow quantises itself (of "
                "Brevitas: the same layers of torch.nn with the trained weights)"
                + ("; 'toolflow build' and 'toolflow check' take this file as it is" if self._is_qonnx else "")
            )
        place = Place(self._model.graph.name or "model", "output")
        output = self._values.get(self._output)
        return self._build.finish(place, output if isinstance(output, Value) else None)

    def _node(self, node: NodeProto) -> Any:
        """Return what a node computes: a `Value`, a constant array, or None after a problem."""
        domain = "" if node.domain in STANDARD_DOMAINS else f"{node.domain}."
        place = Place(node.name or node.output[0], f"{domain}{node.op_type}")
        inputs: list[Any] = [self._values.get(name) if name else Absent.INPUT for name in node.input]
        is_constant = not any(isinstance(value, Value) or value is None for value in inputs)
        if self._takes_quantisers and (is_qonnx(node) or is_linear(node)):
            return self._quantiser(place, node, inputs, {**QUANTISED, **LINEAR}[node.op_type])
        if any(isinstance(value, Stored) for value in inputs):
            if node.op_type == "Clip":
                return self._quantiser(place, node, inputs, clip_stored)
            self._build.problem(place, "input", "integers of QuantizeLinear", "what DequantizeLinear makes of them")
            return self._stand_in(place, node)
        if node.op_type in QUANTISERS and not (is_constant and node.op_type in FOLDED):
            self._quantisers.append(f"{place.operator} '{place.node}'")
            return self._stand_in(place, node)
        if not _is_known(node) or not (is_constant or node.op_type in OPERATORS):
            self._build.problem(place, "", "the operator", vocabulary.OPERATORS, REWRITES.get(node.op_type, ""))
            return self._stand_in(place, node)
        for name in node.output[1:]:
            if name and node.op_type not in SEVERAL and (name in self._read or name == self._output):
                self._build.problem(place, "output", name, "the first output only")
        if is_constant:
            return self._constant(place, node, inputs)
        if any(value is None for value in inputs):
            return self._stand_in(place, node)  # an input failed already
        if node.op_type in DECISIONS:
            self._decided.update(node.output)
        elif self._decided.intersection(node.input):
            self._decided.update(node.output)
            if node.op_type in RESHAPING and node.output[0] in self._tail:
                return inputs[0]  # the class in another form
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        is_end = any(name in self._tail for name in node.output)
        call = Call(
            self._build, place, attributes, dict(enumerate(inputs)), self._opset, self._batch, is_end, len(node.output)
        )
        before = len(self._build.problems)
        result = OPERATORS[node.op_type](call)
        if len(self._build.problems) == before:
            call.check_rest()
        return self._stand_in(place, node) if len(self._build.problems) > before else result

    def _quantiser(self, place: Place, node: NodeProto, inputs: list[Any], handler: Callable[[Call], Any]) -> Any:
        """Return what a node that rounds to a grid makes: of constants a constant."""
        if any(value is None for value in inputs):
            return self._stand_in(place, node)
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        call = Call(self._build, place, attributes, dict(enumerate(inputs)), self._opset, self._batch, False)
        before = len(self._build.problems)
        result = handler(call)
        if len(self._build.problems) == before:
            call.check_rest()
        return self._stand_in(place, node) if len(self._build.problems) > before else result

    def _constant(self, place: Place, node: NodeProto, inputs: list[Any]) -> npt.NDArray[Any] | None:
        try:
            return fold(node, self._opset, [value if isinstance(value, np.ndarray) else None for value in inputs])
        except CannotFoldError as error:
            self._build.problem(place, "constant operands", str(error), "shape arithmetic")
            return None

    def _stand_in(self, place: Place, node: NodeProto) -> Value | None:
        """Return a value of the shape that the node's output has, None if nobody knows."""
        shapes: dict[str, Shape | npt.NDArray[Any]] = {}
        for name in filter(None, node.input):
            value = self._values.get(name)
            if isinstance(value, Stored):
                value = value.value
            if value is not None:
                shapes[name] = value.shape if isinstance(value, Value) else value
        shape = onnx_file.output_shape(node, self._opset, shapes, self._batch) or self._stated.get(node.output[0])
        return None if shape is None else self._build.stand_in(place, shape)
