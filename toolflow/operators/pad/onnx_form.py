"""Padding in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator
from toolflow.operators.onnx_nodes import OnnxNode, constant
from toolflow.operators.pad.spec import Pad


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return Pad."""
    assert isinstance(op, Pad)
    top, left, bottom, right = op.pads
    pads = constant(0, op.channels_before, top, left, 0, op.channels_after, bottom, right)
    return [OnnxNode("Pad", [inputs[0], pads])]
