"""A quantised network as rows for the page: a node for each tensor, and where the edges between them run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolflow.engine.steps import SetStripes, Step, StoreMap, StoreResults
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode


@dataclass(frozen=True)
class NetworkNode:
    """One tensor of a network.

    Attributes:
        name: of the node that makes it; "images" for the input, "results" for what leaves the engine.
        what: the operator in words, for example "conv 3×3, stride 2".
        inputs: rows of the nodes that it reads.
        shape: (C, H, W) or (K,).
        bits: width of its integers.
        instructions: names of the instructions that make or move it, bands may repeat one; empty if it needs none.
    """

    name: str
    what: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    bits: int
    instructions: tuple[str, ...]


@dataclass(frozen=True)
class Edge:
    """An edge that passes over other rows, drawn in a lane beside them.

    Attributes:
        source, target: rows.
        lane: 0 is next to the rows.
    """

    source: int
    target: int
    lane: int


def network_nodes(graph: QuantisedGraph, steps: Sequence[Step]) -> tuple[NetworkNode, ...]:
    """Return the nodes of a network in order, the input first and the results last.

    Args:
        graph: the network.
        steps: of its schedule, which name the instructions.
    """
    made: dict[str, list[str]] = {}
    last: list[str] = []
    for step in steps:
        names = [part.name for part in step.parts]
        if isinstance(step, StoreMap | StoreResults):
            last += names
        elif not isinstance(step, SetStripes):
            made.setdefault(step.tensor, []).extend(names)
    rows = {graph.input_name: 0} | {node.name: row for row, node in enumerate(graph.nodes, 1)}
    found = [
        NetworkNode(
            "images", "", (), graph.input_shape, graph.types[graph.input_name].integer.bits,
            tuple(made.get(graph.input_name, ())),
        )
    ]  # fmt: skip
    for node in graph.nodes:
        inputs = tuple(dict.fromkeys(rows[name] for name in node.inputs))
        bits = graph.types[node.name].integer.bits
        found.append(
            NetworkNode(node.name, _words(node), inputs, graph.shapes[node.name], bits, tuple(made.get(node.name, ())))
        )
    output = rows[graph.output]
    return (
        *found,
        NetworkNode("results", "", (output,), graph.shapes[graph.output], found[output].bits, tuple(last)),
    )


def _words(node: QuantisedNode) -> str:
    """Return an operator in words."""
    words = node.op.kind.replace("_", " ")
    weight = node.weights.get("weight")
    kernel = weight.shape[2:] if weight is not None and weight.ndim == 4 else getattr(node.op, "kernel", None)
    if kernel is not None and len(kernel) == 2:
        words += f" {kernel[0]}×{kernel[1]}"
    stride = getattr(node.op, "stride", None)
    if stride is not None and tuple(stride) != (1, 1):
        words += f", stride {stride[0]}" if stride[0] == stride[1] else f", stride {stride[0]}×{stride[1]}"
    if node.op.groups > 1:
        words += f", {node.op.groups} groups"
    return f"{words} + residual" if node.requantise is not None and len(node.inputs) > 1 else words


def long_edges(nodes: Sequence[NetworkNode]) -> tuple[Edge, ...]:
    """Return the edges between nodes that are not neighbours, each in a lane in which no other one runs beside it."""
    spans = sorted(
        ((source, row) for row, node in enumerate(nodes) for source in node.inputs if source != row - 1),
        key=lambda span: (span[1] - span[0], span),
    )
    edges: list[Edge] = []
    for source, target in spans:
        taken = {edge.lane for edge in edges if edge.source < target and source < edge.target}
        lane = next(lane for lane in range(len(spans)) if lane not in taken)
        edges.append(Edge(source, target, lane))
    return tuple(edges)
