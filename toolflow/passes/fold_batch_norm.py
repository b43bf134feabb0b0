"""Fold batch normalisation into the weights before it.

    conv (K, C, kh, kw) ─ batch norm (K,)   =>   conv with weight·s and (bias − mean)·s + shift
    anything else ─ batch norm (C,)         =>   depthwise 1×1 conv with weight s
    flat vector ─ batch norm (F,) ─ linear  =>   linear with weight·diag(s)

with s = scale / sqrt(variance + eps), all in float64.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Weights
from toolflow.operators import Activation, BatchNorm, Conv, Linear
from toolflow.passes.identity import scale_node
from toolflow.passes.rewrite import Rewriter

Vector = npt.NDArray[np.float64]


def fold_batch_norm(graph: Graph) -> Graph:
    """Return the graph without `BatchNorm`."""
    edit = Rewriter(graph)
    for node in graph.nodes:
        if not isinstance(node.op, BatchNorm):
            continue
        scale, bias = affine(node, node.op)
        source = node.inputs[0]
        before = edit.producer(source)
        readers = graph.consumers.get(node.name, ())
        if before is not None and edit.only_read_once(source) and _takes_scale(before):
            edit.replace(before.name, replace(before, weights=_scaled_rows(before.weights, scale, bias)))
            edit.merge(node.name, before.name)
        elif len(graph.shapes[source]) == 1 and edit.only_read_once(node.name) and isinstance(readers[0].op, Linear):
            after = readers[0]
            edit.replace(after.name, replace(after, weights=_scaled_columns(after.weights, scale, bias)))
            edit.merge(node.name, source)
        else:
            edit.replace(node.name, scale_node(node.name, source, graph.shapes[source], scale, bias))
    return edit.result()


def affine(node: Node, op: BatchNorm) -> tuple[Vector, Vector]:
    """Return (scale, bias) of y = x·scale + bias."""
    value = {name: array.astype(np.float64) for name, array in node.weights.items()}
    scale = value["scale"] / np.sqrt(value["variance"] + op.eps)
    return scale, value["bias"] - value["mean"] * scale


def _takes_scale(node: Node) -> bool:
    """Return whether an output channel's weights may be scaled: nothing follows the sum yet."""
    return isinstance(node.op, Conv | Linear) and node.op.activation is Activation.NONE and len(node.inputs) == 1


def _scaled_rows(weights: Weights, scale: Vector, bias: Vector) -> Weights:
    weight = weights["weight"].astype(np.float64)
    column = scale.reshape((-1,) + (1,) * (weight.ndim - 1))
    return {"weight": weight * column, "bias": weights["bias"].astype(np.float64) * scale + bias}


def _scaled_columns(weights: Weights, scale: Vector, bias: Vector) -> Weights:
    weight = weights["weight"].astype(np.float64)
    return {"weight": weight * scale, "bias": weights["bias"].astype(np.float64) + weight @ bias}
