"""The float network on the calibration images: the reference of every scale and every bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from quant.arrangement.arrange import Arrangement
from quant.batches import batched, channel_means
from quant.float_network import apply_activation, before_activation, float_node
from quant.post_training.ranges import histogram
from quant.post_training.scale_groups import Magnitudes
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Node

KEPT_BYTES = 1 << 30  # float tensors up to this size are kept for the walk


@dataclass
class FloatPass:
    """The results of the float network.

    Attributes:
        magnitudes: group -> what the nodes that round into it gave; not of the image.
        means: of each channel before the activation, float64 (C,), of every node that rounds.
        kept: tensors (N, ..), all of them or none.
    """

    magnitudes: dict[str, Magnitudes] = field(default_factory=dict)
    means: dict[str, torch.Tensor] = field(default_factory=dict)
    kept: dict[str, torch.Tensor] = field(default_factory=dict)

    def exact(self, node: Node, live: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return a node's tensor, once: kept, or computed again from the live ones."""
        if node.name in self.kept:
            return self.kept.pop(node.name)
        return batched(lambda *t: float_node(node, t), [live[t] for t in node.inputs])


def float_pass(arrangement: Arrangement, x: torch.Tensor) -> FloatPass:
    """Run the float network once on normalised images (N, C, H, W).

    Raises:
        ToolflowError: an output is not finite.
    """
    graph, found = arrangement.graph, FloatPass()
    elements = sum(int(np.prod(shape)) for shape in graph.shapes.values()) * len(x)
    keep = 4 * elements <= KEPT_BYTES
    live = {graph.input_name: x}
    last_use = {tensor: i for i, node in enumerate(graph.nodes) for tensor in node.inputs}
    for index, node in enumerate(graph.nodes):
        sources = [live[t] for t in node.inputs]
        if node.op.rounds:
            value = batched(lambda *t, n=node: before_activation(n, t), sources)
            found.means[node.name] = channel_means(value)
            value = _measured(node, value, found.magnitudes.setdefault(arrangement.group[node.name], Magnitudes()))
        else:
            value = batched(lambda *t, n=node: float_node(n, t), sources)
        live[node.name] = value
        if keep:
            found.kept[node.name] = value
        for tensor in node.inputs:
            if last_use[tensor] == index:
                live.pop(tensor, None)
    return found


def _measured(node: Node, value: torch.Tensor, into: Magnitudes) -> torch.Tensor:
    """Return a node's output from its tensor before the activation, and note its magnitudes."""
    hidden = value
    value = apply_activation(node.op.activation, value)
    if not bool(torch.isfinite(value).all()):
        wrong = float(value[~torch.isfinite(value)][0])
        raise ToolflowError(
            f"'{node.name}': its float outputs on the calibration images must be finite, not {wrong}: its weights, "
            "or those before it, are too large or no numbers"
        )
    found = histogram(value)
    into.histograms.append(found)
    if found.largest == 0:
        channels = hidden.transpose(0, 1).flatten(1)
        into.hidden = max(into.hidden, float((channels.amax(1) - channels.amin(1)).max()))
    return value
