"""Which tensors of a graph can never be negative."""

from __future__ import annotations

from toolflow.ir.graph import Graph
from toolflow.operators import Activation, Add, AvgPool, Concat, Flatten, Layer, MaxPool, Pad, Relu, Shortcut


def non_negative(graph: Graph) -> frozenset[str]:
    """Return the tensors that hold no negative value for any input."""
    found: set[str] = set()
    for node in graph.nodes:
        rectified = isinstance(node.op, Relu) or (
            isinstance(node.op, Layer | Add) and node.op.activation is not Activation.NONE
        )
        keeps = isinstance(node.op, Add | AvgPool | Concat | Flatten | MaxPool | Pad | Shortcut)
        if rectified or (keeps and found.issuperset(node.inputs)):
            found.add(node.name)
    return frozenset(found)
