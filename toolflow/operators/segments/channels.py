"""A function of single values keeps every channel apart."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.channels import Classes, Mask, Ties


def tied(op: Operator, inputs: Sequence[Classes], shapes: Sequence[Shape], weights: Weights, ties: Ties) -> Classes:
    """Return the operand's classes."""
    return inputs[0]


def narrowed(op: Operator, inputs: Sequence[Mask], output: Mask, weights: Weights) -> tuple[Operator, Weights]:
    """Return the operator as it is."""
    return op, weights
