"""Adaptive batch normalisation: give each channel the mean and variance again that it had before the network changed.

A batch norm whose running statistics are measured again does exactly this to its channel. The batch norms of a graph
are folded into its convolutions, whose sums show the same statistics; so a network without batch norm can be adapted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from quant.float_network import accumulate, apply_activation, float_node, weight_of
from toolflow.ir.graph import Graph, Node
from toolflow.operators.channels import Mask

Tensor = torch.Tensor

SMALLEST_VARIANCE = 1e-8  # below it, of either network, a channel keeps its scale


@dataclass(frozen=True)
class Moments:
    """Mean and variance (K,) of a convolution's sums with their bias, over images and positions."""

    mean: Tensor
    variance: Tensor

    def kept(self, mask: Mask) -> Moments:
        """Return the moments of the channels that stay."""
        some = torch.as_tensor(mask)
        return Moments(self.mean[some], self.variance[some])


def statistics(graph: Graph, x: Tensor) -> Mapping[str, Moments]:
    """Return the moments of every convolution of a network on normalised images (N, C, H, W)."""
    found: dict[str, Moments] = {}
    _walk(graph, x, found, {})
    return found


def adapted(graph: Graph, x: Tensor, wanted: Mapping[str, Moments]) -> Graph:
    """Return the network with every convolution scaled and shifted to the wanted moments, in topological order.

    Args:
        graph: the changed network.
        x: normalised images (N, C, H, W), the same as those of `statistics`.
        wanted: moments by name; a convolution without an entry stays as it is.
    """
    nodes: dict[str, Node] = {}
    _walk(graph, x, {}, wanted, nodes)
    return replace(graph, nodes=tuple(nodes.get(node.name, node) for node in graph.nodes))


@torch.no_grad()
def _walk(
    graph: Graph,
    x: Tensor,
    found: dict[str, Moments],
    wanted: Mapping[str, Moments],
    changed: dict[str, Node] | None = None,
) -> None:
    last_use = {tensor: index for index, node in enumerate(graph.nodes) for tensor in node.inputs}
    live = {graph.input_name: x}
    for index, node in enumerate(graph.nodes):
        inputs = [live[name] for name in node.inputs]
        if node.op.convolves:
            sums = accumulate(node.op, inputs[0], weight_of(node, "weight", x.dtype))
            sums += weight_of(node, "bias", x.dtype).view(-1, 1, 1)
            variance, mean = torch.var_mean(sums.double(), (0, 2, 3), correction=0)
            found[node.name] = Moments(mean, variance)
            if changed is not None and node.name in wanted:
                scale, shift = _affine(found[node.name], wanted[node.name])
                changed[node.name] = _scaled(node, scale, shift)
                sums = sums * scale.to(x.dtype).view(-1, 1, 1) + shift.to(x.dtype).view(-1, 1, 1)
            total = sums + inputs[1] if len(inputs) > 1 else sums
            live[node.name] = apply_activation(node.op.activation, total)
        else:
            live[node.name] = float_node(node, inputs)
        for name in node.inputs:
            if last_use[name] == index:
                live.pop(name, None)


def _affine(now: Moments, wanted: Moments) -> tuple[Tensor, Tensor]:
    """Return scale and shift (K,) that bring one pair of moments to the other."""
    flat = (now.variance < SMALLEST_VARIANCE) | (wanted.variance < SMALLEST_VARIANCE)
    scale = torch.where(flat, torch.ones_like(now.mean), (wanted.variance / now.variance.clamp_min(1e-30)).sqrt())
    return scale, wanted.mean - now.mean * scale


def _scaled(node: Node, scale: Tensor, shift: Tensor) -> Node:
    weight, bias = (weight_of(node, name, torch.float64) for name in ("weight", "bias"))
    arrays = {"weight": weight * scale.view(-1, 1, 1, 1), "bias": bias * scale + shift}
    return replace(node, weights={**node.weights, **{name: each.numpy() for name, each in arrays.items()}})
