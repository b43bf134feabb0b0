"""Replace shortcuts that no addition reads by separate operators.

    Shortcut((2, 2)) ─ conv             =>   max pool, 1×1 window, stride 2 ─ conv
    Shortcut((2, 2), 8, 8) ─ conv       =>   1×1 conv that moves the channels ─ conv

A shortcut that additions alone read stays: it costs nothing as a residual.
"""

from __future__ import annotations

from toolflow.ir.graph import Graph, Node
from toolflow.operators import Add, MaxPool, Shortcut
from toolflow.passes.identity import placement_node
from toolflow.passes.rewrite import Rewriter


def express_shortcuts(graph: Graph) -> Graph:
    """Return the graph with `Shortcut` only in front of additions."""
    edit = Rewriter(graph)
    for node in graph.nodes:
        if not isinstance(node.op, Shortcut):
            continue
        readers = graph.consumers.get(node.name, ())
        if node.name != graph.output and all(isinstance(reader.op, Add) for reader in readers):
            continue
        op, source = node.op, node.inputs[0]
        if op.before or op.after:
            channels = graph.shapes[source][0]
            edit.replace(node.name, placement_node(node.name, source, channels, op.stride, op.before, op.after))
        else:
            edit.replace(node.name, Node(node.name, MaxPool((1, 1), op.stride), (source,)))
    return edit.result()
