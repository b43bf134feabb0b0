"""A flat vector in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator
from toolflow.operators.onnx_nodes import OnnxNode


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return Flatten."""
    return [OnnxNode("Flatten", [inputs[0]], {"axis": 1})]
