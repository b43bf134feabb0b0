"""Negated integers, requantised."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.integers import Integers, Types, apply_requantise, rule_of


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return -x · multiplier, shifted, rounded and clipped."""
    return apply_requantise(-inputs[0], rule_of(node))
