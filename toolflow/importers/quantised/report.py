"""How the engine runs each node of a network that was quantised elsewhere: `toolflow check`."""

from __future__ import annotations

from toolflow.importers.quantised.lower import Lowered
from toolflow.importers.quantised.pointwise import is_pointwise
from toolflow.ir.graph import Graph
from toolflow.passes.check import NodeReport, Status


def reports(graph: Graph, made: Lowered) -> tuple[NodeReport, ...]:
    """Return a report for every node of the float graph, in order.

    Args:
        graph: the float graph with a node for each rounding.
        made: its integers.
    """
    layers = {node.name: node for node in made.graph.nodes}
    found = []
    for node in graph.nodes:
        status, reason = Status.ENGINE, "on the engine, with the file's integers"
        if is_pointwise(node):
            status, reason = Status.FOLDED, "rounded or clipped by the layer before it"
            if node.name in layers:
                status, reason = Status.ENGINE, "a layer of its own, as the file rounds twice here"
            elif node.name == made.origin.get(graph.input_name):
                reason = "in the table of the input"
        found.append(NodeReport(node.name, node.op.kind, status, reason))
    return tuple(found)
