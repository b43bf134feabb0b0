"""The fully connected layer in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator
from toolflow.operators.onnx_nodes import OnnxNode


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return Gemm."""
    return [OnnxNode("Gemm", [inputs[0], f"{name}.weight", f"{name}.bias"], {"transB": 1})]
