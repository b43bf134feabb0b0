"""The float meaning of every operator in torch: what quantisation is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from toolflow.ir.activation import Activation
from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Operator
from toolflow.operators.folders import part

Tensor = torch.Tensor

BATCH_IMAGES = 250  # normalised at once


def weight_of(node: Node, name: str, dtype: torch.dtype) -> Tensor:
    """Return one of a node's weights as a tensor."""
    return torch.as_tensor(node.weights[name].copy()).to(dtype)


def apply_activation(activation: Activation, x: Tensor) -> Tensor:
    """Return activation(x)."""
    if activation is Activation.NONE:
        return x
    return torch.relu(x) if activation.upper is None else torch.clamp(x, min=0.0, max=activation.upper)


def accumulate(op: Operator, x: Tensor, weight: Tensor) -> Tensor:
    """Return the sums of a layer with weights, without bias, residual and activation."""
    sums: Tensor = part(op.kind, "torch_form").sums(op, x, weight)
    return sums


def before_activation(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Return a node's tensor before its activation, from its inputs' tensors."""
    op, x = node.op, inputs[0]
    if not op.has_weights:
        value: Tensor = part(op.kind, "torch_form").value(op, inputs, node.weights)
        return value
    total = accumulate(op, x, weight_of(node, "weight", x.dtype))
    total += weight_of(node, "bias", x.dtype).view(-1, *[1] * (total.ndim - 2))
    return total + inputs[1] if len(inputs) > 1 else total


def float_node(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Return a node's tensor from its inputs' tensors."""
    return apply_activation(node.op.activation, before_activation(node, inputs))


def model_output(graph: Graph, x: Tensor) -> Tensor:
    """Return the float network's output for what the model itself takes (N, C, H, W): before its input map."""
    if graph.input_map is not None:
        scale, shift = (
            torch.tensor(v, dtype=x.dtype).view(-1, 1, 1) for v in (graph.input_map.scale, graph.input_map.shift)
        )
        x = x * scale + shift
    return float_logits(graph, x)


def float_logits(graph: Graph, x: Tensor, batch: int = 128) -> Tensor:
    """Return the float network's output for a normalised input (N, C, H, W)."""
    outputs = []
    with torch.no_grad():
        for part in torch.split(x, batch):
            live = {graph.input_name: part}
            for node in graph.nodes:
                live[node.name] = float_node(node, [live[t] for t in node.inputs])
            outputs.append(live[graph.output])
    return torch.cat(outputs)


def float_classes(
    graph: Graph, images: npt.NDArray[np.uint8], normalise: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
) -> npt.NDArray[np.int64]:
    """Return the class that the float network answers for each image, int64 (N,).

    Args:
        graph: the float network, Winograd layers included.
        images: uint8 (N, H, W, C).
        normalise: from such images to the network's input (N, C, H, W).
    """
    parts = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(images), BATCH_IMAGES):
        x = torch.as_tensor(normalise(images[start : start + BATCH_IMAGES])).float()
        parts.append(float_logits(graph, x).reshape(len(x), -1).argmax(dim=1).numpy().astype(np.int64))
    return np.concatenate(parts)
