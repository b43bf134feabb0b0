"""Which layers are transformed and which are sparse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt
import torch

from quant.arrangement.arrange import Arrangement
from quant.config import SCALED_TILE, QuantiseConfig
from quant.winograd.transforms import can_tile, transformed
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Operator, Shape
from toolflow.numerics.srbs import SHARING, Pattern, kept_values
from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import Conv, WinogradConv


def layer_forms(arrangement: Arrangement, config: QuantiseConfig) -> Mapping[str, Node]:
    """Return the layers whose form is for the configuration to choose, in that form, by name.

    Those take their tile, and the pattern if they have at least S channels.

    Raises:
        ToolflowError: `tiles` or `patterns` names another layer, or no layer can hold the pattern that it is to have;
            or a layer that is transformed already has a tile that the family does not.
    """
    for node in arrangement.graph.nodes:
        if config.family == "fixed-point" and node.op.tile == SCALED_TILE:
            raise ToolflowError(
                f"--scales must be multiplier, not fixed-point, for a network with F({SCALED_TILE},3): the sums of "
                f"'{node.name}' are scaled by 576, which is no power of two; prune it with --tile 2 or 0 instead"
            )
    free = free_layers(arrangement)
    for what, named in (("tile", config.tiles), ("pattern", config.patterns)):
        wrong = sorted(set(named) - set(free))
        if wrong:
            raise ToolflowError(
                f"only 3x3 convolutions of stride 1 behind the first layer can have their own {what}, not "
                f"{', '.join(wrong)}; these layers can: {', '.join(sorted(free)) or 'none'}"
            )
    patterns = {name: config.patterns.get(name, config.pattern) for name in free}
    for name in set(config.patterns) & set(patterns):
        problem = _problem(free[name], patterns[name])
        if problem is not None:
            raise ToolflowError(f"'{name}' cannot carry the pattern {patterns[name]}: {problem}")
    held = any(n.op.pattern is not None for n in arrangement.graph.nodes)
    if config.pattern is not None and not held and all(_problem(free[name], patterns[name]) for name in free):
        raise ToolflowError(nobody_carries(arrangement.graph, config.pattern))
    return {name: layer_form(node, config.tiles.get(name, config.tile), patterns[name]) for name, node in free.items()}


def dense_layers(arrangement: Arrangement, config: QuantiseConfig) -> Mapping[str, str]:
    """Return why layers that were to have the configuration's pattern stay dense, by name."""
    problems = {
        name: _problem(node, config.pattern)
        for name, node in free_layers(arrangement).items()
        if name not in config.patterns
    }
    return {name: problem for name, problem in problems.items() if problem is not None}


def cannot_carry(op: Operator, shape: Sequence[int], pattern: Pattern | None) -> str | None:
    """Return why a layer with weights of this shape (K, C, kh, kw) cannot carry a pattern, None if it can."""
    if pattern is None:
        return None
    outputs, channels = shape[:2]
    if op.groups > 1:
        return f"{op.groups} channel groups would need a pattern each"
    if channels < pattern.sub_row:
        return f"{channels} input channels are fewer than the {pattern.sub_row} of a sub-row"
    if outputs % pattern.outputs:
        possible = " or ".join(str(replace(pattern, outputs=n)) for n in SHARING if outputs % n == 0)
        return (
            f"{outputs} output channels are no multiple of the {pattern.outputs} that share an index; "
            f"possible: {possible}"
        )
    return None


def nobody_carries(graph: Graph, pattern: Pattern) -> str:
    """Return the sentence for a network none of whose layers can carry a pattern."""
    return (
        f"no layer of {graph.name} can carry the pattern {pattern}: a 3x3 convolution of stride 1, without groups and "
        f"behind the first layer, must have {pattern.sub_row} input channels or more"
        + (f", and a multiple of {pattern.outputs} output channels" if pattern.outputs > 1 else "")
    )


def _problem(node: Node, pattern: Pattern | None) -> str | None:
    return cannot_carry(node.op, node.weights["weight"].shape, pattern)


def free_layers(arrangement: Arrangement) -> Mapping[str, Node]:
    """Return the convolutions that may take a tile and a pattern, by name.

    They are 3 × 3, of stride 1 and one channel group. First, last and inserted layers, and those that hold a tile or a
    pattern of their own, stay as they are.
    """
    fixed = arrangement.first | arrangement.last | arrangement.inserted
    return {
        node.name: node
        for node in arrangement.graph.nodes
        if is_direct(node)
        and node.op.pattern is None
        and node.name not in fixed
        and can_tile(convolution(node), (node.weights["weight"].shape[2], node.weights["weight"].shape[3]))
    }


def layer_form(node: Node, tile: int, pattern: Pattern | None) -> Node:
    """Return a convolution with its kernels transformed if there is a tile, and a pattern that it can hold."""
    if _problem(node, pattern) is not None:
        pattern = None
    if tile:
        return transform_node(node, tile, pattern)
    return with_pattern(node, pattern)


def is_direct(node: Node) -> bool:
    """Return whether a node convolves with the kernels themselves."""
    return node.op.convolves and not node.op.tile


def convolution(node: Node) -> Conv:
    """Return the attributes of a direct convolution.

    Raises:
        TypeError: the node is none.
    """
    if not isinstance(node.op, Conv):
        raise TypeError(f"'{node.name}' must be a direct convolution, not {node.op.kind}")
    return node.op


def with_pattern(node: Node, pattern: Pattern | None) -> Node:
    """Return a convolution, direct or transformed, with a pattern of its own; its weights stay as they are.

    Raises:
        TypeError: the node is none.
    """
    if not isinstance(node.op, Conv | WinogradConv):
        raise TypeError(f"'{node.name}' must be a convolution, not {node.op.kind}")
    return replace(node, op=replace(node.op, pattern=pattern))


def transform_node(node: Node, tile: int, pattern: Pattern | None) -> Node:
    """Return a 3 × 3 convolution with its kernels transformed."""
    op = convolution(node)
    kernel = torch.as_tensor(node.weights["weight"].copy()).double()
    weights = {**node.weights, "weight": transformed(WINOGRAD[tile], kernel).numpy()}
    return replace(node, op=WinogradConv(tile, op.pads, pattern, op.activation), weights=weights)


def multiplications(op: Operator, weight: npt.NDArray[Any], output: Shape) -> int:
    """Return a layer's multiplications for one image: those of kept values at each output, of U at each tile."""
    if not op.convolves:
        return int(weight.size)
    down, across = WINOGRAD[op.tile].tiles(output[1], output[2]) if op.tile else output[1:]
    return kept_values(weight, op.pattern, shared=op.tile > 0) * down * across


def multiplications_by_layer(graph: Graph) -> dict[str, int]:
    """Return every layer's multiplications for one image."""
    return {
        node.name: multiplications(node.op, node.weights["weight"], graph.shapes[node.name])
        for node in graph.nodes
        if node.op.has_weights
    }
