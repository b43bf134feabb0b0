"""Remove channels from a network, with everything that depends on them.

    conv a (8) ─┬───────────── add ─ conv d        without channel 3 of a, which the addition ties to channel 3 of c:
                └ b (4) ─ c (8) ┘                  a and c lose an output, b and d an input

Channels that depend on each other are one class. A class is removed as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node, verify_graph
from toolflow.operators.channels import ChannelRule, Classes, Mask, Ties
from toolflow.operators.folders import part


@dataclass(frozen=True)
class Width:
    """The layers whose outputs depend on each other, and the classes of their channels.

    Attributes:
        layers: names of the layers with weights that make these channels, in order.
        classes: the classes that may be removed, ascending.
    """

    layers: tuple[str, ...]
    classes: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the first layer."""
        return self.layers[0]


@dataclass(frozen=True)
class ChannelMap:
    """The classes of all channels of a network.

    Attributes:
        graph: the network.
        classes: for each tensor the class of each channel, (C,) or (F,).
        fixed: classes that must stay: those of the image and of the output.
    """

    graph: Graph
    classes: Mapping[str, Classes]
    fixed: frozenset[int]

    @classmethod
    def of(cls, graph: Graph) -> ChannelMap:
        """Return the classes of a network's channels."""
        ties = Ties()
        classes = {graph.input_name: ties.fresh(graph.input_shape[0])}
        ties.fix(classes[graph.input_name])
        for node in graph.nodes:
            inputs = [classes[name] for name in node.inputs]
            rule = _rule(node)
            if rule is None:
                made = ties.fresh(graph.shapes[node.name][0])
                for each in (*inputs, made):
                    ties.fix(each)
            else:
                made = rule.tied(node.op, inputs, [graph.shapes[name] for name in node.inputs], node.weights, ties)
            classes[node.name] = made
        ties.fix(classes[graph.output])
        return cls(graph, {name: ties.roots(each) for name, each in classes.items()}, ties.fixed)

    @property
    def widths(self) -> tuple[Width, ...]:
        """The layers of the network by what they share, in the order of their first layers; those that may shrink."""
        found: list[tuple[list[str], set[int]]] = []
        for node in self.graph.nodes:
            if not node.op.has_weights:
                continue
            mine = set(self.classes[node.name].tolist())
            together = [each for each in found if each[1] & mine]
            layers = [name for each in together for name in each[0]]
            merged = [*layers, node.name], mine.union(*(each[1] for each in together))
            place = found.index(together[0]) if together else len(found)
            found = [each for each in found if not any(each is other for other in together)]
            found.insert(place, merged)
        made = (Width(tuple(layers), tuple(sorted(classes - self.fixed))) for layers, classes in found)
        return tuple(width for width in made if width.classes)

    def masks(self, removed: Collection[int]) -> Mapping[str, Mask]:
        """Return for each tensor which of its channels stay without these classes."""
        gone = np.array(sorted(removed), dtype=np.int64)
        return {name: ~np.isin(each, gone) for name, each in self.classes.items()}

    def thinned(self, order: Sequence[int], count: int) -> set[int]:
        """Return the first `count` classes of an order that can go together: every tensor keeps a channel."""
        left = {name: len(each) for name, each in self.classes.items()}
        members: dict[int, dict[str, int]] = {}
        for name, each in self.classes.items():
            for one in each.tolist():
                held = members.setdefault(one, {})
                held[name] = held.get(name, 0) + 1
        gone: set[int] = set()
        for one in order:
            if len(gone) < count and all(left[name] > places for name, places in members[one].items()):
                gone.add(one)
                for name, places in members[one].items():
                    left[name] -= places
        return gone

    def without(self, removed: Collection[int]) -> Graph:
        """Return the network without these classes.

        Raises:
            ToolflowError: a class must stay, or a tensor would lose its last channel.
        """
        if held := sorted(self.fixed & set(removed)):
            name = next(name for name, each in self.classes.items() if np.isin(each, held).any())
            raise ToolflowError(f"channels of '{name}' must stay: the image, the output or a fixed operator needs them")
        kept = self.masks(removed)
        if empty := [name for name, mask in kept.items() if not mask.any()]:
            raise ToolflowError(f"'{empty[0]}' must keep a channel, not lose all {len(kept[empty[0]])}")
        graph = replace(self.graph, nodes=tuple(_narrowed(node, kept) for node in self.graph.nodes))
        verify_graph(graph)
        return graph


def _narrowed(node: Node, kept: Mapping[str, Mask]) -> Node:
    inputs = [kept[name] for name in node.inputs]
    rule = _rule(node)
    if rule is None or (kept[node.name].all() and all(mask.all() for mask in inputs)):
        return node
    op, weights = rule.narrowed(node.op, inputs, kept[node.name], node.weights)
    return replace(node, op=op, weights=weights)


def _rule(node: Node) -> ChannelRule | None:
    """Return the rule of a node's operator, None if it keeps all channels."""
    try:
        return part(node.op.kind, "channels")  # a module with these functions
    except ModuleNotFoundError:
        return None
