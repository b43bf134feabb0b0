"""Integer fully connected layer: exact sums, one requantisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.integers import Integers, Types, apply_requantise, product, rule_of


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return (N, K) from x (N, F) and optionally a residual (N, K)."""
    weight = node.weights["weight"].astype(np.int64)
    accumulators = product(inputs[0], weight, types[node.inputs[0]].integer)
    return apply_requantise(accumulators, rule_of(node), *inputs[1:])
