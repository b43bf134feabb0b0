"""Whether two quantised files hold one network at two precisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from toolflow.importers.quantised.pointwise import is_pointwise
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Shape


def require_one_topology(low: Graph, low_file: Path, high: Graph, high_file: Path) -> None:
    """Require that two networks have the same layers, whatever rounds between them.

    Raises:
        ToolflowError: names the first difference.
    """
    files = f"'{low_file}' and '{high_file}' must be one network at two precisions"
    if low.input_shape != high.input_shape:
        raise ToolflowError(f"{files}, but their images have the shapes {low.input_shape} and {high.input_shape}")
    layers = [list(_layers(graph)) for graph in (low, high)]
    for (one, shape), (other, wanted) in zip(*layers, strict=False):
        if one.op.kind != other.op.kind or shape != wanted:
            raise ToolflowError(
                f"{files}, but {one.op.kind} '{one.name}' gives {shape} where {other.op.kind} '{other.name}' gives "
                f"{wanted}"
            )
    if len(layers[0]) != len(layers[1]):
        raise ToolflowError(f"{files}, but they have {len(layers[0])} and {len(layers[1])} layers")


def _layers(graph: Graph) -> Iterator[tuple[Node, Shape]]:
    for node in graph.nodes:
        if not is_pointwise(node):
            yield node, graph.shapes[node.name]
