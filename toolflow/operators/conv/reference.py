"""Integer convolution: exact sums, one requantisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.conv.spec import Conv
from toolflow.operators.integers import Integers, Types, apply_requantise, product, rule_of, windows


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return (N, H', W', K) from x (N, H, W, C) and optionally a residual (N, H', W', K)."""
    return apply_requantise(accumulate(node, inputs[0], types), rule_of(node), *inputs[1:])


def accumulate(node: QuantisedNode, x: Integers, types: Types) -> Integers:
    """Return the accumulators before bias and requantisation."""
    op = node.op
    assert isinstance(op, Conv)
    weight = node.weights["weight"].astype(np.int64)
    outputs, depth, kernel_h, kernel_w = weight.shape
    shape = op.infer_shape([(x.shape[3], x.shape[1], x.shape[2])], {"weight": weight})
    columns = windows(x, (kernel_h, kernel_w), op.stride, op.pads, op.dilation, (shape[1], shape[2]))
    operand = types[node.inputs[0]].integer
    per_group = outputs // op.groups
    parts = []
    for group in range(op.groups):
        mine = columns[..., group * depth : (group + 1) * depth]
        rows = weight[group * per_group : (group + 1) * per_group].transpose(0, 2, 3, 1).reshape(per_group, -1)
        parts.append(product(mine.reshape(*mine.shape[:3], -1), rows, operand))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=3)
