"""Batch normalisation in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator
from toolflow.operators.batch_norm.spec import BatchNorm
from toolflow.operators.onnx_nodes import OnnxNode


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return BatchNormalization."""
    assert isinstance(op, BatchNorm)
    weights = [f"{name}.{weight}" for weight in ("scale", "bias", "mean", "variance")]
    return [OnnxNode("BatchNormalization", [inputs[0], *weights], {"epsilon": op.eps})]
