"""Integer average pooling: sum · multiplier / 2^shift, one rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolflow.ir.quantised import QuantisedNode
from toolflow.numerics.accumulator import exact_float
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.integers import Integers, Types, apply_requantise, rule_of, windows


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return (N, H', W', C); the divisor, one for every window, is inside the multiplier."""
    op = node.op
    assert isinstance(op, AvgPool)
    (x,) = inputs
    _, height, width = op.infer_shape([(x.shape[3], x.shape[1], x.shape[2])], {})
    columns = windows(x, op.kernel, op.stride, op.pads, (1, 1), (height, width))
    operand = types[node.inputs[0]].integer
    dtype = exact_float(op.kernel[0] * op.kernel[1] * max(operand.upper, -operand.lower))
    return apply_requantise(np.asarray(columns.sum(axis=3, dtype=dtype)), rule_of(node))
