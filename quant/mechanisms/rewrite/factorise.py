"""Factorise a layer: partial Tucker for k×k kernels (Kim et al. 2016), a singular value decomposition otherwise.

    conv (K, C, k, k)  =>  conv (r_in, C, 1, 1) ─ conv (r_out, r_in, k, k) ─ conv (K, r_out, 1, 1)
    conv (K, C, 1, 1)  =>  conv (r, C, 1, 1) ─ conv (K, r, 1, 1)
    linear (K, F)      =>  linear (r, F) ─ linear (K, r)

The last layer keeps the name, the bias, the residual and the activation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quant.arrangement.forms import convolution
from toolflow.ir.activation import Activation
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node, verify_graph
from toolflow.operators import Conv, Linear
from toolflow.passes.rewrite import Rewriter

Array = npt.NDArray[np.float64]

FIRST, CORE = ".first", ".core"  # behind the layer's name
ITERATIONS = 3  # of higher-order orthogonal iteration, after the higher-order SVD


def largest_ranks(node: Node) -> tuple[int, ...]:
    """Return the full ranks of a layer: (r_in, r_out) for a k×k kernel, (r,) otherwise; () if it cannot be factorised.

    A layer of several channel groups, of a tile or of a pattern cannot.
    """
    op = node.op
    if not op.has_weights or op.tile or op.pattern is not None or op.groups > 1:
        return ()
    shape = node.weights["weight"].shape
    outputs, inputs = shape[0], shape[1]
    return (inputs, outputs) if max(shape[2:], default=1) > 1 else (min(inputs, outputs),)


def factorised(graph: Graph, name: str, ranks: tuple[int, ...]) -> Graph:
    """Return the network with one layer in factors.

    Args:
        graph: the network.
        name: the layer.
        ranks: (r_in, r_out) for a k×k kernel, (r,) for a 1×1 kernel or a linear layer.

    Raises:
        ToolflowError: the layer cannot be factorised, or not with these ranks.
    """
    node = graph.by_name.get(name)
    full = () if node is None else largest_ranks(node)
    if node is None or not full:
        raise ToolflowError(f"'{name}' must be a layer of {graph.name} with one channel group, no tile and no pattern")
    if len(ranks) != len(full) or not all(1 <= rank <= most for rank, most in zip(ranks, full, strict=False)):
        raise ToolflowError(f"the ranks of '{name}' must be {len(full)} numbers of 1 to {full}, not {ranks}")
    edit = Rewriter(graph)
    edit.replace(name, *(_tucker_nodes(node, *ranks) if len(ranks) == 2 else _svd_nodes(node, *ranks)))
    found = edit.result()
    verify_graph(found)
    return found


def partial_tucker(weight: Array, rank_in: int, rank_out: int) -> tuple[Array, Array, Array]:
    """Return U_out (K, r_out), the core (r_out, r_in, kh, kw) and U_in (C, r_in) of a weight (K, C, kh, kw).

    weight ≈ core ×₀ U_out ×₁ U_in, with orthonormal columns in both matrices.
    """
    u_out = _leading(_unfolded(weight, 0), rank_out)
    u_in = _leading(_unfolded(weight, 1), rank_in)
    for _ in range(ITERATIONS):
        u_out = _leading(_unfolded(np.einsum("kcxy,cr->krxy", weight, u_in), 0), rank_out)
        u_in = _leading(_unfolded(np.einsum("kcxy,kr->rcxy", weight, u_out), 1), rank_in)
    return u_out, np.einsum("kcxy,ks,cr->srxy", weight, u_out, u_in), u_in


def _unfolded(weight: Array, mode: int) -> Array:
    return np.moveaxis(weight, mode, 0).reshape(weight.shape[mode], -1)


def _leading(matrix: Array, rank: int) -> Array:
    """Return the leading left singular vectors; those of a wide matrix from its Gram matrix."""
    values, vectors = np.linalg.eigh(matrix @ matrix.T)
    return np.ascontiguousarray(vectors[:, np.argsort(values)[::-1][:rank]])


def _tucker_nodes(node: Node, rank_in: int, rank_out: int) -> tuple[Node, ...]:
    u_out, core, u_in = partial_tucker(node.weights["weight"].astype(np.float64), rank_in, rank_out)
    first, inner = f"{node.name}{FIRST}", f"{node.name}{CORE}"
    op = convolution(node)
    return (
        Node(first, Conv(), (node.inputs[0],), _weights(u_in.T[..., None, None])),
        Node(inner, replace(op, activation=Activation.NONE), (first,), _weights(core)),
        Node(node.name, Conv(activation=op.activation), (inner, *node.inputs[1:]), _last(node, _map(u_out))),
    )


def _svd_nodes(node: Node, rank: int) -> tuple[Node, ...]:
    weight = node.weights["weight"].astype(np.float64)
    left, values, right = np.linalg.svd(weight.reshape(weight.shape[:2]), full_matrices=False)
    root = np.sqrt(values[:rank])
    left, right = left[:, :rank] * root, root[:, None] * right[:rank]
    first = f"{node.name}{FIRST}"
    if not node.op.convolves:
        return (
            Node(first, Linear(), (node.inputs[0],), _weights(right)),
            Node(node.name, node.op, (first, *node.inputs[1:]), _last(node, left)),
        )
    op = convolution(node)
    return (
        Node(first, replace(op, activation=Activation.NONE), (node.inputs[0],), _weights(_map(right))),
        Node(node.name, Conv(activation=op.activation), (first, *node.inputs[1:]), _last(node, _map(left))),
    )


def _map(matrix: Array) -> Array:
    return matrix[..., None, None]


def _weights(weight: Array) -> dict[str, npt.NDArray[Any]]:
    return {"weight": weight, "bias": np.zeros(len(weight))}


def _last(node: Node, weight: Array) -> dict[str, npt.NDArray[Any]]:
    return {**_weights(weight), "bias": node.weights["bias"]}
