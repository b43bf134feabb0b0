"""Weight equalisation: balance the channels between consecutive layers (Nagel et al. 2019, arXiv 1906.04721).

    conv W₁ ─ relu ─ W₂      =>      conv W₁/s ─ relu ─ W₂·s

which changes no output, because a rectifier, max and average pooling commute with positive factors.
Brevitas' own equalisation works on torch.fx modules; this one on the typed graph.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from toolflow.ir.activation import Activation
from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Weights

LIMIT = 16.0  # no channel is scaled further, up or down


def equalise(graph: Graph, rounds: int = 4) -> Graph:
    """Return an equal graph in which both layers of each pair use their ranges alike."""
    pairs = [(node.name, reader) for node in graph.nodes if (reader := _reader(graph, node)) is not None]
    for _ in range(rounds):
        for first, second in pairs:
            graph = _balance(graph, graph.by_name[first], graph.by_name[second])
    return graph


def _reader(graph: Graph, node: Node) -> str | None:
    """Return the only layer that reads what `node` computes, through operators that commute with factors."""
    if not _is_direct(node) or node.op.activation is Activation.RELU6 or len(node.inputs) > 1:
        return None
    name = node.name
    while name != graph.output and len(graph.consumers[name]) == 1:
        reader = graph.consumers[name][0]
        if _is_direct(reader):
            plain = reader.inputs == (name,) and reader.op.groups == 1
            return reader.name if plain else None
        if not reader.op.commutes_with_scale:
            return None
        name = reader.name
    return None


def _is_direct(node: Node) -> bool:
    return node.op.has_weights and not node.op.tile


def _balance(graph: Graph, first: Node, second: Node) -> Graph:
    outputs = len(first.weights["weight"])
    rows = first.weights["weight"].reshape(outputs, -1).astype(np.float64)
    weight = second.weights["weight"].astype(np.float64)
    columns = weight.reshape(len(weight), outputs, -1)
    largest_first, largest_second = np.abs(rows).max(1), np.abs(columns).max((0, 2))
    usable = (largest_first > 0) & (largest_second > 0)
    factor: npt.NDArray[np.float64] = np.ones(outputs)
    factor[usable] = np.sqrt(largest_first[usable] / largest_second[usable])
    factor = np.clip(factor / np.exp(np.log(factor).mean()), 1 / LIMIT, LIMIT)
    changed: dict[str, Weights] = {
        first.name: {
            "weight": (rows / factor[:, None]).reshape(first.weights["weight"].shape),
            "bias": first.weights["bias"].astype(np.float64) / factor,
        },
        second.name: {**second.weights, "weight": (columns * factor[:, None]).reshape(weight.shape)},
    }
    nodes = [replace(n, weights=changed[n.name]) if n.name in changed else n for n in graph.nodes]
    return replace(graph, nodes=tuple(nodes))
