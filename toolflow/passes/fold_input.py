"""Move the operations on the channels of the image into the graph's input map.

    image ─ batch norm (C,)                            =>   image, input map x·s + b
    image ─ (x − mean) / std                           =>   image, input map x/std − mean/std
    image ─ depthwise 1×1 conv without activation      =>   image, input map x·weight + bias

The device maps every pixel through a table anyway, so such a node costs nothing there, and the layer behind it is
the first one. Zero padding behind it pads the mapped image, as before. A node stays where the image itself is read
elsewhere too, or if it is the output; so does one that makes a channel constant, which no pixel map can undo.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from toolflow.ir.graph import ChannelMap, Graph, Node
from toolflow.operators import Activation, BatchNorm, Conv
from toolflow.passes.fold_batch_norm import affine
from toolflow.passes.rewrite import Rewriter

Vector = npt.NDArray[np.float64]


def fold_input(graph: Graph) -> Graph:
    """Return the graph with the nodes next to the image folded into the input map."""
    channels = graph.input_shape[0]
    known = graph.input_map or ChannelMap((1.0,) * channels, (0.0,) * channels)
    scale, shift = np.array(known.scale), np.array(known.shift)
    edit = Rewriter(graph)
    tensor = graph.input_name
    while (node := _only_reader(graph, tensor)) is not None and (own := _affine(node)) is not None:
        scale, shift = scale * own[0], shift * own[0] + own[1]
        edit.merge(node.name, graph.input_name)
        tensor = node.name
    if tensor == graph.input_name:
        return graph
    return replace(edit.result(), input_map=ChannelMap(tuple(scale.tolist()), tuple(shift.tolist())))


def _only_reader(graph: Graph, tensor: str) -> Node | None:
    readers = graph.consumers.get(tensor, ())
    return readers[0] if len(readers) == 1 and readers[0].name != graph.output else None


def _affine(node: Node) -> tuple[Vector, Vector] | None:
    """Return (scale, shift) of a node that maps each channel on its own, None for any other."""
    match node.op:
        case BatchNorm():
            scale, shift = affine(node, node.op)
        case Conv():
            weight = node.weights["weight"]
            plain = Conv(groups=node.op.groups, activation=Activation.NONE)
            if node.op != plain or weight.shape != (node.op.groups, 1, 1, 1):
                return None
            scale, shift = weight.astype(np.float64).reshape(-1), node.weights["bias"].astype(np.float64)
        case _:
            return None
    usable = np.isfinite(scale).all() and np.isfinite(shift).all() and scale.all()
    return (scale, shift) if usable else None
