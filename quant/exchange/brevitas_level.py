"""The Brevitas level: the stored network is rebuilt as a Brevitas model, which must compute the same tensors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant.exchange.brevitas_model import BrevitasModel
from quant.exchange.extract import integers_of
from quant.post_training.solution import LayerNumbers
from toolflow.ir.graph import Graph, Node
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode

Int64Array = npt.NDArray[np.int64]


def brevitas_tensors(graph: QuantisedGraph, images: npt.NDArray[np.uint8]) -> dict[str, Int64Array]:
    """Return the integers of every tensor of Brevitas' float64 inference on uint8 images (N, H, W, C).

    In the fixed-point family they are the reference's. Where scales are free, float64 may break a tie the
    other way.
    """
    pixels = graph.input_table[np.arange(graph.input_shape[0]), images] * graph.types[graph.input_name].scale
    return integers_of(rebuilt_model(graph), pixels.transpose(0, 3, 1, 2))


def rebuilt_model(graph: QuantisedGraph) -> BrevitasModel:
    """Return the Brevitas model of a stored network.

    Weight scales follow from the requantisation: input scale · weight scale / output scale = multiplier / 2^shift,
    which quantisation made exact.
    """
    nodes = tuple(Node(node.name, node.op, node.inputs, node.weights) for node in graph.nodes)
    plain = Graph(graph.name, graph.input_name, graph.input_shape, nodes, graph.output)
    numbers = {node.name: _numbers(graph, node) for node in graph.nodes if node.op.has_weights}
    return BrevitasModel(plain, graph.types, numbers, _bounds(graph))


def _bounds(graph: QuantisedGraph) -> dict[str, tuple[int, int]]:
    """Return what tensors are clipped to where their type is wider, as in networks that were quantised elsewhere."""
    rules = {node.name: node.requantise for node in graph.nodes if node.requantise is not None}
    return {
        name: (rule.lower, rule.upper)
        for name, rule in rules.items()
        if (rule.lower, rule.upper) != (graph.types[name].integer.lower, graph.types[name].integer.upper)
    }


def _numbers(graph: QuantisedGraph, node: QuantisedNode) -> LayerNumbers:
    rule = node.requantise
    if rule is None:
        raise ValueError(f"'{node.name}' must have a requantisation")
    ratio = np.ldexp(rule.multiplier.astype(np.float64), -rule.shift)
    scale = ratio * (graph.types[node.name].scale / graph.types[node.inputs[0]].scale) * node.op.sum_scale
    weight = np.asarray(node.weights["weight"], dtype=np.int64)
    exponent = node.weights["exponent"].astype(np.int64) if node.op.tile else None
    return LayerNumbers(weight, scale, node.weight_bits, rule.bias, exponent)
