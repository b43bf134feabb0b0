"""Rewrites of a quantised graph that the engine's memories require.

Before: any quantised graph. After: the output is computed by a convolution that nobody else reads;
every shortcut is read as the residual of a convolution and by nothing else; no `Pad` is left; a
tensor takes part in one concat at most and no concat reads the image. The integers do not change:
what is inserted copies (weight 1, multiplier 1, shift 0).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolflow.ir.operator import HardwareForm, Operator, Shape
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType
from toolflow.numerics.requantise import Requantise
from toolflow.operators import Conv, Linear
from toolflow.operators.folders import sampling_of, selection_of


def prepare(graph: QuantisedGraph, drain_k: int) -> QuantisedGraph:
    """Return an equal graph in the engine's form (see the module)."""
    graph = _materialise_moves(graph, drain_k)
    graph = _separate_concat_inputs(graph)
    return _own_output(graph)


def result_tensor(graph: QuantisedGraph) -> str:
    """Return the tensor of a prepared graph that goes to the result memory: the output, seen through flattening."""
    name = graph.output
    while graph.by_name[name].op.renames:
        name = graph.by_name[name].inputs[0]
    return name


def _materialise_moves(graph: QuantisedGraph, drain_k: int) -> QuantisedGraph:
    """Turn shortcuts that a drain cannot read, and pads, into convolutions with weights of 0 and 1."""
    nodes = []
    for node in graph.nodes:
        source = graph.shapes[node.inputs[0]] if node.inputs else ()
        form = node.op.hardware
        if form is HardwareForm.SELECTION or (
            form is HardwareForm.SAMPLING and not _is_residual_only(graph, node, drain_k)
        ):
            op, weight = selection_of(node.op.kind)(node.op, source)
            node = _copy(graph, node.name, node.inputs[0], op, weight)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _is_residual_only(graph: QuantisedGraph, node: QuantisedNode, drain_k: int) -> bool:
    source = graph.by_name.get(node.inputs[0])
    readers = graph.consumers.get(node.name, ())
    return (
        sampling_of(node.op.kind)(node.op)[1] % drain_k == 0
        and node.name != graph.output
        and source is not None
        and source.op.hardware is not HardwareForm.SAMPLING
        and source.name not in _with_gaps(graph)
        and all(r.op.hardware is HardwareForm.CONVOLUTION and r.inputs[0] != node.name for r in readers)
    )


def _separate_concat_inputs(graph: QuantisedGraph) -> QuantisedGraph:
    """Give every concat operands of its own, so that they can be written side by side.

    What a residual reads is copied too where its channels may have gaps: residuals are read as if they had none.
    """
    nodes: list[QuantisedNode] = []
    types = dict(graph.types)
    taken = {graph.input_name}
    gapped = _with_gaps(graph)

    def copied(tensor: str, reader: QuantisedNode) -> str:
        name = f"{tensor}.copy{sum(n.name.startswith(f'{tensor}.copy') for n in nodes)}"
        nodes.append(_identity(graph, name, tensor))
        types[name] = graph.types[tensor]
        return name

    for node in graph.nodes:
        inputs = list(node.inputs)
        if node.op.joins:
            for place, tensor in enumerate(inputs):
                producer = graph.by_name.get(tensor)
                if tensor in taken or (producer is not None and producer.op.hardware.is_view):
                    inputs[place] = copied(tensor, node)
                taken.add(tensor)
        elif len(inputs) == 2 and inputs[1] in gapped:
            inputs[1] = copied(inputs[1], node)
        nodes.append(replace(node, inputs=tuple(inputs)))
    return replace(graph, nodes=tuple(nodes), types=types)


def _with_gaps(graph: QuantisedGraph) -> set[str]:
    """Return the concats, and what keeps their channels where they are: operands begin at whole words."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.op.joins or (node.op.hardware.keeps_layout and node.inputs[0] in found):
            found.add(node.name)
    return found


def _own_output(graph: QuantisedGraph) -> QuantisedGraph:
    """Add a copy as the output where the output is no convolution of its own."""
    producer = graph.by_name.get(graph.output)
    while producer is not None and producer.op.renames:
        if graph.consumers.get(producer.name):
            break
        producer = graph.by_name.get(producer.inputs[0])
    own = (
        producer is not None
        and producer.op.hardware is HardwareForm.CONVOLUTION
        and not producer.op.tile  # a tile's outputs do not come in order
        and producer.op.rule_count(graph.shapes[producer.inputs[0]]) == 1  # edges come after the whole
    )
    readers = () if producer is None else graph.consumers.get(producer.name, ())
    if own and all(reader.op.renames for reader in readers) and len(readers) <= 1:
        return graph
    name = f"{graph.output}.result"
    node = _identity(graph, name, graph.output)
    types = {**graph.types, name: graph.types[graph.output]}
    return replace(graph, nodes=(*graph.nodes, node), types=types, output=name)


def _identity(graph: QuantisedGraph, name: str, tensor: str) -> QuantisedNode:
    shape: Shape = graph.shapes[tensor]
    if len(shape) == 1:
        return _copy(graph, name, tensor, Linear(), np.eye(shape[0], dtype=np.int64))
    return _copy(graph, name, tensor, Conv(groups=shape[0]), np.ones((shape[0], 1, 1, 1), dtype=np.int64))


def _copy(graph: QuantisedGraph, name: str, tensor: str, op: Operator, weight: np.ndarray) -> QuantisedNode:
    channels = len(weight)
    kind: TensorType = graph.types[tensor]
    rule = Requantise(
        bias=np.zeros(channels, np.int64),
        multiplier=np.ones(channels, np.int64),
        shift=np.zeros(channels, np.int64),
        lower=kind.integer.lower,
        upper=kind.integer.upper,
    )
    return QuantisedNode(name, op, (tensor,), {"weight": weight}, rule, weight_bits=2)
