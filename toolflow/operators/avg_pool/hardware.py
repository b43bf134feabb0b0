"""Average pooling is a depthwise convolution with weights of one; the divisor is in the multiplier.

An instruction has one multiplier for each channel. Where windows have several divisors, the whole map is computed with
the commonest one, and the positions of the others, which lie at the edges, once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from toolflow.engine.places import Region
from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedNode
from toolflow.operators.avg_pool.reference import divisor_rules
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.convolution import Convolution, convolution, depthwise_ones


def hardware(node: QuantisedNode, source: Shape) -> Convolution:
    """Return the node as the engine runs it: its whole output, with the commonest divisor."""
    assert isinstance(node.op, AvgPool)
    rows, columns = node.op.factors(source)
    return _form(node, source, _commonest(rows) * _commonest(columns))


def edges(node: QuantisedNode, source: Shape) -> Iterator[tuple[Region, Convolution]]:
    """Yield the parts of the output with other divisors, each after those that it lies upon."""
    assert isinstance(node.op, AvgPool)
    rows, columns = node.op.factors(source)
    common_row, common_column = _commonest(rows), _commonest(columns)
    for top, height, count in _runs(rows):
        if count != common_row:
            yield Region(top, 0, height, len(columns)), _form(node, source, count * common_column)
    for left in np.flatnonzero(columns != common_column):
        for top, height, count in _runs(rows):
            yield Region(top, int(left), height, 1), _form(node, source, count * int(columns[left]))


def _form(node: QuantisedNode, source: Shape, divisor: int) -> Convolution:
    op = node.op
    assert isinstance(op, AvgPool)
    one = replace(node, requantise=divisor_rules(node, source)[divisor])
    weight = depthwise_ones(source[0], op.kernel)
    return convolution(one, weight, 2, groups=source[0], stride=op.stride, pads=op.pads)


def _commonest(counts: npt.NDArray[np.int64]) -> int:
    values, seen = np.unique(counts, return_counts=True)
    return int(values[seen.argmax()])


def _runs(counts: npt.NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Yield (first, length, count) of the stretches of one count."""
    first = 0
    for count, run in groupby(counts.tolist()):
        length = len(list(run))
        yield first, length, count
        first += length
