"""Compute the constant parts of an ONNX graph, such as the shape arithmetic of exporters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper
from onnx.reference import ReferenceEvaluator

FOLDED = frozenset(
    {
        "Add", "Cast", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape", "DequantizeLinear", "Div", "Equal",
        "Expand", "Flatten", "Floor", "Gather", "Identity", "Mod", "Mul", "Neg", "Pow", "QuantizeLinear", "ReduceProd",
        "Reshape", "Shape", "Slice", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip
MAX_ELEMENTS = 1 << 28
# onnx's reference has these from a later version on, which means the same where the node has only older attributes.
EVALUATED_SINCE = {"DequantizeLinear": 19, "QuantizeLinear": 19}


class CannotFoldError(Exception):
    """A node of constants is not in `FOLDED`, or its result would be absurdly large."""


def fold(node: NodeProto, opset: int, inputs: Sequence[npt.NDArray[Any] | None]) -> npt.NDArray[Any]:
    """Return the first output of a node whose inputs are all constant; None is an absent input.

    Raises:
        CannotFoldError: see there.
    """
    if node.op_type not in FOLDED:
        raise CannotFoldError(f"all inputs of {node.op_type}")
    shape = {"ConstantOfShape": 0, "Expand": 1}.get(node.op_type)
    target = inputs[shape] if shape is not None else None
    if target is not None and math.prod(int(size) for size in target) > MAX_ELEMENTS:
        raise CannotFoldError(f"a shape of {target.tolist()}")
    node = _without_default_type(node, inputs)
    known = {name: array for name, array in zip(node.input, inputs, strict=True) if array is not None}
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in known.items()
    ]
    output = helper.make_empty_tensor_value_info(node.output[0])
    version = helper.make_opsetid("", max(opset, EVALUATED_SINCE.get(node.op_type, 0)))
    model = helper.make_model(helper.make_graph([node], "constant", infos, [output]), opset_imports=[version])
    try:
        (result,) = ReferenceEvaluator(model).run([node.output[0]], known)
    except Exception as error:  # the evaluator raises whatever its numpy code does
        raise CannotFoldError(f"{node.op_type} failed: {error}") from error
    return np.asarray(result)


def _without_default_type(node: NodeProto, inputs: Sequence[npt.NDArray[Any] | None]) -> NodeProto:
    """Return a DequantizeLinear without an `output_dtype` that says the type of its scale again.

    onnx has no reference of the operator with that attribute.
    """
    scale = inputs[1] if len(inputs) > 1 else None
    if node.op_type != "DequantizeLinear" or scale is None:
        return node
    default = (0, helper.np_dtype_to_tensor_dtype(scale.dtype))
    kept = [entry for entry in node.attribute if entry.name != "output_dtype" or entry.i not in default]
    plain = helper.make_node(node.op_type, node.input, node.output, node.name)
    plain.attribute.extend(kept)
    return plain
