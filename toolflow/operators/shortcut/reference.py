"""Sub-sampling and zero channels: moves integers, rounds nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.integers import Integers, Types
from toolflow.operators.shortcut.spec import Shortcut


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return (N, ceil(H / sv), ceil(W / sh), before + C + after)."""
    op = node.op
    assert isinstance(op, Shortcut)
    (x,) = inputs
    return np.pad(x[:, :: op.stride[0], :: op.stride[1]], ((0, 0), (0, 0), (0, 0), (op.before, op.after)))
