"""Reduce an ONNX model to the nodes between the image and one output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from onnx import GraphProto, ModelProto, NodeProto

from toolflow.importers.vocabulary import chosen_output


def keep_one_output(model: ModelProto, path: Path, wanted: str | None) -> None:
    """Remove in place every output but one, and the nodes, weights and inputs that do not lead to it.

    An input stays if it is the only one, so that an output that does not depend on the image is reported as such.

    Args:
        model: the model.
        path: its file, for messages.
        wanted: name of the output; None if the model has only one.

    Raises:
        ToolflowError: the model has several outputs and none was named, or no output has that name.
    """
    graph = model.graph
    name = chosen_output(f"'{path}'", [entry.name for entry in graph.output], wanted)
    needed = _needed(graph, name)
    _retain(graph.output, [entry.name == name for entry in graph.output])
    _retain(graph.node, [any(output in needed for output in node.output) for node in graph.node])
    _retain(graph.initializer, [tensor.name in needed for tensor in graph.initializer])
    read = [entry.name in needed for entry in graph.input]
    if any(read):
        _retain(graph.input, read)


def feeds_transposes(graph: GraphProto) -> bool:
    """Return whether the image has the layout (N, H, W, C) or (N, length, C): only transposes from that layout read it.

    Arithmetic with constants may stand in between, and a height of 1 may be added to a signal.
    """
    stored = {tensor.name for tensor in graph.initializer}
    waiting = [entry.name for entry in graph.input if entry.name not in stored]
    transposed = False
    while waiting:
        name = waiting.pop()
        for node in graph.node:
            if name not in node.input:
                continue
            if node.op_type == "Transpose":
                axes = next((list(entry.ints) for entry in node.attribute if entry.name == "perm"), None)
                if axes not in ([0, 3, 1, 2], [0, 2, 1]):
                    return False
                transposed = True
            elif node.op_type in ("Add", "Cast", "Div", "Identity", "Mul", "Sub", "Unsqueeze"):
                waiting.extend(node.output)
            else:
                return False
    return transposed


def _needed(graph: GraphProto, output: str) -> set[str]:
    """Return every tensor on the way to `output`."""
    producers = {name: node for node in graph.node for name in node.output if name}
    needed: set[str] = set()
    waiting = [output]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            if name in producers:
                waiting.extend(_read_by(producers[name]))
    return needed


def _read_by(node: NodeProto) -> Iterator[str]:
    """Yield what a node reads, also from inside the graphs that it holds (If, Loop)."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for child in inner.node:
                yield from _read_by(child)
            yield from (entry.name for entry in inner.output)


def _retain(entries: object, keep: list[bool]) -> None:
    """Delete the entries of a protobuf list that are not kept; the others stay where they are in memory."""
    for index in reversed([i for i, stays in enumerate(keep) if not stays]):
        del entries[index]  # type: ignore[attr-defined]
