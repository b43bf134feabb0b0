"""Remove a layer, or a branch, whose result has the shape of what it reads; exchange an activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

from toolflow.ir.activation import Activation
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, verify_graph
from toolflow.passes.rewrite import Rewriter


def bypasses(graph: Graph) -> Mapping[str, tuple[str, ...]]:
    """Return for each node the operands that may take its place: those of the same shape."""
    shapes = graph.shapes
    found = {
        node.name: tuple(dict.fromkeys(tensor for tensor in node.inputs if shapes[tensor] == shapes[node.name]))
        for node in graph.nodes
        if node.name != graph.output
    }
    return {name: operands for name, operands in found.items() if operands}


def without_layer(graph: Graph, name: str, instead: str | None = None) -> Graph:
    """Return the network without a node, and without what only that node read.

    Args:
        graph: the network.
        name: the node; a residual addition to remove a block.
        instead: the operand that its readers read from now on; None for the first that has the shape of the result.

    Raises:
        ToolflowError: no operand, or not this one, has the shape of the result; or the node makes the output.
    """
    operands = bypasses(graph).get(name, ())
    if not operands or (instead is not None and instead not in operands):
        allowed = f"be one of {', '.join(operands)}" if operands else "exist"
        raise ToolflowError(
            f"'{name}' cannot be removed: an operand of its result's shape must {allowed}"
            + (f", not '{instead}'" if instead is not None else "")
        )
    edit = Rewriter(graph)
    edit.merge(name, instead or operands[0])
    found = edit.result()
    verify_graph(found)
    return found


def with_activations(graph: Graph, activations: Mapping[str, Activation]) -> Graph:
    """Return the network in which some nodes apply another activation to their results.

    Raises:
        ToolflowError: a name is no node's, or the node applies no activation.
    """
    for name in activations:
        node = graph.by_name.get(name)
        if node is None or "activation" not in {field.name for field in fields(node.op)}:  # type: ignore[arg-type]
            raise ToolflowError(f"'{name}' must be a node of {graph.name} that can apply an activation")
    nodes = tuple(
        replace(node, op=replace(node.op, activation=activations[node.name]))  # type: ignore[type-var]  # a dataclass
        if node.name in activations
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def with_rectifiers(graph: Graph) -> Graph:
    """Return the network with a ReLU in place of each function of segments: the same shapes, other values and names."""
    edit = Rewriter(graph)
    for node in graph.nodes:
        if not node.op.has_curve:
            continue
        before = edit.producer(node.inputs[0])
        if before is not None and before.op.rounds:
            op = replace(before.op, activation=Activation.RELU)  # type: ignore[type-var]  # a dataclass
            edit.replace(before.name, replace(before, op=op))
        edit.merge(node.name, node.inputs[0])
    return edit.result()
