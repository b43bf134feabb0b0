"""Concatenation in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator
from toolflow.operators.onnx_nodes import OnnxNode


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return Concat."""
    return [OnnxNode("Concat", list(inputs), {"axis": 1})]
