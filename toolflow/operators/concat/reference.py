"""Concatenation of integers of one scale along the channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.integers import Integers, Types


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return the operands side by side.

    Raises:
        ValueError: their types or scales differ; the quantiser must have unified them.
    """
    kinds = {types[name] for name in (*node.inputs, node.name)}
    if len(kinds) > 1:
        raise ValueError(
            f"concat '{node.name}': all operands must have one type and scale, not {sorted(map(str, kinds))}"
        )
    return np.concatenate(inputs, axis=-1)
