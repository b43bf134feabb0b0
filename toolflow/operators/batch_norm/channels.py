"""A batch normalisation keeps every channel apart, with values of its own."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.channels import Classes, Mask, Ties


def tied(op: Operator, inputs: Sequence[Classes], shapes: Sequence[Shape], weights: Weights, ties: Ties) -> Classes:
    """Return the operand's classes."""
    return inputs[0]


def narrowed(op: Operator, inputs: Sequence[Mask], output: Mask, weights: Weights) -> tuple[Operator, Weights]:
    """Return the operator, and the values of the channels that stay."""
    return op, {name: values[output] for name, values in weights.items()}
