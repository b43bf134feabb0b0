"""Max pooling is the engine's own operation."""

from __future__ import annotations

from toolflow.engine.steps import Window
from toolflow.ir.operator import Operator
from toolflow.operators.max_pool.spec import MaxPool


def window(op: Operator) -> Window:
    """Return the window over which the engine takes the maximum."""
    assert isinstance(op, MaxPool)
    return Window(op.kernel, op.stride, (op.pads[0], op.pads[1]), op.dilation)
