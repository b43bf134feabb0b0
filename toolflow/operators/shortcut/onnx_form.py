"""The parameterless shortcut in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator
from toolflow.operators.onnx_nodes import OnnxNode, constant
from toolflow.operators.shortcut.spec import Shortcut

END = 1 << 31  # of any height and width


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return Slice, and Pad if there are channels of zeros."""
    assert isinstance(op, Shortcut)
    cut = OnnxNode("Slice", [inputs[0], constant(0, 0), constant(END, END), constant(2, 3), constant(*op.stride)])
    if op.before == op.after == 0:
        return [cut]
    return [cut, OnnxNode("Pad", ["", constant(0, op.before, 0, 0, 0, op.after, 0, 0)])]
