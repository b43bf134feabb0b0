"""Halve the filters of a block and restore its width by a 1×1 convolution.

    conv (K, C) ─ conv (K, K)   =>   conv (K/2, C) ─ conv (K/2, K/2) ─ 1×1 (K, K/2)

The receptive field stays the same. The 1×1 convolution begins by putting each filter that stays in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quant.mechanisms.rewrite.channels import ChannelMap
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.operators import Conv
from toolflow.operators.channels import Classes
from toolflow.passes.rewrite import Rewriter

BEFORE = ".narrow"  # behind the name of a block's last layer, which the 1×1 convolution takes


def chains(graph: Graph) -> list[tuple[str, ...]]:
    """Return the blocks of a network in order: chains of convolutions, each of which only the next one reads.

    A layer that adds a residual ends no chain and is in none.
    """
    found: list[list[str]] = []
    for node in graph.nodes:
        if not node.op.convolves or len(node.inputs) > 1:
            continue
        before = node.inputs[0]
        if found and found[-1][-1] == before and len(graph.consumers[before]) == 1 and before != graph.output:
            found[-1].append(node.name)
        else:
            found.append([node.name])
    return [tuple(block) for block in found]


def with_halved_block(graph: Graph, layers: Sequence[str], share: float = 0.5) -> Graph:
    """Return the network with a share of the filters in each of these layers, and the width restored behind the last.

    Args:
        graph: the network.
        layers: names of a chain of convolutions in order, of which only the last is read outside.
        share: of each layer's filters that stay, those with the largest norms.

    Raises:
        ToolflowError: the layers are no such chain, or the share leaves no filter.
    """
    wide, narrowed = _with_room(graph, layers)
    channels = ChannelMap.of(wide)
    removed: set[int] = set()
    for name in narrowed:
        classes = channels.classes[name]
        makers = {node.name for node in wide.nodes if node.op.has_weights and _shares(channels, node.name, classes)}
        if outside := sorted(makers - set(narrowed)):
            raise ToolflowError(f"'{name}' must be read inside its block only, but it is tied to {', '.join(outside)}")
        kept = round(share * len(classes))
        if not 1 <= kept <= len(classes):
            raise ToolflowError(f"a share of {share} must leave '{name}' 1 to {len(classes)} filters, not {kept}")
        norms = np.abs(wide.by_name[name].weights["weight"]).reshape(len(classes), -1).sum(axis=1)
        removed |= set(classes[np.argsort(norms, kind="stable")[: len(classes) - kept]].tolist())
    return channels.without(removed)


def _with_room(graph: Graph, layers: Sequence[str]) -> tuple[Graph, tuple[str, ...]]:
    """Return the network with a 1×1 identity behind the last layer, whose name it takes, and the layers to narrow."""
    last = graph.by_name.get(layers[-1])
    if last is None or not last.op.convolves or len(last.inputs) > 1:
        raise ToolflowError(f"'{layers[-1]}' must be a convolution of {graph.name} to restore a block's width behind")
    outputs = len(last.weights["weight"])
    place = f"{last.name}{BEFORE}"
    unit = {"weight": np.eye(outputs)[..., None, None], "bias": np.zeros(outputs)}
    edit = Rewriter(graph)
    edit.replace(
        last.name,
        replace(last, name=place),
        Node(last.name, Conv(activation=last.op.activation), (place,), unit),
    )
    return edit.result(), (*layers[:-1], place)


def _shares(channels: ChannelMap, name: str, classes: Classes) -> bool:
    return bool(np.isin(channels.classes[name], classes).any())
