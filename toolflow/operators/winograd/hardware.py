"""A convolution of the engine whose taps are those of the transformed tile."""

from __future__ import annotations

import numpy as np

from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.convolution import Convolution, convolution
from toolflow.operators.winograd.spec import WinogradConv


def hardware(node: QuantisedNode, source: Shape) -> Convolution:
    """Return the node as the engine runs it."""
    op = node.op
    assert isinstance(op, WinogradConv)
    weight = node.weights["weight"].astype(np.int64)
    exponent = node.weights["exponent"].astype(np.int64)
    return convolution(
        node, weight, node.weight_bits, pads=op.pads, tile=op.tile, exponent=exponent, pattern=op.pattern
    )
