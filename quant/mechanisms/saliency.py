"""How much each channel matters: by its weights, by the gradient of the loss, or by the error of its readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional

from quant.float_network import float_node
from quant.mechanisms.rewrite.channels import ChannelMap, Width
from toolflow.ir.graph import Node
from toolflow.operators.window import Pads

Tensor = torch.Tensor

MAX_COLUMNS = 1 << 14  # positions that second moments are taken over
MANY = 4  # times as many positions are unfolded, evenly over the images
MAX_MOMENTS = 1 << 24  # that are held at once


def magnitudes(channels: ChannelMap) -> Mapping[int, float]:
    """Return for each class the sum of the magnitudes of the kernels that make it."""
    found: dict[int, float] = {}
    for node in channels.graph.nodes:
        if node.op.has_weights:
            weight = node.weights["weight"]
            sums = np.abs(weight.astype(np.float64)).reshape(len(weight), -1).sum(axis=1)
            _add(found, channels.classes[node.name], sums)
    return found


def fisher(channels: ChannelMap, x: Tensor, labels: Tensor, batch: int = 128) -> Mapping[int, float]:
    """Return for each class Δ = ½·mean_n (Σ_hw a·∂L/∂a)² of the layers that make it (Theis et al. 2018).

    Args:
        channels: the network's channels.
        x: normalised images (N, C, H, W).
        labels: their classes (N,).
        batch: images at once.
    """
    graph = channels.graph
    layers = [node.name for node in graph.nodes if node.op.has_weights and node.name != graph.output]
    found: dict[int, float] = {}
    for some, truth in zip(torch.split(x, batch), torch.split(labels, batch), strict=True):
        live = {graph.input_name: some.detach().requires_grad_()}
        for node in graph.nodes:
            live[node.name] = float_node(node, [live[name] for name in node.inputs])
        loss = functional.cross_entropy(live[graph.output].flatten(1), truth, reduction="sum")
        gradients = torch.autograd.grad(loss, [live[name] for name in layers])
        for name, gradient in zip(layers, gradients, strict=True):
            product = (live[name].detach() * gradient).flatten(2) if gradient.ndim > 2 else None
            each = live[name].detach() * gradient if product is None else product.sum(2)
            _add(found, channels.classes[name], each.double().square().sum(0).numpy() / (2 * len(x)))
    return found


def quadratic_error(channels: ChannelMap, width: Width, x: Tensor) -> npt.NDArray[np.float64]:
    """Return Q (C, C), so that mᵀQm/2 is the error of the layers that read a width, without the classes of m (0 or 1).

    The error of a layer is ½E‖z' − z‖² = ½ Σ_k δw_kᵀ H δw_k with H = E[xxᵀ] of its input columns, taken once; a class
    that is left out is δw = −w on its columns. So no candidate needs the network. Depthwise layers pass a class on.

    Args:
        channels: the network's channels.
        width: the classes, in whose order Q is.
        x: normalised images (N, C, H, W).
    """
    graph = channels.graph
    place = {each: index for index, each in enumerate(width.classes)}
    total = np.zeros((len(place), len(place)))
    last_use = {tensor: index for index, node in enumerate(graph.nodes) for tensor in node.inputs}
    live = {graph.input_name: x}
    with torch.no_grad():
        for index, node in enumerate(graph.nodes):
            inputs = [live[name] for name in node.inputs]
            live[node.name] = float_node(node, inputs)
            classes = channels.classes[node.inputs[0]].tolist()
            mine = [channel for channel, each in enumerate(classes) if each in place]
            if node.op.has_weights and node.op.groups == 1 and mine:
                places = np.array([place[classes[channel]] for channel in mine])
                np.add.at(total, (places[:, None], places), _error(node, inputs[0][:, mine], mine))
            for name in node.inputs:
                if last_use[name] == index:
                    live.pop(name, None)
    return total


def _error(node: Node, inputs: Tensor, mine: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return (c, c) of a layer for the channels `mine` of its input, which `inputs` holds."""
    weight = node.weights["weight"].astype(np.float64)[:, mine]
    if node.op.convolves:
        inputs = _columns(node, inputs, (weight.shape[2], weight.shape[3]))
    columns = inputs.double().numpy()  # (n, c · taps)
    flat = weight.reshape(len(weight), -1)
    taps = flat.shape[1] // len(mine)
    found = np.zeros((len(mine), len(mine)))
    step = max(MAX_MOMENTS // (taps * flat.shape[1]), 1)  # channels at once: all moments together may be too many
    for first in range(0, len(mine), step):
        some = slice(first * taps, (first + step) * taps)
        second = columns[:, some].T @ columns / len(columns)
        product = second * (flat[:, some].T @ flat)
        found[first : first + step] = product.reshape(-1, taps, len(mine), taps).sum(axis=(1, 3))
    return found


def _columns(node: Node, x: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Return the input columns (positions, C · taps) of a convolution, a part of them evenly where they are many."""
    pads: Pads = node.op.pads  # type: ignore[attr-defined]  # a direct convolution has it
    stride, dilation = node.op.stride, node.op.dilation  # type: ignore[attr-defined]
    top, left, bottom, right = pads
    some = x[:: -(-x.numel() // (MANY * MAX_COLUMNS * x.shape[1]))]
    unfolded = functional.unfold(functional.pad(some, (left, right, top, bottom)), kernel, dilation, 0, stride)
    columns = unfolded.transpose(1, 2).flatten(0, 1)
    return columns[:: -(-len(columns) // MAX_COLUMNS)]


def _add(found: dict[int, float], classes: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
    for each, value in zip(classes.tolist(), values, strict=True):
        found[each] = found.get(each, 0.0) + float(value)
