"""Average pooling in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.onnx_nodes import OnnxNode, constant


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return AveragePool; with a divisor of its own a factor follows."""
    assert isinstance(op, AvgPool)
    window = {"kernel_shape": op.kernel, "strides": op.stride, "pads": op.pads, "ceil_mode": int(op.ceil_mode)}
    own = op.divisor_override is not None
    pool = OnnxNode("AveragePool", [inputs[0]], {**window, "count_include_pad": int(op.count_include_pad or own)})
    if op.divisor_override is None:
        return [pool]
    if op.ceil_mode:
        raise ValueError("an average pool with a divisor of its own must have no ceil mode")
    return [pool, OnnxNode("Mul", ["", constant(op.kernel[0] * op.kernel[1] / op.divisor_override)])]
