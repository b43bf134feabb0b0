"""A depthwise convolution with weights of -1."""

from __future__ import annotations

from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.convolution import Convolution, convolution, depthwise_ones


def hardware(node: QuantisedNode, source: Shape) -> Convolution:
    """Return the node as the engine runs it."""
    return convolution(node, -depthwise_ones(source[0], (1, 1)), 2, groups=source[0])
