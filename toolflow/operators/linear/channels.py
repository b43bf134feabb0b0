"""A fully connected layer makes channels of its own from the elements that it reads."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.channels import Classes, Mask, Ties


def tied(op: Operator, inputs: Sequence[Classes], shapes: Sequence[Shape], weights: Weights, ties: Ties) -> Classes:
    """Return new classes, tied to a residual's."""
    made = ties.fresh(len(weights["weight"]))
    for residual in inputs[1:]:
        ties.tie(made, residual)
    return made


def narrowed(op: Operator, inputs: Sequence[Mask], output: Mask, weights: Weights) -> tuple[Operator, Weights]:
    """Return the operator, and the rows and columns of the elements that stay."""
    return op, {"weight": weights["weight"][output][:, inputs[0]], "bias": weights["bias"][output]}
