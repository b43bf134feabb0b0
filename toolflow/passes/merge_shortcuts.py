"""Gather the pieces of a parameterless shortcut into one `Shortcut`.

    x[:, ::2, ::2] ─ 8 zero channels in front and behind     =>   Shortcut((2, 2), 8, 8)
    pool with a 1×1 window and stride 2                      =>   Shortcut((2, 2))
    pad of pixels and channels                               =>   pad of pixels ─ Shortcut((1, 1), before, after)

A sub-sampling that leaves everything as it is disappears.
"""

from __future__ import annotations

from toolflow.ir.graph import Graph, Node
from toolflow.operators import AvgPool, MaxPool, Pad, Shortcut
from toolflow.passes.rewrite import Rewriter


def merge_shortcuts(graph: Graph) -> Graph:
    """Return the graph with one `Shortcut` for each chain of sub-sampling and channel padding."""
    return _merge(_convert(graph))


def _convert(graph: Graph) -> Graph:
    """Turn 1×1 pools and channel pads into `Shortcut`."""
    edit = Rewriter(graph)
    for node in graph.nodes:
        match node.op:
            case MaxPool() if node.op.kernel == (1, 1) and not any(node.op.pads):
                edit.replace(node.name, Node(node.name, Shortcut(node.op.stride), node.inputs))
            case AvgPool() if (
                node.op.kernel == (1, 1) and not any(node.op.pads) and node.op.divisor_override in (None, 1)
            ):
                edit.replace(node.name, Node(node.name, Shortcut(node.op.stride), node.inputs))
            case Pad(pads, before, after) if before or after:
                channels = Shortcut((1, 1), before, after)
                if any(pads):
                    pixels = f"{node.name}.pixels"
                    edit.replace(
                        node.name,
                        Node(pixels, Pad(pads), node.inputs),
                        Node(node.name, channels, (pixels,)),
                    )
                else:
                    edit.replace(node.name, Node(node.name, channels, node.inputs))
            case _:
                pass
    return edit.result()


def _merge(graph: Graph) -> Graph:
    edit = Rewriter(graph)
    for node in graph.nodes:
        if not isinstance(node.op, Shortcut):
            continue
        op, source = node.op, node.inputs[0]
        before = edit.producer(source)
        if before is not None and isinstance(before.op, Shortcut):
            inner = before.op
            stride = (op.stride[0] * inner.stride[0], op.stride[1] * inner.stride[1])
            op = Shortcut(stride, op.before + inner.before, inner.after + op.after)
            source = before.inputs[0]
        if op == Shortcut((1, 1)):
            edit.merge(node.name, source)
        else:
            edit.replace(node.name, Node(node.name, op, (source,)))
    return edit.result()
