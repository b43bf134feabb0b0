"""A shortcut puts channels of zeros in front of its operand's and behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.channels import Classes, Mask, Ties
from toolflow.operators.shortcut.spec import Shortcut


def tied(op: Operator, inputs: Sequence[Classes], shapes: Sequence[Shape], weights: Weights, ties: Ties) -> Classes:
    """Return the operand's classes, between new ones."""
    assert isinstance(op, Shortcut)
    return np.concatenate([ties.fresh(op.before), inputs[0], ties.fresh(op.after)])


def narrowed(op: Operator, inputs: Sequence[Mask], output: Mask, weights: Weights) -> tuple[Operator, Weights]:
    """Return the operator with as many channels of zeros as stay."""
    assert isinstance(op, Shortcut)
    before, after = output[: op.before].sum(), output[op.before + len(inputs[0]) :].sum()
    return replace(op, before=int(before), after=int(after)), weights
