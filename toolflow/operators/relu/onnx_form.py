"""The rectifier in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator
from toolflow.operators.onnx_nodes import OnnxNode, constant
from toolflow.operators.relu.spec import Relu


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return Relu, or Clip if there is an upper bound."""
    assert isinstance(op, Relu)
    if op.upper is None:
        return [OnnxNode("Relu", [inputs[0]])]
    return [OnnxNode("Clip", [inputs[0], constant(0.0).reshape(()), constant(op.upper).reshape(())])]
