"""A feature map as a flat vector, in channel, row, column order."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.integers import Integers, Types


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return (N, C·H·W); a flat vector stays as it is."""
    (x,) = inputs
    return x if x.ndim == 2 else x.transpose(0, 3, 1, 2).reshape(len(x), -1)
