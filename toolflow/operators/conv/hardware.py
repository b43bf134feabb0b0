"""A convolution is the engine's own operation."""

from __future__ import annotations

import numpy as np

from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.conv.spec import Conv
from toolflow.operators.convolution import Convolution, convolution


def hardware(node: QuantisedNode, source: Shape) -> Convolution:
    """Return the node as the engine runs it."""
    op = node.op
    assert isinstance(op, Conv)
    weight = node.weights["weight"].astype(np.int64)
    return convolution(node, weight, node.weight_bits, op.groups, op.stride, op.pads, op.dilation, pattern=op.pattern)
