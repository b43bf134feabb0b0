"""A network as plain data: drawn, shrunk, written as JSON, and turned into an ONNX model.

Weights are not stored. They follow from the network's seed, the step's name and style, and the shape. A smaller
network therefore always has fitting weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]
Numbers = Mapping[str, tuple[int, ...]]

IMAGE = "image"
OPSET = 17
STYLES = ("normal", "dead", "zero", "biased", "uneven", "extreme", "tiny")


class InvalidNetworkError(Exception):
    """The steps of a network do not fit together."""


@dataclass(frozen=True)
class Step:
    """One operator.

    Attributes:
        name: name of the step and of its output tensor.
        kind: a key of `_SHAPES`.
        inputs: names of the input tensors.
        numbers: attributes; each is a tuple.
        style: distribution of the weights, one of `STYLES`.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    numbers: Numbers = field(default_factory=dict)
    style: str = "normal"


@dataclass(frozen=True)
class Network:
    """Steps from one image to one output.

    Attributes:
        seed: seed of the weights.
        shape: shape (C, H, W) of the image.
        steps: steps in topological order; the last one gives the output.
    """

    seed: int
    shape: Shape
    steps: tuple[Step, ...]

    @property
    def output(self) -> str:
        """Name of the output tensor."""
        return self.steps[-1].name if self.steps else IMAGE

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of every tensor, without the batch.

        Raises:
            InvalidNetworkError: a step does not fit its inputs, or there is no step.
        """
        if not self.steps or min(self.shape) < 1:
            raise InvalidNetworkError("there must be an image and a step")
        found = {IMAGE: self.shape}
        for step in self.steps:
            if any(name not in found for name in step.inputs):
                raise InvalidNetworkError(f"{step.name} reads a tensor that is not there")
            found[step.name] = _SHAPES[step.kind](step.numbers, [found[name] for name in step.inputs])
            if min(found[step.name]) < 1:
                raise InvalidNetworkError(f"{step.name} is empty")
        return found

    def without_unread(self) -> Network:
        """Return the network without the steps that the output does not need."""
        needed, kept = {self.output}, []
        for step in reversed(self.steps):
            if step.name in needed:
                needed.update(step.inputs)
                kept.append(step)
        return replace(self, steps=tuple(reversed(kept)))

    def as_json(self) -> dict[str, Any]:
        """Return the network as a JSON document."""
        return asdict(self)

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Network:
        """Read the output of `as_json`."""
        steps = tuple(
            Step(
                s["name"],
                s["kind"],
                tuple(s["inputs"]),
                {name: tuple(values) for name, values in s["numbers"].items()},
                s["style"],
            )
            for s in document["steps"]
        )
        return cls(document["seed"], tuple(document["shape"]), steps)

    def to_onnx(self) -> onnx.ModelProto:
        """Return the network as an ONNX model with weights.

        Raises:
            InvalidNetworkError: the steps do not fit together.
        """
        shapes = self.shapes()
        nodes: list[onnx.NodeProto] = []
        constants: list[onnx.TensorProto] = []
        for step in self.steps:
            weights = _weights(step, shapes[step.inputs[0]], self.seed)
            constants += [numpy_helper.from_array(array, f"{step.name}.{name}") for name, array in weights.items()]
            named = [*step.inputs, *(f"{step.name}.{name}" for name in weights)]
            operator, attributes = _operator(step)
            nodes.append(helper.make_node(operator, named, [step.name], name=step.name, **attributes))
        image = helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, ["N", *self.shape])
        output = helper.make_tensor_value_info(self.output, TensorProto.FLOAT, ["N", *shapes[self.output]])
        graph = helper.make_graph(nodes, "fuzzed", [image], [output], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _windows(numbers: Numbers, shape: Shape, channels: int) -> Shape:
    if len(shape) != 3:
        raise InvalidNetworkError("windows need a map")
    sizes = []
    for axis in (0, 1):
        top, bottom = numbers["pads"][axis], numbers["pads"][axis + 2]
        stride, dilation = numbers["strides"][axis], numbers.get("dilations", (1, 1))[axis]
        reach = dilation * (numbers["kernel"][axis] - 1) + 1
        room = shape[1 + axis] + top + bottom - reach
        if room < 0:
            raise InvalidNetworkError("the window is larger than the map")
        if numbers.get("ceil", (0,))[0]:
            size = -(-room // stride) + 1
            if (size - 1) * stride >= shape[1 + axis] + top:
                raise InvalidNetworkError("a window begins behind the map: ONNX tools disagree on whether it counts")
        else:
            size = room // stride + 1
        sizes.append(size)
    return channels, sizes[0], sizes[1]


def _conv(numbers: Numbers, shapes: list[Shape]) -> Shape:
    (outputs,), (groups,) = numbers["outputs"], numbers["groups"]
    if outputs % groups or shapes[0][0] % groups:
        raise InvalidNetworkError("groups must divide the channels")
    return _windows(numbers, shapes[0], outputs)


def _pool(numbers: Numbers, shapes: list[Shape]) -> Shape:
    if any(numbers["pads"][i] >= numbers["kernel"][i % 2] for i in range(4)):
        raise InvalidNetworkError("a window must overlap the map")
    return _windows(numbers, shapes[0], shapes[0][0])


def _global(numbers: Numbers, shapes: list[Shape]) -> Shape:
    if len(shapes[0]) != 3:
        raise InvalidNetworkError("global pooling needs a map")
    return shapes[0][0], 1, 1


def _same(numbers: Numbers, shapes: list[Shape]) -> Shape:
    if any(shape != shapes[0] for shape in shapes):
        raise InvalidNetworkError("shapes must be equal")
    return shapes[0]


def _concat(numbers: Numbers, shapes: list[Shape]) -> Shape:
    if any(shape[1:] != shapes[0][1:] for shape in shapes):
        raise InvalidNetworkError("maps must have equal height and width")
    return sum(shape[0] for shape in shapes), *shapes[0][1:]


def _pad(numbers: Numbers, shapes: list[Shape]) -> Shape:
    if len(shapes[0]) != 3:
        raise InvalidNetworkError("pads need a map")
    top, left, bottom, right = numbers["pads"]
    return shapes[0][0], shapes[0][1] + top + bottom, shapes[0][2] + left + right


def _flatten(numbers: Numbers, shapes: list[Shape]) -> Shape:
    return (int(np.prod(shapes[0])),)


def _linear(numbers: Numbers, shapes: list[Shape]) -> Shape:
    if len(shapes[0]) != 1:
        raise InvalidNetworkError("a linear layer needs a vector")
    return (numbers["outputs"][0],)


_SHAPES = {
    "conv": _conv, "linear": _linear, "batch_norm": _same, "relu": _same, "relu6": _same, "max_pool": _pool,
    "avg_pool": _pool, "global_avg": _global, "global_max": _global, "add": _same, "concat": _concat, "pad": _pad,
    "flatten": _flatten,
}  # fmt: skip

_NAMES = {
    "linear": "Gemm", "batch_norm": "BatchNormalization", "relu": "Relu", "global_avg": "GlobalAveragePool",
    "global_max": "GlobalMaxPool", "add": "Add", "flatten": "Flatten", "pad": "Pad", "relu6": "Clip",
}  # fmt: skip


def _operator(step: Step) -> tuple[str, dict[str, Any]]:
    """Return a step's ONNX operator and attributes."""
    n = step.numbers
    match step.kind:
        case "conv":
            return "Conv", {
                "kernel_shape": n["kernel"], "strides": n["strides"], "pads": n["pads"], "dilations": n["dilations"],
                "group": n["groups"][0],
            }  # fmt: skip
        case "max_pool":
            windows = {"kernel_shape": n["kernel"], "strides": n["strides"], "pads": n["pads"]}
            return "MaxPool", {**windows, "ceil_mode": n["ceil"][0]}
        case "avg_pool":
            windows = {"kernel_shape": n["kernel"], "strides": n["strides"], "pads": n["pads"]}
            return "AveragePool", {**windows, "ceil_mode": n["ceil"][0], "count_include_pad": n["count_pads"][0]}
        case "concat":
            return "Concat", {"axis": 1}
        case "linear":
            return "Gemm", {"transB": 1}
        case _:
            return _NAMES[step.kind], {}


def _weights(step: Step, shape: Shape, seed: int) -> dict[str, npt.NDArray[Any]]:
    """Return a step's constants in the order of its ONNX inputs."""
    rng = np.random.default_rng([seed, zlib.crc32(step.name.encode())])
    match step.kind:
        case "conv":
            (outputs,), (groups,) = step.numbers["outputs"], step.numbers["groups"]
            return _layer(rng, step.style, (outputs, shape[0] // groups, *step.numbers["kernel"]))
        case "linear":
            return _layer(rng, step.style, (step.numbers["outputs"][0], shape[0]))
        case "batch_norm":
            return _norm(rng, step.style, shape[0])
        case "relu6":
            return {"min": np.array(0, np.float32), "max": np.array(6, np.float32)}
        case "pad":
            top, left, bottom, right = step.numbers["pads"]
            return {"pads": np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)}
        case _:
            return {}


def _layer(rng: np.random.Generator, style: str, shape: Shape) -> dict[str, npt.NDArray[Any]]:
    outputs = shape[0]
    scale = np.sqrt(2 / np.prod(shape[1:]))
    weight, bias = rng.normal(0, scale, shape), rng.normal(0, 0.2, outputs)
    each = (outputs,) + (1,) * (len(shape) - 1)
    match style:
        case "dead":
            alive = rng.random(outputs) < 0.6
            weight, bias = weight * alive.reshape(each), bias * alive
        case "zero":
            weight = np.zeros(shape)
        case "biased":
            bias = rng.normal(0, 30, outputs)
        case "uneven":
            weight = weight * 2.0 ** rng.uniform(-8, 4, each)
        case "extreme":
            weight, bias = scale * rng.choice([-1.0, 1.0], shape), scale * rng.choice([-1.0, 1.0], outputs)
        case "tiny":
            weight, bias = weight * 1e-6, bias * 1e-6
    return {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}


def _norm(rng: np.random.Generator, style: str, channels: int) -> dict[str, npt.NDArray[Any]]:
    scale, bias = rng.normal(1, 0.4, channels), rng.normal(0, 0.4, channels)
    mean, variance = rng.normal(0, 0.4, channels), rng.uniform(0.2, 2, channels)
    if style == "dead":
        scale = scale * (rng.random(channels) < 0.6)
    if style == "uneven":
        variance = 10.0 ** rng.uniform(-6, 2, channels)
    arrays = {"scale": scale, "bias": bias, "mean": mean, "variance": variance}
    return {name: array.astype(np.float32) for name, array in arrays.items()}
