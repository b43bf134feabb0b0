"""Zeros around a map: moves integers, rounds nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.integers import Integers, Types
from toolflow.operators.pad.spec import Pad


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return the enlarged map."""
    op = node.op
    assert isinstance(op, Pad)
    (x,) = inputs
    top, left, bottom, right = op.pads
    channels = (op.channels_before, op.channels_after)
    return np.pad(x, ((0, 0), (top, bottom), (left, right), channels))
