"""Which layers are transformed and which are sparse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from quant.arrange import Arrangement
from quant.config import QuantiseConfig
from quant.tiles import can_tile, transformed
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Node
from toolflow.ir.operator import Shape
from toolflow.numerics.srbs import Pattern
from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import Conv, WinogradConv


def layer_forms(arrangement: Arrangement, config: QuantiseConfig) -> Mapping[str, tuple[Node, ...]]:
    """Return the forms that a layer may take, by its name; layers that stay as they are have none here.

    A convolution of 3 × 3, stride 1 and one channel group takes the tile, and the pattern where it has at least S
    channels; with the tile "auto" it has a form for each. First, last and inserted layers, and those that hold a
    tile or a pattern of their own, stay as they are.

    Raises:
        ToolflowError: `tiles` names a layer that cannot be transformed.
    """
    fixed = arrangement.first | arrangement.last | arrangement.inserted
    free = [
        node
        for node in arrangement.graph.nodes
        if isinstance(node.op, Conv)
        and node.op.pattern is None
        and node.name not in fixed
        and can_tile(node.op, (node.weights["weight"].shape[2], node.weights["weight"].shape[3]))
    ]
    names = {node.name for node in free}
    wrong = sorted(set(config.tiles) - names)
    if wrong:
        raise ToolflowError(
            f"a tile of its own must be given to 3x3 convolutions of stride 1 behind the first layer, not to "
            f"{', '.join(wrong)}; they are {', '.join(sorted(names)) or 'none'}"
        )
    return {node.name: _forms(node, config) for node in free}


def transform_node(node: Node, tile: int, pattern: tuple[int, int] | None) -> Node:
    """Return a 3 × 3 convolution with its kernels transformed."""
    op = node.op
    assert isinstance(op, Conv)
    kernel = torch.as_tensor(node.weights["weight"].copy()).double()
    weights = {**node.weights, "weight": transformed(WINOGRAD[tile], kernel).numpy()}
    return replace(node, op=WinogradConv(tile, op.pads, pattern, op.activation), weights=weights)


def multiplications(node: Node, output: Shape) -> int:
    """Return a convolution's multiplications for one image, of what its pattern keeps."""
    op, (outputs, channels, height, width) = node.op, node.weights["weight"].shape
    assert isinstance(op, Conv | WinogradConv)
    kept = channels if op.pattern is None else Pattern(*op.pattern).kept_of(channels)
    down, across = output[1:] if isinstance(op, Conv) else WINOGRAD[op.tile].tiles(output[1], output[2])
    return int(outputs * kept * height * width * down * across)


def _forms(node: Node, config: QuantiseConfig) -> tuple[Node, ...]:
    tile = config.tiles.get(node.name, config.tile)
    channels = node.weights["weight"].shape[1]
    pattern = config.pattern if config.pattern is not None and channels >= config.pattern[1] else None
    tiles: tuple[int, ...] = (tile,) if tile != "auto" else (0, 2) if config.family == "fixed-point" else (0, 2, 4)
    return tuple(_form(node, each, pattern) for each in tiles)


def _form(node: Node, tile: int, pattern: tuple[int, int] | None) -> Node:
    if tile:
        return transform_node(node, tile, pattern)
    op = node.op
    assert isinstance(op, Conv)
    return replace(node, op=replace(op, pattern=pattern))
