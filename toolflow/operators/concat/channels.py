"""A concatenation has the channels of its operands, one operand after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.channels import Classes, Mask, Ties


def tied(op: Operator, inputs: Sequence[Classes], shapes: Sequence[Shape], weights: Weights, ties: Ties) -> Classes:
    """Return the operands' classes."""
    return np.concatenate(inputs)


def narrowed(op: Operator, inputs: Sequence[Mask], output: Mask, weights: Weights) -> tuple[Operator, Weights]:
    """Return the operator as it is."""
    return op, weights
