"""A flat vector holds the positions of a channel one after the other, all of its class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.channels import Classes, Mask, Ties


def tied(op: Operator, inputs: Sequence[Classes], shapes: Sequence[Shape], weights: Weights, ties: Ties) -> Classes:
    """Return the class of each element."""
    return np.repeat(inputs[0], math.prod(shapes[0][1:]))


def narrowed(op: Operator, inputs: Sequence[Mask], output: Mask, weights: Weights) -> tuple[Operator, Weights]:
    """Return the operator as it is."""
    return op, weights
