"""What a QONNX file means: its nodes evaluated in float64, one after the other, without the importer.

It reads the protobuf itself and knows only the operators of the files that the tests evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
import torch.nn.functional as functional
from onnx import helper, numpy_helper

FloatArray = npt.NDArray[np.float64]
Tensor = torch.Tensor


def evaluate(model: Path | onnx.ModelProto, x: FloatArray) -> dict[str, FloatArray]:
    """Return every tensor of a file for a float64 input (N, C, H, W); a file's fixed batch is not minded."""
    graph = (onnx.load(str(model)) if isinstance(model, Path) else model).graph
    stored = {t.name for t in graph.initializer}
    live: dict[str, Tensor] = {t.name: torch.as_tensor(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    live = {name: t.double() if t.is_floating_point() else t for name, t in live.items()}
    (image,) = (entry.name for entry in graph.input if entry.name not in stored)
    live[image] = torch.as_tensor(x)
    for node in graph.node:
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        operands = [live[name] for name in node.input if name]
        live[node.output[0]] = MEANINGS[node.op_type](operands, attributes)
    return {node.output[0]: live[node.output[0]].numpy() for node in graph.node}


def _quant(operands: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    x, scale, zero, bits = operands
    count = 2.0 ** float(bits)
    signed, narrow = attributes["signed"], attributes["narrow"]
    low, high = (-count / 2 + narrow, count / 2 - 1) if signed else (0.0, count - 1 - narrow)
    rounding = {b"ROUND": torch.round, b"FLOOR": torch.floor, b"CEIL": torch.ceil}[attributes["rounding_mode"]]
    return (torch.clamp(rounding(x / scale + zero), low, high) - zero) * scale


def _bipolar(operands: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    x, scale = operands
    return torch.where(x >= 0, 1.0, -1.0).double() * scale


def _trunc(operands: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    x, scale, zero, before, after = operands
    return (torch.floor(torch.round(x / scale + zero) / 2.0 ** float(before - after)) - zero) * scale


def _conv(operands: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    x = functional.pad(operands[0], (left, right, top, bottom))
    return functional.conv2d(
        x, operands[1], operands[2] if len(operands) > 2 else None, attributes.get("strides", (1, 1)), 0,
        attributes.get("dilations", (1, 1)), attributes.get("group", 1),
    )  # fmt: skip


def _batch_norm(operands: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    x, scale, bias, mean, variance = operands
    view = (1, -1, *[1] * (x.ndim - 2))
    return (x - mean.view(view)) / torch.sqrt(variance.view(view) + attributes["epsilon"]) * scale.view(view) + (
        bias.view(view)
    )


def _max_pool(operands: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    return functional.max_pool2d(operands[0], attributes["kernel_shape"], attributes["strides"])


def _gemm(operands: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    weight = operands[1].T if attributes.get("transB", 0) else operands[1]
    product = operands[0] @ weight
    return product + operands[2] if len(operands) > 2 else product


MEANINGS: Mapping[str, Callable[[Sequence[Tensor], Mapping[str, Any]], Tensor]] = {
    "Add": lambda operands, _: operands[0] + operands[1],
    "AveragePool": lambda operands, a: functional.avg_pool2d(operands[0], a["kernel_shape"], a["strides"]),
    "BatchNormalization": _batch_norm,
    "BipolarQuant": _bipolar,
    "Concat": lambda operands, a: torch.cat(list(operands), a["axis"]),
    "Conv": _conv,
    "Flatten": lambda operands, _: operands[0].flatten(1),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda operands, _: operands[0].mean(dim=(2, 3), keepdim=True),
    "MatMul": lambda operands, _: operands[0] @ operands[1],
    "MaxPool": _max_pool,
    "Mul": lambda operands, _: operands[0] * operands[1],
    "Quant": _quant,
    "Relu": lambda operands, _: torch.relu(operands[0]),
    "Reshape": lambda operands, _: operands[0].reshape(len(operands[0]), -1),
    "Transpose": lambda operands, a: operands[0].permute(*a["perm"]),
    "Trunc": _trunc,
}
