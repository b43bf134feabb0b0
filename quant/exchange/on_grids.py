"""A network that was quantised elsewhere, evaluated as its file says: real numbers in float64, node by node."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from quant.config import Normalisation
from quant.float_network import float_node
from toolflow.ir.graph import Graph

BATCH_IMAGES = 16


def grid_values(
    graph: Graph, images: npt.NDArray[np.uint8], normalisation: Normalisation, origin: Mapping[str, str]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return real values of tensors of a float graph with `FakeQuant` nodes.

    Args:
        graph: the network.
        images: uint8 (N, H, W, C).
        normalisation: from pixel to the network's input.
        origin: the wanted tensors of the graph under the names that the result gives them.
    """
    parts: list[dict[str, npt.NDArray[np.float64]]] = []
    with torch.no_grad():
        for start in range(0, len(images), BATCH_IMAGES):
            live = {graph.input_name: torch.as_tensor(normalisation.apply(images[start : start + BATCH_IMAGES]))}
            for node in graph.nodes:
                live[node.name] = float_node(node, [live[tensor] for tensor in node.inputs])
            parts.append({name: live[tensor].numpy() for name, tensor in origin.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in origin}
