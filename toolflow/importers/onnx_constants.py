"""Computes the constant parts of an ONNX graph, such as the shape arithmetic that exporters emit."""

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
        "Add", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand", "Flatten", "Floor",
        "Gather", "Identity", "Mod", "Mul", "Neg", "Pow", "ReduceProd", "Reshape", "Shape", "Slice", "Sqrt", "Squeeze",
        "Sub", "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip
MAX_ELEMENTS = 1 << 28


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
    known = {name: array for name, array in zip(node.input, inputs, strict=True) if array is not None}
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in known.items()
    ]
    output = helper.make_empty_tensor_value_info(node.output[0])
    model = helper.make_model(
        helper.make_graph([node], "constant", infos, [output]), opset_imports=[helper.make_opsetid("", opset)]
    )
    try:
        (result,) = ReferenceEvaluator(model).run([node.output[0]], known)
    except Exception as error:  # the evaluator raises whatever its numpy code does
        raise CannotFoldError(f"{node.op_type} failed: {error}") from error
    return np.asarray(result)
