"""Integer max pooling: a comparison, no rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.integers import Integers, Types, windows
from toolflow.operators.max_pool.spec import MaxPool


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return (N, H', W', C); what lies outside the map never wins."""
    op = node.op
    assert isinstance(op, MaxPool)
    (x,) = inputs
    _, height, width = op.infer_shape([(x.shape[3], x.shape[1], x.shape[2])], {})
    columns = windows(x, op.kernel, op.stride, op.pads, op.dilation, (height, width), fill=-np.inf)
    return np.asarray(columns.max(axis=3))
