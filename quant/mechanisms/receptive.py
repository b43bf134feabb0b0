"""The receptive field of each map: the rows and columns of the image that one of its values depends on."""

from __future__ import annotations

from collections.abc import Mapping

from toolflow.ir.graph import Graph, Node

Pair = tuple[int, int]  # (vertical, horizontal)

WINOGRAD_KERNEL = (3, 3)  # of the layers whose weights are transformed


def receptive_fields(graph: Graph) -> Mapping[str, Pair]:
    """Return for each map its receptive field, padding included; of the operands of an addition the larger one."""
    size: dict[str, Pair] = {graph.input_name: (1, 1)}
    step: dict[str, Pair] = {graph.input_name: (1, 1)}  # in the image, from one value to the next
    for node in graph.nodes:
        inputs = [tensor for tensor in node.inputs if tensor in size]
        if len(graph.shapes[node.name]) != 3 or not inputs:
            continue
        kernel, stride, dilation = _window(node)
        before, first = size[inputs[0]], step[inputs[0]]
        for other in inputs[1:]:
            before = max(before[0], size[other][0]), max(before[1], size[other][1])
        reach = [(kernel[axis] - 1) * dilation[axis] * first[axis] for axis in (0, 1)]
        size[node.name] = before[0] + reach[0], before[1] + reach[1]
        step[node.name] = first[0] * stride[0], first[1] * stride[1]
    return size


def _window(node: Node) -> tuple[Pair, Pair, Pair]:
    """Return kernel, stride and dilation; one position where an operator has none."""
    kernel: Pair = getattr(node.op, "kernel", (1, 1))
    if node.op.convolves:
        height, width = node.weights["weight"].shape[2:]
        kernel = WINOGRAD_KERNEL if node.op.tile else (height, width)
    return kernel, getattr(node.op, "stride", (1, 1)), getattr(node.op, "dilation", (1, 1))
