"""Average pooling is a depthwise convolution with weights of one; the divisor is in the multiplier."""

from __future__ import annotations

from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.convolution import Convolution, convolution, depthwise_ones


def hardware(node: QuantisedNode, source: Shape) -> Convolution:
    """Return the node as the engine runs it."""
    op = node.op
    assert isinstance(op, AvgPool)
    weight = depthwise_ones(source[0], op.kernel)
    return convolution(node, weight, 2, groups=source[0], stride=op.stride, pads=op.pads)
