"""Choose the tile and the pattern of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from quant.arrangement.arrange import arrange
from quant.arrangement.forms import (
    cannot_carry,
    free_layers,
    is_direct,
    nobody_carries,
    transform_node,
    with_pattern,
)
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Operator
from toolflow.numerics.srbs import Pattern


@dataclass(frozen=True)
class Choice:
    """How one layer is to be computed.

    Attributes:
        tile: 2 or 4, the Winograd tile; 0 for direct convolution.
        pattern: n:S or n:SxG, or None if it stays dense.
    """

    tile: int
    pattern: Pattern | None


def choose_layers(
    graph: Graph,
    tile: int,
    pattern: Pattern,
    named: Mapping[str, Pattern | None],
    tiles: Mapping[str, int] = MappingProxyType({}),
) -> tuple[dict[str, Choice], tuple[str, ...]]:
    """Return the choice of every layer that changes, and sentences about those left dense.

    A 3 × 3 convolution of stride 1 and one channel group that is neither first nor last takes the tile and the pattern.
    One that is named takes its own pattern instead; any other convolution of one channel group, 1 × 1 or strided, takes
    a pattern only if it is named, on its kernels. `tiles` has the layers that take a tile of their own, or none.

    Raises:
        ToolflowError: a named layer cannot carry its pattern or has no Winograd form, or no layer takes a pattern.
    """
    convolutions = {node.name: node for node in graph.nodes if is_direct(node)}
    unknown = sorted(set(named) - set(convolutions))
    if unknown:
        raise ToolflowError(
            f"patterns of single layers (--layer-pattern) must be given to convolutions of the network, not to "
            f"{', '.join(unknown)}; they are {', '.join(convolutions)}"
        )
    free = free_layers(arrange(graph))
    formless = sorted(set(tiles) - set(free))
    if formless:
        raise ToolflowError(
            f"tiles of single layers (--layer-tile) must be given to 3x3 convolutions of stride 1 and one channel "
            f"group, neither first nor last, not to {', '.join(formless)}; they are {', '.join(free) or 'none'}"
        )
    choices: dict[str, Choice] = {}
    reasons: dict[str, list[str]] = {}
    for name, node in convolutions.items():
        op, weight = node.op, node.weights["weight"]
        if name not in named and name not in free:
            continue
        wanted = named.get(name, pattern)
        problem = cannot_carry(op, weight.shape, wanted)
        if problem is not None and name in named:
            raise ToolflowError(f"'{name}' cannot carry the pattern {wanted}: {problem}")
        if problem is not None:
            reasons.setdefault(problem, []).append(name)
            wanted = None
        choice = Choice(tiles.get(name, tile) if name in free else 0, wanted)
        if choice != Choice(0, None):
            choices[name] = choice
    if all(choice.pattern is None for choice in choices.values()):
        raise ToolflowError(nobody_carries(graph, pattern))
    return choices, tuple(f"{', '.join(names)} stayed dense: {reason}" for reason, names in reasons.items())


def shaped(graph: Graph, choices: Mapping[str, Choice]) -> Graph:
    """Return the graph with the operators chosen; kernels that change their form are transformed, none is pruned."""
    nodes = tuple(_shaped(node, choices[node.name]) if node.name in choices else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


def _shaped(node: Node, choice: Choice) -> Node:
    if is_direct(node) and choice.tile:
        return transform_node(node, choice.tile, choice.pattern)
    return with_pattern(node, choice.pattern)


def choice_of(op: Operator) -> Choice:
    """Return the tile and the pattern of a convolution."""
    return Choice(op.tile, op.pattern)
