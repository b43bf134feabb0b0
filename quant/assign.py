"""Which layers are transformed and which are sparse."""

from __future__ import annotations

from dataclasses import replace

import torch

from quant.arrange import Arrangement
from quant.config import QuantiseConfig
from quant.tiles import can_tile, transformed
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import Conv, WinogradConv


def assign_modes(arrangement: Arrangement, config: QuantiseConfig) -> Arrangement:
    """Give every layer the tile and the pattern that the configuration says.

    A convolution of 3 × 3, stride 1 and one channel group takes the tile, and the pattern where it has at least S
    channels. First, last and inserted layers, and those that hold a tile or a pattern of their own, stay as they are.

    Raises:
        ToolflowError: `tiles` names a layer that cannot be transformed.
    """
    fixed = arrangement.first | arrangement.last | arrangement.inserted
    free = {
        node.name
        for node in arrangement.graph.nodes
        if isinstance(node.op, Conv)
        and node.op.pattern is None
        and node.name not in fixed
        and can_tile(node.op, (node.weights["weight"].shape[2], node.weights["weight"].shape[3]))
    }
    wrong = sorted(set(config.tiles) - free)
    if wrong:
        raise ToolflowError(
            f"a tile of its own must be given to 3x3 convolutions of stride 1 behind the first layer, not to "
            f"{', '.join(wrong)}; they are {', '.join(sorted(free)) or 'none'}"
        )
    nodes = tuple(_assigned(node, config) if node.name in free else node for node in arrangement.graph.nodes)
    return replace(arrangement, graph=replace(arrangement.graph, nodes=nodes))


def transform_node(node: Node, tile: int, pattern: tuple[int, int] | None) -> Node:
    """Return a 3 × 3 convolution with its kernels transformed."""
    op = node.op
    assert isinstance(op, Conv)
    kernel = torch.as_tensor(node.weights["weight"].copy()).double()
    weights = {**node.weights, "weight": transformed(WINOGRAD[tile], kernel).numpy()}
    return replace(node, op=WinogradConv(tile, op.pads, pattern, op.activation), weights=weights)


def _assigned(node: Node, config: QuantiseConfig) -> Node:
    tile = config.tiles.get(node.name, config.tile)
    channels = node.weights["weight"].shape[1]
    pattern = config.pattern if config.pattern is not None and channels >= config.pattern[1] else None
    if tile:
        return transform_node(node, tile, pattern)
    return node if pattern is None else replace(node, op=replace(node.op, pattern=pattern))  # type: ignore[type-var]


def modes(graph: Graph) -> dict[str, tuple[int, tuple[int, int] | None]]:
    """Return tile and pattern of every convolution."""
    found = {}
    for node in graph.nodes:
        if isinstance(node.op, WinogradConv):
            found[node.name] = (node.op.tile, node.op.pattern)
        elif isinstance(node.op, Conv):
            found[node.name] = (0, node.op.pattern)
    return found
