"""The float meaning of every operator in torch: what quantisation is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional

from quant.winograd.transforms import winograd_sums
from toolflow.ir.graph import Graph, Node
from toolflow.operators import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    Flatten,
    Layer,
    Linear,
    MaxPool,
    Pad,
    Shortcut,
    WinogradConv,
)
from toolflow.operators.window import window_shape

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


def symmetric_pads(op: Conv | MaxPool) -> tuple[int, int] | None:
    """Return (vertical, horizontal) pads where torch's own padding does the same, else None."""
    top, left, bottom, right = op.pads
    return (top, left) if (top, left) == (bottom, right) else None


def pad_for_windows(x: Tensor, op: Conv | MaxPool | AvgPool, kernel: tuple[int, int], fill: float = 0.0) -> Tensor:
    """Pad x so that exactly the operator's windows fit, those of ceil mode included."""
    dilation = op.dilation if isinstance(op, Conv | MaxPool) else (1, 1)
    ceil_mode = op.ceil_mode if isinstance(op, MaxPool | AvgPool) else False
    _, channels, height, width = x.shape
    out = window_shape((channels, height, width), kernel, op.stride, op.pads, dilation, ceil_mode)
    top, left = op.pads[:2]
    reach = [(out[a] - 1) * op.stride[a] + (kernel[a] - 1) * dilation[a] + 1 for a in (0, 1)]
    bottom, right = max(reach[0] - height - top, 0), max(reach[1] - width - left, 0)
    if top == left == bottom == right == 0:
        return x
    return functional.pad(x, (left, right, top, bottom), value=fill)


def accumulate(op: Layer, x: Tensor, weight: Tensor) -> Tensor:
    """Return the layer's sums, without bias, residual and activation."""
    if isinstance(op, WinogradConv):
        return winograd_sums(op, x, weight)
    if isinstance(op, Linear):
        return functional.linear(x, weight)
    pads = symmetric_pads(op)
    if pads is None:
        x, pads = pad_for_windows(x, op, (weight.shape[2], weight.shape[3])), (0, 0)
    return functional.conv2d(x, weight, None, op.stride, pads, op.dilation, op.groups)


def window_sums(op: AvgPool, x: Tensor) -> Tensor:
    """Return the sum of every window, as a depthwise convolution with ones."""
    channels = x.shape[1]
    ones = torch.ones((channels, 1, *op.kernel), dtype=x.dtype, device=x.device)
    return functional.conv2d(pad_for_windows(x, op, op.kernel), ones, None, op.stride, groups=channels)


def move(op: MaxPool | Flatten | Pad | Shortcut | Concat, inputs: Sequence[Tensor]) -> Tensor:
    """Apply an operator that only moves or compares values."""
    x = inputs[0]
    match op:
        case MaxPool():
            pads = symmetric_pads(op)
            if pads is not None and not op.ceil_mode and all(2 * p <= k for p, k in zip(pads, op.kernel, strict=True)):
                return functional.max_pool2d(x, op.kernel, op.stride, pads, op.dilation)
            padded = pad_for_windows(x, op, op.kernel, float("-inf"))
            return functional.max_pool2d(padded, op.kernel, op.stride, 0, op.dilation)
        case Flatten():
            return x.flatten(1)
        case Pad():
            top, left, bottom, right = op.pads
            return functional.pad(x, (left, right, top, bottom, op.channels_before, op.channels_after))
        case Shortcut():
            sampled = x[:, :, :: op.stride[0], :: op.stride[1]]
            return functional.pad(sampled, (0, 0, 0, 0, op.before, op.after))
        case Concat():
            return torch.cat(list(inputs), 1)


def before_activation(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Return a node's tensor before its activation, from its inputs' tensors.

    Raises:
        TypeError: the operator exists only before the passes.
    """
    op, x = node.op, inputs[0]
    if isinstance(op, Layer):
        bias = weight_of(node, "bias", x.dtype)
        total = accumulate(op, x, weight_of(node, "weight", x.dtype))
        total += bias if isinstance(op, Linear) else bias.view(1, -1, 1, 1)
        return total + inputs[1] if len(inputs) > 1 else total
    if isinstance(op, Add):
        return x + inputs[1]
    if isinstance(op, AvgPool):
        divisors = torch.as_tensor(op.divisors(tuple(x.shape[1:])), device=x.device)
        return window_sums(op, x) / divisors
    if isinstance(op, MaxPool | Flatten | Pad | Shortcut | Concat):
        return move(op, inputs)
    raise TypeError(f"{op.kind} '{node.name}' must have been rewritten by the passes")


def float_node(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """Return a node's tensor from its inputs' tensors."""
    value = before_activation(node, inputs)
    return apply_activation(node.op.activation, value) if isinstance(node.op, Layer | Add) else value


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
