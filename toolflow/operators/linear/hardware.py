"""A fully connected layer is a convolution whose kernel is the whole map."""

from __future__ import annotations

import numpy as np

from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.convolution import Convolution, convolution


def hardware(node: QuantisedNode, source: Shape) -> Convolution:
    """Return the node as the engine runs it, on the map (C, H, W) that was flattened into its input."""
    weight = node.weights["weight"].astype(np.int64)
    return convolution(node, weight.reshape(len(weight), *source), node.weight_bits)
