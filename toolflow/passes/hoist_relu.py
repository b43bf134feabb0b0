"""Move ReLUs in front of operators that commute with them.

    conv ─ max pool ─ relu             =>   conv ─ relu ─ max pool
    conv, conv ─ concat ─ relu         =>   conv ─ relu, conv ─ relu ─ concat

so that they reach a convolution that can apply them. Rectifiers are monotone and keep zero, so they
commute with every operator that only moves or compares values. Nothing moves over a tensor that
has another reader.
"""

from __future__ import annotations

from dataclasses import replace

from toolflow.ir.graph import Graph, Node
from toolflow.operators import Relu
from toolflow.passes.rewrite import Rewriter


def hoist_relu(graph: Graph) -> Graph:
    """Return the graph with every ReLU moved to the front as far as possible."""
    while (moved := _hoist_one(graph)) is not None:
        graph = moved
    return graph


def _hoist_one(graph: Graph) -> Graph | None:
    edit = Rewriter(graph)
    for node in graph.nodes:
        before = graph.by_name.get(node.inputs[0])
        if not isinstance(node.op, Relu) or before is None or not _commutes(edit, before):
            continue
        operands = tuple(dict.fromkeys(before.inputs))
        names = {tensor: node.name if len(operands) == 1 else f"{node.name}.{i}" for i, tensor in enumerate(operands)}
        relus = [Node(names[tensor], node.op, (tensor,)) for tensor in operands]
        moved = replace(before, inputs=tuple(names[tensor] for tensor in before.inputs))
        return _with_moved(graph, node, before, relus, moved)
    return None


def _commutes(edit: Rewriter, node: Node) -> bool:
    return (
        node.op.moves_only
        and edit.only_read_once(node.name)
        and all(edit.only_read_once(tensor) and edit.producer(tensor) is not None for tensor in node.inputs)
    )


def _with_moved(graph: Graph, relu: Node, before: Node, relus: list[Node], moved: Node) -> Graph:
    """Put `relus` in front of `moved`, the former `before`; who read `relu` now reads `moved`."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node is before:
            nodes += [*relus, moved]
        elif node is not relu:
            inputs = tuple(before.name if tensor == relu.name else tensor for tensor in node.inputs)
            nodes.append(replace(node, inputs=inputs))
    output = before.name if graph.output == relu.name else graph.output
    return replace(graph, nodes=tuple(nodes), output=output)
