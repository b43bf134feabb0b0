"""What stands between two layers: rounding to grids, rectifiers and batch norms, each number on its own.

Such a chain is evaluated in float64, as the file's meaning is. Over the integers of a tensor of few bits it is a table:
whatever is decided about it is proven by all of its entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from toolflow.ir.graph import Node
from toolflow.operators import BatchNorm, Relu
from toolflow.operators.fake_quant.spec import FakeQuant

FloatArray = npt.NDArray[np.float64]

_ROUNDINGS = {"ROUND": np.rint, "FLOOR": np.floor, "CEIL": np.ceil, "ROUND_TO_ZERO": np.trunc}


def is_pointwise(node: Node) -> bool:
    """Return whether a node computes each number of its result from one number of its operand."""
    return isinstance(node.op, FakeQuant | Relu | BatchNorm)


def evaluate(chain: Sequence[Node], values: FloatArray) -> FloatArray:
    """Return the values after a chain of nodes: (K, N) of real numbers, for each channel."""
    for node in chain:
        values = _apply(node, values)
    return values


def _apply(node: Node, x: FloatArray) -> FloatArray:
    op = node.op
    if isinstance(op, FakeQuant):
        if op.bipolar:
            return np.where(x >= 0, op.step, -op.step)
        return np.asarray(np.clip(_ROUNDINGS[op.rounding](x / op.step), op.lower, op.upper) * op.step)
    if isinstance(op, Relu):
        return np.clip(x, 0.0, op.upper)
    factor, summand = affine(node)
    column = tuple(np.array([float(v) for v in part])[:, None] for part in (factor, summand))
    mean, variance, scale, bias = (
        node.weights[name].astype(np.float64)[:, None] for name in ("mean", "variance", "scale", "bias")
    )
    if not mean.any() and (variance == 1).all():  # a factor and a summand, which no square root rounds
        return np.asarray(x * column[0] + column[1])
    assert isinstance(op, BatchNorm)
    return np.asarray((x - mean) / np.sqrt(variance + op.eps) * scale + bias)


def affine(node: Node) -> tuple[list[Fraction], list[Fraction]]:
    """Return the factor and the summand of each channel of a batch norm, as exact as its float64 coefficients."""
    op = node.op
    assert isinstance(op, BatchNorm)
    mean, variance, scale, bias = (node.weights[n].astype(np.float64) for n in ("mean", "variance", "scale", "bias"))
    factors = [Fraction(float(f)) for f in scale / np.sqrt(variance + op.eps)]
    summands = [Fraction(float(b)) - Fraction(float(m)) * f for b, m, f in zip(bias, mean, factors, strict=True)]
    return factors, summands


def last_step(chain: Sequence[Node]) -> float | None:
    """Return the step of the grid that a chain ends on, None if nothing rounds after its last batch norm."""
    for node in reversed(chain):
        if isinstance(node.op, FakeQuant):
            return node.op.step
        if isinstance(node.op, BatchNorm):
            return None
    return None
