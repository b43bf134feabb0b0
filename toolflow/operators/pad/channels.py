"""Padding puts channels of zeros in front of its operand's and behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.channels import Classes, Mask, Ties
from toolflow.operators.pad.spec import Pad


def tied(op: Operator, inputs: Sequence[Classes], shapes: Sequence[Shape], weights: Weights, ties: Ties) -> Classes:
    """Return the operand's classes, between new ones."""
    assert isinstance(op, Pad)
    return np.concatenate([ties.fresh(op.channels_before), inputs[0], ties.fresh(op.channels_after)])


def narrowed(op: Operator, inputs: Sequence[Mask], output: Mask, weights: Weights) -> tuple[Operator, Weights]:
    """Return the operator with as many channels of zeros as stay."""
    assert isinstance(op, Pad)
    before, after = output[: op.channels_before].sum(), output[op.channels_before + len(inputs[0]) :].sum()
    return replace(op, channels_before=int(before), channels_after=int(after)), weights
