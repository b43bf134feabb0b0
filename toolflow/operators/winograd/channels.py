"""A Winograd layer makes channels of its own, as the convolution that it computes."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.channels import Classes, Mask, Ties


def tied(op: Operator, inputs: Sequence[Classes], shapes: Sequence[Shape], weights: Weights, ties: Ties) -> Classes:
    """Return new classes, tied to a residual's; a sparse layer keeps all that it reads."""
    if op.pattern is not None:
        ties.fix(inputs[0])
    made = ties.fresh(len(weights["weight"]))
    for residual in inputs[1:]:
        ties.tie(made, residual)
    return made


def narrowed(op: Operator, inputs: Sequence[Mask], output: Mask, weights: Weights) -> tuple[Operator, Weights]:
    """Return the operator, and the transformed kernels of the channels that stay."""
    return op, {**weights, "weight": weights["weight"][output][:, inputs[0]], "bias": weights["bias"][output]}
