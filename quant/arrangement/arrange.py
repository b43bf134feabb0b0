"""Before quantising: residuals into their layers, and the tensors that share one integer type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from toolflow.ir.graph import Graph, Node, verify_graph
from toolflow.operators import Conv, Linear
from toolflow.passes.bounds import non_negative
from toolflow.passes.fuse_residual import fuse_residual

IDENTITY = ".requantise"


@dataclass(frozen=True)
class Arrangement:
    """A float graph ready to be quantised.

    Attributes:
        graph: every addition that a layer can host is that layer's residual.
        group: tensor -> name of its group; the tensors of a group share one integer type and scale.
        unsigned: groups that never hold a negative value.
        first, last: layers that read the image; layers from which the output is reached without another.
        inserted: identity convolutions that only change a tensor's scale.
        notes: what was unified or inserted, for the report.
    """

    graph: Graph
    group: Mapping[str, str]
    unsigned: frozenset[str]
    first: frozenset[str]
    last: frozenset[str]
    inserted: frozenset[str]
    notes: tuple[str, ...]

    @property
    def producers(self) -> Mapping[str, tuple[Node, ...]]:
        """Group -> the nodes that round into it."""
        found: dict[str, tuple[Node, ...]] = {}
        for node in self.graph.nodes:
            if node.op.rounds:
                found[self.group[node.name]] = (*found.get(self.group[node.name], ()), node)
        return found


def arrange(graph: Graph, narrow: bool = False) -> Arrangement:
    """Fuse residuals, unify the scales of concats, and give image and output types of their own.

    A concat's operands get one scale. The image keeps its own: a concat that reads it reads a
    requantised copy instead. So does the output where its integers are also read inside the network.

    Args:
        graph: after the passes.
        narrow: activations have fewer bits than the image: then only layers read it as it is.
    """
    graph = fuse_residual(graph)
    notes: list[str] = []
    graph = _own_image(graph, narrow, notes)
    graph = _own_output(graph, notes)
    verify_graph(graph)
    group = _groups(graph)
    positive = non_negative(graph)
    rounding = [node for node in graph.nodes if node.op.rounds]
    signed = {group[node.name] for node in rounding if node.name not in positive}
    signed |= {group[graph.input_name], group[graph.output]}
    notes += [
        f"concat '{node.name}': its {len(node.inputs)} operands share one scale"
        for node in graph.nodes
        if node.op.joins
    ]
    return Arrangement(
        graph=graph,
        group=group,
        unsigned=frozenset(set(group.values()) - signed),
        first=_first(graph, group),
        last=_last(graph),
        inserted=frozenset(node.name for node in graph.nodes if node.name.endswith(IDENTITY)),
        notes=tuple(notes),
    )


def _groups(graph: Graph) -> Mapping[str, str]:
    parent = {name: name for name in graph.shapes}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for node in graph.nodes:
        if node.op.moves_only:
            for tensor in node.inputs:
                parent[root(node.name)] = root(tensor)
    return {name: root(name) for name in graph.shapes}


def _own_image(graph: Graph, narrow: bool, notes: list[str]) -> Graph:
    """Requantise what cannot read the image's own integers, directly or through operators that only move.

    That is a concat, whose operands share one type; and, where the image is wider than activations, all but the
    layers, which alone take it digit by digit.
    """
    image = {graph.input_name}
    nodes: list[Node] = []
    for node in graph.nodes:
        takes_any = (node.op.has_weights and not node.op.tile) or node.op.renames or (node.op.moves_only and not narrow)
        inputs = list(node.inputs)
        for place, tensor in enumerate(node.inputs):
            is_residual = narrow and place == 1
            if tensor in image and (node.op.joins or is_residual or (narrow and not takes_any)):
                copy = identity(f"{node.name}.{place}{IDENTITY}", tensor, graph.shapes[tensor])
                nodes.append(copy)
                notes.append(f"{node.op.kind} '{node.name}' reads a requantised copy of the image's '{tensor}'")
                inputs[place] = copy.name
        if node.op.moves_only and inputs[0] in image and not node.op.joins:
            image.add(node.name)
        nodes.append(replace(node, inputs=tuple(inputs)))
    return replace(graph, nodes=tuple(nodes))


def _own_output(graph: Graph, notes: list[str]) -> Graph:
    """End in a requantised copy unless the output is rounded by one node for nobody else, all of it by one rule."""
    name, alone = graph.output, graph.output not in graph.consumers
    producer = graph.by_name.get(name)
    while producer is not None and producer.op.renames:
        name = producer.inputs[0]
        alone = alone and len(graph.consumers[name]) == 1
        producer = graph.by_name.get(name)
    if (
        alone
        and producer is not None
        and producer.op.rounds
        and producer.op.rule_count(graph.shapes[producer.inputs[0]]) == 1
    ):
        return graph
    copy = identity(f"{graph.output}{IDENTITY}", graph.output, graph.shapes[graph.output])
    notes.append(
        f"the output is a requantised copy of '{graph.output}', which the network also reads, only moves, "
        "or rounds by several rules"
    )
    return replace(graph, nodes=(*graph.nodes, copy), output=copy.name)


def identity(name: str, tensor: str, shape: tuple[int, ...]) -> Node:
    """Return a layer that copies a tensor: depthwise 1×1 for a map, the unit matrix for a vector."""
    zeros = np.zeros(shape[0])
    if len(shape) == 1:
        return Node(name, Linear(), (tensor,), {"weight": np.eye(shape[0]), "bias": zeros})
    return Node(name, Conv(groups=shape[0]), (tensor,), {"weight": np.ones((shape[0], 1, 1, 1)), "bias": zeros})


def _first(graph: Graph, group: Mapping[str, str]) -> frozenset[str]:
    image = group[graph.input_name]
    return frozenset(node.name for node in graph.nodes if node.op.has_weights and group[node.inputs[0]] == image)


def _last(graph: Graph) -> frozenset[str]:
    found, open_tensors = set(), [graph.output]
    while open_tensors:
        node = graph.by_name.get(open_tensors.pop())
        if node is None:
            continue
        if node.op.has_weights and not node.name.endswith(IDENTITY):
            found.add(node.name)
        else:
            open_tensors.extend(node.inputs)
    return frozenset(found)
