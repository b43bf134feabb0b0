"""Fuse a ReLU into the operator before it.

    conv, linear or add ─ relu     =>   the producer with activation relu
    non-negative tensor ─ relu     =>   nothing
    anything else ─ relu           =>   depthwise 1×1 conv with weight 1 and activation relu

A rectifier never disappears from a tensor that another operator reads before it is rectified.
"""

from __future__ import annotations

from dataclasses import replace

from toolflow.ir.graph import Graph
from toolflow.operators import Activation, Add, Conv, Linear, Relu
from toolflow.passes.bounds import non_negative
from toolflow.passes.identity import identity_node
from toolflow.passes.rewrite import Rewriter


def fuse_relu(graph: Graph) -> Graph:
    """Return the graph without `Relu`."""
    edit = Rewriter(graph)
    positive = non_negative(graph)
    for node in graph.nodes:
        if not isinstance(node.op, Relu):
            continue
        source = node.inputs[0]
        before = edit.producer(source)
        wanted = Activation.RELU if node.op.upper is None else Activation.RELU6
        if source in positive and wanted is Activation.RELU:
            edit.merge(node.name, source)
        elif before is not None and edit.only_read_once(source) and isinstance(before.op, Conv | Linear | Add):
            activation = Activation.RELU6 if before.op.activation is Activation.RELU6 else wanted
            edit.replace(before.name, replace(before, op=replace(before.op, activation=activation)))
            edit.merge(node.name, before.name)
        else:
            edit.replace(node.name, identity_node(node.name, source, graph.shapes[source], wanted))
    return edit.result()
