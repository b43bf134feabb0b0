"""The convolution in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator
from toolflow.operators.conv.spec import Conv
from toolflow.operators.onnx_nodes import OnnxNode


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return Conv."""
    assert isinstance(op, Conv)
    attributes = {"strides": op.stride, "pads": op.pads, "dilations": op.dilation, "group": op.groups}
    return [OnnxNode("Conv", [inputs[0], f"{name}.weight", f"{name}.bias"], attributes)]
