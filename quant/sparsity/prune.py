"""Pruning without training: layer by layer on calibration images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from quant.batches import batched
from quant.config import MAX_CALIBRATION_IMAGES, MAX_TENSOR_ELEMENTS, Normalisation
from quant.float_network import apply_activation, before_activation, float_node, weight_of
from quant.sparsity.choice import Choice, shaped
from quant.sparsity.moments import channel_major
from quant.sparsity.support import solve_layer
from toolflow.ir.graph import Graph, Node

Images = npt.NDArray[np.uint8]
Tensor = torch.Tensor


def prune_graph(
    graph: Graph,
    images: Images,
    normalisation: Normalisation,
    choices: Mapping[str, Choice],
    progress: Callable[[str], None] = lambda _: None,
    seed: int = 0,
) -> Graph:
    """Return the network with its layers as chosen, each solved for the outputs that it had.

    One walk in topological order: a layer's support and values are those that, on the inputs which the pruned layers
    before it leave, best give the outputs of the network as it was; the mean error goes into its bias.

    Args:
        graph: a simplified network; layers that are Winograd ones already keep their tile and, where they obey the new
            pattern, their support.
        images: calibration images, uint8 (N, H, W, C); 1,024 at most are used.
        normalisation: from pixel to the network's input.
        choices: tile and pattern by layer.
        progress: is told each layer as it is begun.
        seed: of the sample of tiles that a layer is solved on.
    """
    largest = max(int(np.prod(shape)) for shape in graph.shapes.values())
    used = images[: min(MAX_CALIBRATION_IMAGES, max(MAX_TENSOR_ELEMENTS // largest, 1))]
    generator = torch.Generator().manual_seed(seed)
    exact = {graph.input_name: torch.as_tensor(normalisation.apply(used)).float()}
    seen = dict(exact)
    last_use = {tensor: i for i, node in enumerate(graph.nodes) for tensor in node.inputs}
    nodes = []
    with torch.no_grad():
        for index, (node, new) in enumerate(zip(graph.nodes, shaped(graph, choices).nodes, strict=True)):
            progress(node.name)
            sources, given = ([live[t] for t in node.inputs] for live in (exact, seen))
            if node.op.has_weights:
                before = _before_activation(node, sources)
                if new.name in choices:
                    new = _solved(new, given[0], sources[0], generator)
                new = _centred(new, before, given)
                exact[node.name] = apply_activation(node.op.activation, before)
                seen[node.name] = apply_activation(node.op.activation, _before_activation(new, given))
            else:
                exact[node.name], seen[node.name] = float_node(node, sources), float_node(new, given)
            nodes.append(new)
            for tensor in node.inputs:
                if last_use[tensor] == index:
                    exact.pop(tensor, None)
                    seen.pop(tensor, None)
    return replace(graph, nodes=tuple(nodes))


def _solved(node: Node, seen: Tensor, exact: Tensor, generator: torch.Generator) -> Node:
    """Return the layer with its weights solved."""
    weight = weight_of(node, "weight", torch.float64)
    kernel = weight.shape[2], weight.shape[3]
    parts = [channel_major(part.weight, kernel) for part in solve_layer(node.op, weight, seen, exact, generator)]
    return replace(node, weights={**node.weights, "weight": torch.cat(parts, 1).numpy()})


def _centred(node: Node, wanted: Tensor, given: Sequence[Tensor]) -> Node:
    """Return the layer with the bias for which its outputs have the wanted mean."""
    axes = [0, *range(2, wanted.ndim)]
    error = (wanted - _before_activation(node, given)).mean(axes, dtype=torch.float64)
    return replace(node, weights={**node.weights, "bias": node.weights["bias"] + error.numpy()})


def _before_activation(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    return batched(lambda *t: before_activation(node, t), inputs)
