"""A convolution makes channels of its own; with several groups it ties them, or those that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.channels import Classes, Mask, Ties
from toolflow.operators.conv.spec import Conv


def tied(op: Operator, inputs: Sequence[Classes], shapes: Sequence[Shape], weights: Weights, ties: Ties) -> Classes:
    """Return new classes; those of a depthwise convolution are its operand's. A residual is tied to them.

    Every group must keep as many channels: the channels in one place of each group are one class. A sparse layer
    keeps all that it reads, since its sub-rows count input channels.
    """
    source, weight = inputs[0], weights["weight"]
    outputs, depth = weight.shape[:2]
    if op.pattern is not None:
        ties.fix(source)
    if op.groups == 1:
        made = ties.fresh(outputs)
    elif depth == 1:
        made = np.repeat(source, outputs // op.groups)
    else:
        first = source[:depth]
        for begin in range(depth, len(source), depth):
            ties.tie(first, source[begin : begin + depth])
        made = np.tile(ties.fresh(outputs // op.groups), op.groups)
    for residual in inputs[1:]:
        ties.tie(made, residual)
    return made


def narrowed(op: Operator, inputs: Sequence[Mask], output: Mask, weights: Weights) -> tuple[Operator, Weights]:
    """Return the operator, and the kernels of the channels that stay."""
    assert isinstance(op, Conv)
    weight = weights["weight"][output]
    depth = weight.shape[1]
    if op.groups > 1 and depth == 1:
        op = replace(op, groups=int(inputs[0].sum()))
    else:
        weight = weight[:, inputs[0][:depth]]
    return op, {**weights, "weight": weight, "bias": weights["bias"][output]}
