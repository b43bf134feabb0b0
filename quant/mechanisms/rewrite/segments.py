"""Exchange the ReLUs of a network for functions of few linear segments; `layers.with_rectifiers` goes back.

    conv, relu   =>   conv ─ segments

The convolution's tensor becomes `name.sums`, the activation's takes the name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from quant.float_network import before_activation, float_node
from quant.training.segments import even_bounds
from toolflow.ir.activation import Activation
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node, verify_graph
from toolflow.operators import Segments

SUMS = ".sums"  # behind the name of a node whose activation became segments


def with_segments(graph: Graph, count: int, x: torch.Tensor) -> Graph:
    """Return the network with segments in place of each ReLU that a layer or an addition applies.

    Segments begin as the ReLU: a segment whose middle is above 0 lets its values through, the others give 0.

    Args:
        graph: the network.
        count: segments of each activation, 3 or more.
        x: normalised images (N, C, H, W), around whose values before each ReLU its segments lie.

    Raises:
        ToolflowError: the network has no ReLU.
    """
    nodes: list[Node] = []
    live = {graph.input_name: x}
    with torch.no_grad():
        for node in graph.nodes:
            inputs = [live[name] for name in node.inputs]
            if node.op.activation is Activation.RELU:
                sums = replace(node, name=f"{node.name}{SUMS}", op=_plain(node.op, Activation.NONE))
                before = before_activation(sums, inputs)
                node = Node(node.name, Segments(), (sums.name,), _as_relu(before, count))
                nodes.append(sums)
                inputs = [before]
            nodes.append(node)
            live[node.name] = float_node(node, inputs)
    if not any(node.op.has_curve for node in nodes):
        raise ToolflowError(f"'{graph.name}' must have a ReLU that becomes segments: no layer applies one")
    found = replace(graph, nodes=tuple(nodes))
    verify_graph(found)
    return found


def _plain(op: Any, activation: Activation) -> Any:
    return replace(op, activation=activation)


def _as_relu(before: torch.Tensor, count: int) -> dict[str, npt.NDArray[Any]]:
    variance, mean = torch.var_mean(before, correction=0)
    bounds = even_bounds(mean, variance.sqrt().clamp_min(torch.finfo(before.dtype).tiny), count).numpy()
    width = bounds[1] - bounds[0]
    middles = np.append(bounds, bounds[-1] + width) - width / 2
    return {
        "bounds": bounds,
        "slope": (middles > 0).astype(np.float32),
        "intercept": np.zeros(count, dtype=np.float32),
    }
