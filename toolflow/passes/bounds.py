"""Which tensors of a graph can never be negative."""

from __future__ import annotations

from toolflow.ir.graph import Graph
from toolflow.operators import Activation, Relu


def non_negative(graph: Graph) -> frozenset[str]:
    """Return the tensors that hold no negative value for any input."""
    found: set[str] = set()
    for node in graph.nodes:
        rectified = isinstance(node.op, Relu) or node.op.activation is not Activation.NONE
        if rectified or (node.op.keeps_sign and found.issuperset(node.inputs)):
            found.add(node.name)
    return frozenset(found)
