"""Add a second logit to a network with one, so that it has two classes.

    linear F -> 1, z                    =>   linear F -> 2, (0, z): a row of zeros in front
    conv C -> 1 ─ global average        =>   conv C -> 2 ─ global average
    any other tensor z of one number    =>   z ─ layer 1 -> 2, (0, z)

The largest of (0, z) is z exactly where z > 0; a tie is class 0, the lowest index. The softmax of (0, z) is
(1 − sigmoid(z), sigmoid(z)), so that best versus second best is |2·sigmoid(z) − 1|. Nothing after this pass needs
to know of it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Operator
from toolflow.operators import Add, AvgPool, Conv, Flatten, Layer, Linear, MaxPool, Shortcut
from toolflow.passes.rewrite import Rewriter

MEANING = (
    "the network gives one logit z and is a binary classifier: class 1 if z > 0 (sigmoid(z) > 0.5), otherwise class 0"
    "; its confidence is |2·sigmoid(z) − 1|"
)


def is_binary(graph: Graph) -> bool:
    """Return whether a network gives a single number, before this pass."""
    return math.prod(graph.shapes[graph.output]) == 1


def two_logits(graph: Graph) -> Graph:
    """Return the graph with the logits (0, z) where it gives z alone."""
    if not is_binary(graph):
        return graph
    layers = _last_layers(graph)
    if layers is None:
        return _with_layer(graph)
    edit = Rewriter(graph)
    for layer in layers:
        weights = {name: np.concatenate([np.zeros_like(array), array]) for name, array in layer.weights.items()}
        edit.replace(layer.name, replace(layer, weights=weights))
    return replace(edit.result(), binary=True)


def _last_layers(graph: Graph) -> list[Node] | None:
    """Return the layers whose one channel reaches the output and nothing else; None if there are no such."""
    layers: dict[str, Node] = {}
    passing: dict[str, Node] = {}
    left = [graph.output]
    while left:
        node = graph.by_name.get(left.pop())
        if node is None or not (isinstance(node.op, Layer) or _keeps_zero(node.op)):
            return None
        if isinstance(node.op, Layer):
            layers[node.name] = node
        elif node.name not in passing:
            passing[node.name] = node
            left += node.inputs
    readers = {reader.name for name in (*layers, *passing) for reader in graph.consumers.get(name, ())}
    return list(layers.values()) if readers <= set(passing) else None


def _keeps_zero(op: Operator) -> bool:
    """Return whether an operator works channel by channel and makes zeros of zeros."""
    return isinstance(op, Add | AvgPool | Flatten | MaxPool) or (
        isinstance(op, Shortcut) and not (op.before or op.after)
    )


def _with_layer(graph: Graph) -> Graph:
    flat = len(graph.shapes[graph.output]) == 1
    weight = np.array([0.0, 1.0]).reshape((2, 1) if flat else (2, 1, 1, 1))
    name = f"{graph.output}.logits"
    node = Node(name, Linear() if flat else Conv(), (graph.output,), {"weight": weight, "bias": np.zeros(2)})
    return replace(graph, nodes=(*graph.nodes, node), output=name, binary=True)
