"""Make the reach of a pool's last window explicit in its padding.

    max pool 3×3, stride 2, ceil mode, on 14×14      =>   pads (0, 0, 1, 1), no ceil mode
    max pool 3×3, stride 2, pads 1, on 112×112       =>   pads (1, 1, 0, 0): the last row and column are never read

Exporters write the same pool in several ways; afterwards the pads behind are what the last window needs
and there is no ceil mode. An average pool changes only if its divisors stay the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolflow.ir.graph import Graph
from toolflow.ir.operator import Shape
from toolflow.operators import AvgPool, MaxPool
from toolflow.operators.window import Pads
from toolflow.passes.rewrite import Rewriter


def complete_windows(graph: Graph) -> Graph:
    """Return the graph with exact pads behind every pool's input."""
    edit = Rewriter(graph)
    for node in graph.nodes:
        shape = graph.shapes[node.inputs[0]]
        match node.op:
            case MaxPool():
                exact = replace(node.op, pads=needed_pads(node.op, shape), ceil_mode=False)
                edit.replace(node.name, replace(node, op=exact))
            case AvgPool():
                average = replace(node.op, pads=needed_pads(node.op, shape), ceil_mode=False)
                if not any(average.pads):
                    average = replace(average, count_include_pad=True)
                if np.array_equal(average.divisors(shape), node.op.divisors(shape)):
                    edit.replace(node.name, replace(node, op=average))
            case _:
                pass
    return edit.result()


def needed_pads(op: MaxPool | AvgPool, shape: Shape) -> Pads:
    """Return a pool's pads with those behind replaced by what its last windows reach, for an input of this shape."""
    _, *out = op.infer_shape([shape], {})
    dilation = op.dilation if isinstance(op, MaxPool) else (1, 1)
    bottom, right = (
        max(0, (out[axis] - 1) * op.stride[axis] + dilation[axis] * (op.kernel[axis] - 1) + 1 - size - op.pads[axis])
        for axis, size in enumerate(shape[1:])
    )
    return op.pads[0], op.pads[1], bottom, right
