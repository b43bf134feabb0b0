"""Integer average pooling: sum · multiplier / 2^shift, one rounding.

The divisor is inside the multiplier. Where windows have several divisors (padding that does not count, ceil mode), each
divisor has a requantisation of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedNode
from toolflow.numerics.accumulator import exact_float
from toolflow.numerics.requantise import Requantise
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.integers import Integers, Types, apply_requantise, rule_of, windows


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return (N, H', W', C)."""
    op = node.op
    assert isinstance(op, AvgPool)
    (x,) = inputs
    shape = (x.shape[3], x.shape[1], x.shape[2])
    _, height, width = op.infer_shape([shape], {})
    columns = windows(x, op.kernel, op.stride, op.pads, (1, 1), (height, width))
    operand = types[node.inputs[0]].integer
    dtype = exact_float(op.kernel[0] * op.kernel[1] * max(operand.upper, -operand.lower))
    sums = np.asarray(columns.sum(axis=3, dtype=dtype))
    out = np.empty(sums.shape, np.float32)
    divisors = op.divisors(shape)
    for divisor, rule in divisor_rules(node, shape).items():
        here = divisors == divisor
        out[:, here] = apply_requantise(sums[:, here], rule)
    return out


def divisor_rules(node: QuantisedNode, source: Shape) -> Mapping[int, Requantise]:
    """Return the requantisation of every divisor, for an input of shape `source` (C, H, W).

    The node's arrays hold one part for each divisor, in ascending order.
    """
    op, whole = node.op, rule_of(node)
    assert isinstance(op, AvgPool)
    divisors = op.rule_divisors(source)

    def parts(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return values.reshape(len(divisors), -1)

    columns = zip(divisors, parts(whole.bias), parts(whole.multiplier), parts(whole.shift), strict=True)
    return {
        divisor: Requantise(bias, multiplier, shift, whole.lower, whole.upper)
        for divisor, bias, multiplier, shift in columns
    }
