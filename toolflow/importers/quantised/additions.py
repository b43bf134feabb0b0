"""The requantisation of a sum of two tensors, proven over all pairs of integers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from toolflow.importers.quantised.pointwise import evaluate, last_step
from toolflow.importers.quantised.rules import Rounded
from toolflow.importers.quantised.sums import Signal
from toolflow.ir.graph import Node
from toolflow.numerics.requantise import MAX_MULTIPLIER, MAX_SHIFT, Requantise, requantise
from toolflow.operators import BatchNorm

MAX_PAIRS = 1 << 20


def round_addition(operands: Sequence[Signal], chain: Sequence[Node], channels: int) -> Rounded | None:
    """Return the rounding of a sum by a chain of nodes as one requantisation; None if it is not one.

    Args:
        operands: both tensors.
        chain: the nodes behind the addition.
        channels: of the sum.
    """
    a, b = operands
    step = last_step(chain)
    pairs = (a.upper - a.lower + 1) * (b.upper - b.lower + 1)
    if step is None or pairs > MAX_PAIRS or any(isinstance(node.op, BatchNorm) for node in chain):
        return None
    left, right = (np.arange(each.lower, each.upper + 1) for each in operands)
    sums = left[:, None] * float(a.unit) + right[None, :] * float(b.unit)
    results = evaluate(chain, sums) / step
    wanted = np.rint(results).astype(np.int64)
    if (wanted != results).any():
        return None
    lower, upper = int(wanted.min()), int(wanted.max())
    zero = np.zeros(1, np.int64)
    for shift in range(MAX_SHIFT + 1):
        first, second = (round(each.unit / Fraction(step) * 2**shift) for each in operands)
        if max(first, second) > MAX_MULTIPLIER:
            return None
        if min(first, second) < 1:
            continue
        columns = [np.full(channels, value, np.int64) for value in (0, first, shift, second)]
        one = Requantise(zero, zero + first, zero + shift, lower, upper, zero + second)
        grid = np.broadcast_to(left[:, None], wanted.shape).reshape(1, 1, -1)
        residual = np.broadcast_to(right[None, :], wanted.shape).reshape(1, 1, -1)
        if np.array_equal(requantise(grid, one, residual=residual).reshape(wanted.shape), wanted):
            rule = Requantise(columns[0], columns[1], columns[2], lower, upper, columns[3])
            return Rounded(np.zeros((channels, 0), np.int64), rule, Fraction(step), lower, upper)
    return None
