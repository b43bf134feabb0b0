"""The shapes of a network in the planner's form, before quantisation: its minimum demand on a board."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quant.arrangement.arrange import arrange
from quant.config import LOGIT_BITS
from toolflow.ir.graph import Graph, Node
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType
from toolflow.ir.unit import VariantName
from toolflow.numerics.requantise import Requantise
from toolflow.numerics.types import IntegerType


def outline(graph: Graph, bits: int) -> QuantisedGraph:
    """Return a network of these shapes whose tensors have `bits` bits and whose weights are all 1.

    Those of a layer are all 0 if every output channel has a weight that is exactly 0: how many rows they take is
    not known from their shape.

    Args:
        graph: after the passes.
        bits: of the array's weights and activations.
    """
    arranged = arrange(graph).graph
    kinds = {name: TensorType(IntegerType(bits, signed=False), 1.0) for name in arranged.shapes}
    kinds[arranged.output] = TensorType(IntegerType(LOGIT_BITS, signed=True), 1.0)
    return QuantisedGraph(
        name=graph.name,
        variant=VariantName.HIGH,
        family="multiplier",
        input_name=arranged.input_name,
        input_shape=arranged.input_shape,
        input_table=np.zeros((arranged.input_shape[0], 256), dtype=np.int64),
        nodes=tuple(_node(node, kinds) for node in arranged.nodes),
        output=arranged.output,
        types=kinds,
    )


def _node(node: Node, kinds: Mapping[str, TensorType]) -> QuantisedNode:
    if not node.op.rounds:
        return QuantisedNode(node.name, node.op, node.inputs)
    one = np.ones(1, dtype=np.int64)
    kind = kinds[node.name].integer
    residual = one if len(node.inputs) > 1 else None
    rule = Requantise(0 * one, one, 0 * one, kind.lower, kind.upper, residual)
    if not node.op.has_weights:
        return QuantisedNode(node.name, node.op, node.inputs, {}, rule)
    given = node.weights["weight"]
    full = any(channel.all() for channel in given)
    # spread without memory: a classifier may have a hundred million weights
    weights = {"weight": np.broadcast_to(np.int64(full), given.shape)}
    return QuantisedNode(node.name, node.op, node.inputs, weights, rule, weight_bits=2)
