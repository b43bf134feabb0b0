"""Fold zero padding into the windowed operator that reads it.

    pad (1, 1, 1, 1) ─ conv, pads 0          =>   conv, pads (1, 1, 1, 1)
    pad ─ average pool                       =>   average pool that counts the padding
    relu ─ pad ─ max pool                    =>   relu ─ max pool with pads

A max pool's own padding never wins, so a zero in front of it may only be folded where no input is
negative and no window lies in the padding alone. A pad that cannot be folded becomes a depthwise
1×1 convolution with weight 1 and those pads.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Operator, Shape
from toolflow.operators import AvgPool, Conv, MaxPool, Pad
from toolflow.operators.window import Pads
from toolflow.passes.bounds import non_negative
from toolflow.passes.identity import identity_node
from toolflow.passes.rewrite import Rewriter


def fold_pad(graph: Graph) -> Graph:
    """Return the graph without `Pad`."""
    edit = Rewriter(graph)
    positive = non_negative(graph)
    for node in graph.nodes:
        pad = graph.by_name.get(node.inputs[0])
        if pad is None or not isinstance(pad.op, Pad) or isinstance(node.op, Pad):
            continue
        chain = _chain(graph, pad)
        source = chain[-1].inputs[0]
        pads = _sum([p.op.pads for p in chain if isinstance(p.op, Pad)])
        op = _padded(node, pads, graph.shapes[source], graph.shapes[pad.name], source in positive)
        if op is not None:
            edit.replace(node.name, replace(node, op=op, inputs=(source, *node.inputs[1:])))
    for node in graph.nodes:
        if isinstance(node.op, Pad):
            source = node.inputs[0]
            edit.replace(node.name, identity_node(node.name, source, graph.shapes[source], pads=node.op.pads))
    return edit.result()


def _chain(graph: Graph, pad: Node) -> list[Node]:
    """Return a pad and the pads directly before it, the last one first."""
    chain = [pad]
    while (before := graph.by_name.get(chain[-1].inputs[0])) is not None and isinstance(before.op, Pad):
        chain.append(before)
    return chain


def _sum(pads: list[Pads]) -> Pads:
    top, left, bottom, right = (sum(side) for side in zip(*pads, strict=True))
    return top, left, bottom, right


def _padded(node: Node, pads: Pads, inner: Shape, outer: Shape, positive: bool) -> Operator | None:
    """Return the reader with the padding in it, None if that would change a value.

    Args:
        node: the reader.
        pads: what the pad adds.
        inner: shape before the pad.
        outer: shape after it.
        positive: no input is negative.
    """
    match node.op:
        case Conv():
            return replace(node.op, pads=_sum([node.op.pads, pads]))
        case MaxPool():
            op = replace(node.op, pads=_sum([node.op.pads, pads]))
            return op if positive and _shape(op, inner) == _shape(node.op, outer) else None
        case AvgPool():
            if any(node.op.pads) and not node.op.count_include_pad:
                return None
            average = replace(node.op, pads=_sum([node.op.pads, pads]), count_include_pad=True)
            same = _shape(average, inner) == _shape(node.op, outer) and np.array_equal(
                average.divisors(inner), node.op.divisors(outer)
            )
            return average if same else None
        case _:
            return None


def _shape(op: Operator, shape: Shape) -> Shape | None:
    try:
        return op.infer_shape([shape], {})
    except ValueError:
        return None
