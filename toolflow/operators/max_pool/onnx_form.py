"""Max pooling in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator
from toolflow.operators.max_pool.spec import MaxPool
from toolflow.operators.onnx_nodes import OnnxNode


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return MaxPool."""
    assert isinstance(op, MaxPool)
    window = {"kernel_shape": op.kernel, "strides": op.stride, "pads": op.pads, "dilations": op.dilation}
    return [OnnxNode("MaxPool", [inputs[0]], {**window, "ceil_mode": int(op.ceil_mode)})]
