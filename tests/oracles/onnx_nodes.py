"""The standard's own examples of each operator (`onnx.backend.test`), as networks of one image.

Each example is a node with inputs and the outputs that it must give. An importer reads networks of one input, so one or
all of the example's float inputs become the image and the others constants. The image is a batch along axis 0; with
fewer than three or more than four axes it reaches the node through a Reshape. A node that only moves elements is no
network alone: a linear layer of ones on the diagonal follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

from quant.float_network import model_output
from toolflow.importers.onnx.importer import import_onnx
from toolflow.ir.errors import ToolflowError, UnsupportedModelError
from toolflow.ir.graph import Graph
from toolflow.passes.pipeline import simplify

Array = npt.NDArray[Any]
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
LARGEST_LAYER = 1024
RTOL = 1e-3  # the standard's own tolerance
ATOL = {2: 1e-2, 4: 1e-5, 8: 1e-7}  # by bytes of the expected numbers


@dataclass(frozen=True)
class Example:
    """A folder of `onnx.backend.test`.

    Attributes:
        name: of the folder, without "test_".
        operator: that the example is about; some examples write it as other operators.
        model: the example's model.
        inputs: in the model's order; empty if one of them is a sequence.
        output: the first one; None if there is no array.
    """

    name: str
    operator: str
    model: ModelProto
    inputs: tuple[Array, ...]
    output: Array | None


@dataclass(frozen=True)
class Outcome:
    """What became of an example.

    Attributes:
        imports: whether the importer took it.
        reason: why it did not, or how the result differs; "" if it is right.
    """

    imports: bool
    reason: str


def examples(operators: Collection[str] | None = None) -> Iterator[Example]:
    """Yield the examples of some operators, of all by default, in the order of their names."""
    found = find_spec("onnx.backend.test")
    assert found is not None
    assert found.origin is not None
    known: dict[str, str] = {}
    for folder in sorted((Path(found.origin).parent / "data" / "node").iterdir()):
        model = onnx.load_model(folder / "model.onnx")
        name = folder.name.removeprefix("test_")
        known[name] = next((node.op_type for node in model.graph.node if node.op_type != "Constant"), "Constant")
        operator = known.get(name.partition("_expanded")[0], known[name])
        if operators is None or operator in operators:
            yield Example(name, operator, model, *_data(folder / "test_data_set_0", len(model.graph.input)))


def _data(folder: Path, inputs: int) -> tuple[tuple[Array, ...], Array | None]:
    """Return the inputs and the first output; nothing if one of them is a sequence or of an unknown type."""
    try:
        return tuple(_read(folder / f"input_{i}.pb") for i in range(inputs)), _read(folder / "output_0.pb")
    except Exception:  # whatever the parser raises at a file that holds no tensor
        return (), None


def _read(path: Path) -> Array:
    return numpy_helper.to_array(onnx.load_tensor(path))


def outcome(example: Example, folder: Path) -> Outcome:
    """Import an example in each of its forms; compare the first that imports with the expected output.

    Args:
        example: the example.
        folder: where the model is written.
    """
    reasons = []
    for made in _forms(example):
        path = folder / "model.onnx"
        path.write_bytes(made.model.SerializeToString())
        try:
            graph = import_onnx(path)
            simple = simplify(graph)
            image = made.image_of(graph)
            found = [_run(graph, image), _run(simple, image)[:, int(simple.binary) :]]
        except UnsupportedModelError as error:
            reasons.append(str(error.problems[0]))
            continue
        except ToolflowError as error:
            reasons.append(str(error).replace(str(path), "model.onnx"))
            continue
        return Outcome(True, next(filter(None, (_difference(example, each) for each in found)), ""))
    return Outcome(False, reasons[0] if reasons else "no float input with a batch")


@dataclass(frozen=True)
class _Form:
    model: ModelProto
    image: Array  # as the model takes it

    def image_of(self, graph: Graph) -> Array:
        """Return the image as (N, C, H, W); a graph that begins with a transpose took it for one with channels last."""
        signal = self.image.ndim == 3
        whole = self.image[:, :, None] if signal else self.image
        if whole.shape[1:] == graph.input_shape:
            return whole
        return np.moveaxis(self.image[:, None] if signal else self.image, -1, 1)


def _forms(example: Example) -> Iterator[_Form]:
    """Yield the example with its first float input as the image, then with all of one shape as parts of it."""
    if example.output is None:
        return
    shapes = [np.shape(value) for value in example.inputs]
    kinds = [entry.type.tensor_type.elem_type for entry in example.model.graph.input]
    floats = [i for i, kind in enumerate(kinds) if kind in FLOATS and len(shapes[i]) >= 2 and 0 not in shapes[i]]
    if not floats:
        return
    alike = [i for i in floats if shapes[i] == shapes[floats[0]]]
    forms = [_form(example, computed) for computed in (floats[:1], alike)]
    yield from forms[: 1 if len(alike) == 1 else 2]
    if example.output.ndim > 1 and 0 < example.output[0].size <= LARGEST_LAYER and example.output.dtype.kind == "f":
        for form in forms:
            yield _Form(_with_layer(form.model, example.output), form.image)


def _with_layer(model: ModelProto, output: Array) -> ModelProto:
    """Return a model with a linear layer of ones on the diagonal behind its output: it reads elements in any order."""
    layer = ModelProto()
    layer.CopyFrom(model)
    graph = layer.graph
    kind = graph.output[0].type.tensor_type.elem_type
    size = output[0].size
    graph.initializer.append(numpy_helper.from_array(np.eye(size, dtype=output.dtype), "identity"))
    graph.node.append(helper.make_node("Flatten", [graph.output[0].name], ["flat"], axis=1))
    graph.node.append(helper.make_node("MatMul", ["flat", "identity"], ["behind the layer"]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("behind the layer", kind, (len(output), size)))
    return layer


def _form(example: Example, computed: list[int]) -> _Form:
    """Return the example with the inputs `computed` side by side in the image, and the others constant."""
    model = ModelProto()
    model.CopyFrom(example.model)
    graph = model.graph
    names = [entry.name for entry in example.model.graph.input]
    kind = graph.input[computed[0]].type.tensor_type.elem_type
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 13)
    whole = np.concatenate([example.inputs[i] for i in computed], axis=1)
    for i, value in enumerate(example.inputs):
        if i not in computed and names[i]:
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), names[i]))
    for i in reversed(range(len(names))):
        del graph.input[i]
    first: list[Any] = []
    source = names[computed[0]] if len(computed) == 1 else "parts"
    shape = whole.shape
    if len(shape) not in (3, 4):
        shape = (*shape[:3], -1) if len(shape) > 4 else (*shape, *([1] * (4 - len(shape))))
        shape = tuple(int(np.prod(whole.shape[3:])) if size == -1 else size for size in shape)
        graph.initializer.append(numpy_helper.from_array(np.array(whole.shape), "own shape"))
        first.append(helper.make_node("Reshape", ["image", "own shape"], [source]))
    else:
        first.append(helper.make_node("Identity", ["image"], [source]))
    if len(computed) > 1:
        sizes = [example.inputs[i].shape[1] for i in computed]
        parts = [names[i] for i in computed]
        if opset < 13:
            first.append(helper.make_node("Split", [source], parts, axis=1, split=sizes))
        else:
            graph.initializer.append(numpy_helper.from_array(np.array(sizes), "sizes"))
            first.append(helper.make_node("Split", [source, "sizes"], parts, axis=1))
    nodes = [*first, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.output[1:]
    graph.input.append(helper.make_tensor_value_info("image", kind, shape))
    return _Form(model, whole.reshape(shape).astype(np.float64))


def _run(graph: Graph, image: Array) -> Array:
    with torch.no_grad():
        return np.asarray(model_output(graph, torch.from_numpy(image)).numpy())


def _softmax(scores: Array) -> Array:
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def _order(scores: Array) -> Array:
    return np.asarray(np.argsort(-scores, axis=1, kind="stable"))


# what the device or its host makes of scores where the last node is left out
FINISH: Mapping[str, Callable[[Array], Array]] = {
    "ArgMax": lambda scores: _order(scores)[:, :1],
    "LogSoftmax": lambda scores: np.log(_softmax(scores)),
    "Sigmoid": lambda scores: 1 / (1 + np.exp(-scores)),
    "Softmax": _softmax,
    "TopK": lambda scores: -np.sort(-scores, axis=1),
}


def _difference(example: Example, found: Array) -> str:
    """Return how a result differs from the example's, "" if it does not."""
    wanted = np.asarray(example.output)
    last = example.model.graph.node[-1].op_type
    finish = FINISH.get(last)
    result = found if finish is None else finish(found)
    if last == "TopK":
        result = result[:, : wanted.shape[1]]
    if result.size != wanted.size:
        return f"shape {result.shape}, not {wanted.shape}"
    atol = ATOL.get(wanted.dtype.itemsize, 1e-5)
    result, wanted = result.reshape(wanted.shape), wanted.astype(np.float64)
    if np.allclose(result, wanted, rtol=RTOL, atol=atol, equal_nan=True):
        return ""
    return f"differs by up to {np.abs(result - wanted).max():.3g}"
