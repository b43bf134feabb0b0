"""Read an ONNX file, which may be truncated, foreign or hostile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import onnx.checker
import onnx.defs
import onnx.inliner
import onnx.shape_inference
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    external_data_helper,
    helper,
    numpy_helper,
)

from toolflow.ir.errors import ToolflowError, UnknownShapeError
from toolflow.ir.operator import Shape
from toolflow.operators.segments.onnx_form import DOMAIN, NAME, definition

OPSETS = range(8, 28)
MAX_NODES = 1 << 20  # with every function in place of its calls; more is a damaged model


def read_model(path: Path) -> ModelProto:
    """Return the model with all its data in memory and local functions inlined.

    Raises:
        ToolflowError: the file cannot be read, its operator set is not supported, or data that it
            keeps in other files is missing or lies outside its folder.
    """
    if not path.is_file():
        raise ToolflowError(f"there is no file '{path}'")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except Exception as error:  # the parser's own types
        raise ToolflowError(f"'{path}' is not a readable ONNX file: truncated, or of another format") from error
    if not model.graph.node or not model.graph.input or not model.graph.output:
        raise ToolflowError(f"'{path}' is not an ONNX model: it must have nodes, an input and an output")
    idle = [node.name or node.op_type for node in model.graph.node if not node.output or not node.output[0]]
    if idle:
        raise ToolflowError(f"every node of '{path}' must have an output; {idle} have none")
    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    if version not in OPSETS:
        raise ToolflowError(
            f"the operator set of '{path}' must be {OPSETS.start} to {OPSETS.stop - 1}, not {version}; "
            "export it again, or convert it with onnx.version_converter"
        )
    if model.graph.sparse_initializer:
        raise ToolflowError(f"the weights of '{path}' must be dense, not sparse initialisers")
    tensors = list(_tensors(model.graph))
    tensors += [attribute.t for function in model.functions for node in function.node for attribute in node.attribute]
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL:
            _load_external(tensor, path)
    return _inlined(model, path) if model.functions else model


def _inlined(model: ModelProto, path: Path) -> ModelProto:
    """Return the model with each local function in place of its calls, but for the toolflow's own.

    Raises:
        ToolflowError: a function calls itself, or the functions have too many nodes in all.
    """
    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def count(nodes: Iterable[NodeProto], callers: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            called = (node.domain, node.op_type)
            if called in callers:
                raise ToolflowError(f"function '{node.op_type}' of '{path}' must not call itself")
            if called in functions and called not in sizes:
                sizes[called] = count(functions[called].node, (*callers, called))
            inner = [child for entry in node.attribute for g in (entry.g, *entry.graphs) for child in g.node]
            total += sizes.get(called, 1) + count(inner, callers)
        return total

    size = count(model.graph.node, ())
    if size > MAX_NODES:
        raise ToolflowError(f"'{path}' must have at most {MAX_NODES} nodes in its functions' calls, not {size}")
    version = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    own = [(DOMAIN, NAME)] if functions.get((DOMAIN, NAME)) == definition(version) else []
    return onnx.inliner.inline_selected_functions(model, own, exclude=True)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _load_external(tensor: TensorProto, path: Path) -> None:
    """Load one tensor's data from a file in the model's own folder."""
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    folder = path.parent.resolve()
    where = (folder / location).resolve()
    if not location or not where.is_relative_to(folder):
        raise ToolflowError(
            f"tensor '{tensor.name}' of '{path}' keeps its data in '{location}', "
            "which must lie in the model's own folder; it was not read"
        )
    if not where.is_file():
        raise ToolflowError(f"tensor '{tensor.name}' of '{path}' needs the file '{location}', which is not there")
    try:
        external_data_helper.load_external_data_for_tensor(tensor, str(folder))
    except (ValueError, OSError, onnx.checker.ValidationError) as error:
        raise ToolflowError(f"the data of tensor '{tensor.name}' in '{where}' cannot be read: {error}") from error
    tensor.data_location = TensorProto.DEFAULT
    tensor.ClearField("external_data")


def check(model: ModelProto, path: Path) -> None:
    """Check the model against the ONNX standard.

    Raises:
        ToolflowError: it breaks the standard; the text is the checker's.
    """
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:  # names need not be text in a damaged file
        raise ToolflowError(f"'{path}' is not a valid ONNX model: {_first_lines(error)}") from error


def _first_lines(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[:2] if line.strip())


def image_input(
    model: ModelProto, path: Path, wanted: Shape | None, channels_last: bool
) -> tuple[ValueInfoProto, int, Shape]:
    """Return the model's one input, the batch that it is fixed to (1 if it is free) and its shape without the batch.

    The shape is (C, H, W), or (C, length) of a signal.

    Args:
        model: the model.
        path: its file, for messages.
        wanted: shape that the user asks for; fills dynamic dimensions.
        channels_last: the input is (N, H, W, C), or (N, length, C).

    Raises:
        ToolflowError: there are several inputs, or the input is no batch of float images of known size.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in stored]
    if len(inputs) != 1:
        names = [entry.name for entry in inputs]
        raise ToolflowError(f"'{path}' must have one input, the image, not {len(inputs)}: {names}")
    kind = inputs[0].type.tensor_type
    if kind.elem_type not in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
        known = kind.elem_type in TensorProto.DataType.values()
        found = TensorProto.DataType.Name(kind.elem_type) if known else f"type {kind.elem_type}"
        raise ToolflowError(f"input '{inputs[0].name}' of '{path}' must be floating point, not {found}")
    dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
    if len(dims) not in (3, 4):
        raise ToolflowError(
            f"input '{inputs[0].name}' of '{path}' must have the shape (N, C, H, W), or (N, C, length) of a signal, "
            f"not {_text(kind)}"
        )
    if channels_last:
        dims = [dims[0], dims[-1], *dims[1:-1]]
    if wanted is not None:
        fits = len(wanted) == len(dims) - 1
        if not fits or any(own > 0 and own != size for own, size in zip(dims[1:], wanted, strict=True)):
            raise ToolflowError(f"input '{inputs[0].name}' of '{path}' has the shape {_text(kind)}, not {wanted}")
        dims[1:] = wanted
    if min(dims[1:]) < 1:
        sizes = "channels, height and width" if len(dims) == 4 else "channels and length"
        letters = "C,H,W" if len(dims) == 4 else "C,LENGTH"
        raise UnknownShapeError(
            f"{sizes} of input '{inputs[0].name}' must be known, not {_text(kind)}; give the input's shape as "
            f"--input-shape {letters}, or export with fixed sizes"
        )
    return inputs[0], max(dims[0], 1), tuple(dims[1:])


def _text(kind: onnx.TypeProto.Tensor) -> str:
    return "(" + ", ".join(dim.dim_param or str(dim.dim_value or "?") for dim in kind.shape.dim) + ")"


def stated_shapes(model: ModelProto) -> Mapping[str, Shape]:
    """Return the shapes, without the batch, that the file itself states for inner tensors; only static ones."""
    found = {}
    for entry in model.graph.value_info:
        dims = [dim.dim_value for dim in entry.type.tensor_type.shape.dim[1:]]
        if dims and min(dims) > 0:
            found[entry.name] = tuple(dims)
    return found


def output_shape(
    node: NodeProto, opset: int, inputs: Mapping[str, Shape | npt.NDArray[Any]], batch: int
) -> Shape | None:
    """Return the shape, without the batch, that ONNX itself infers for a node's first output, None if it cannot.

    It only serves to go on behind a node that cannot be imported.

    Args:
        node: the node.
        opset: version of the standard operators.
        inputs: shape without the batch of each computed input, value of each constant one.
        batch: images at once.
    """
    if node.domain not in ("", "ai.onnx") or node.op_type == "Slice":  # Slice: ends the process on absurd constants
        return None
    types, data = {}, {}
    for name, value in inputs.items():
        if isinstance(value, tuple):
            types[name] = helper.make_tensor_type_proto(TensorProto.FLOAT, (batch, *value))
        else:
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            types[name] = helper.make_tensor_type_proto(kind, value.shape)
            data[name] = numpy_helper.from_array(value, name)
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
        outputs = onnx.shape_inference.infer_node_outputs(schema, node, types, data)
    except Exception:  # whatever the native code raises: the shape is then unknown
        return None
    if node.output[0] not in outputs:
        return None
    dims = [dim.dim_value for dim in outputs[node.output[0]].tensor_type.shape.dim]
    return tuple(dims[1:]) if len(dims) > 1 and min(dims) > 0 and dims[0] == batch else None


def constants(model: ModelProto, path: Path) -> Mapping[str, npt.NDArray[Any]]:
    """Return the initialisers.

    Raises:
        ToolflowError: one holds another amount of data than its shape says, or is of an unknown type.
    """
    arrays = {}
    for tensor in model.graph.initializer:
        try:
            arrays[tensor.name] = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise ToolflowError(f"the data of tensor '{tensor.name}' in '{path}' does not fit: {error}") from error
    return arrays
