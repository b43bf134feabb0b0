"""Fuse an addition into the convolution or linear layer before it, which then adds the residual.

    conv(x) ─┐
             add, relu      =>   conv(x, other), relu
    other ───┘

so that the sum is rounded once. The layer's tensor must have no other reader, no activation and no
residual yet. Where both operands qualify, the one that comes later is taken.
"""

from __future__ import annotations

from dataclasses import replace

from toolflow.ir.graph import Graph, Node
from toolflow.operators import Activation, Add, Layer
from toolflow.passes.rewrite import Rewriter


def fuse_residual(graph: Graph) -> Graph:
    """Return the graph with additions fused; the layer keeps its name and moves to the addition's place."""
    order = {node.name: i for i, node in enumerate(graph.nodes)}
    edit = Rewriter(graph)
    fused: dict[str, Node] = {}
    for node in graph.nodes:
        if not isinstance(node.op, Add) or node.inputs[0] == node.inputs[1]:
            continue
        candidates = [t for t in node.inputs if edit.only_read_once(t) and _takes_residual(edit.producer(t))]
        if not candidates:
            continue
        chosen = max(candidates, key=lambda tensor: order[tensor])
        layer = edit.producer(chosen)
        other = node.inputs[1] if chosen == node.inputs[0] else node.inputs[0]
        if layer is None or not isinstance(layer.op, Layer):
            continue
        op = replace(layer.op, activation=node.op.activation)
        fused[node.name] = replace(layer, op=op, inputs=(layer.inputs[0], other))
    return _moved(graph, fused)


def _takes_residual(node: Node | None) -> bool:
    return (
        node is not None
        and isinstance(node.op, Layer)
        and node.op.activation is Activation.NONE
        and len(node.inputs) == 1
    )


def _moved(graph: Graph, fused: dict[str, Node]) -> Graph:
    """Put each fused layer where its addition was; readers of the addition read the layer."""
    layers = {layer.name for layer in fused.values()}
    renamed = {addition: layer.name for addition, layer in fused.items()}
    nodes = [fused.get(node.name, node) for node in graph.nodes if node.name not in layers]
    nodes = [replace(node, inputs=tuple(renamed.get(t, t) for t in node.inputs)) for node in nodes]
    return replace(graph, nodes=tuple(nodes), output=renamed.get(graph.output, graph.output))
