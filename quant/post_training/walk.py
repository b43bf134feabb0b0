"""Choose every scale and integer of a float graph: one walk in topological order over calibration images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from quant.arrangement.arrange import Arrangement
from quant.arrangement.forms import dense_layers, layer_forms
from quant.batches import batched
from quant.config import QuantiseConfig
from quant.float_network import apply_activation, float_node
from quant.post_training.float_pass import FloatPass, float_pass
from quant.post_training.layer_rounding import LayerRounding, sum_step
from quant.post_training.quality import LayerQuality
from quant.post_training.ranges import next_power_of_two
from quant.post_training.scale_groups import group_scales
from quant.post_training.solution import Held, LayerNumbers, Solution
from quant.post_training.widths import group_types
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Node
from toolflow.ir.quantised import TensorType

Tensors = Mapping[str, torch.Tensor]


def solve(
    arrangement: Arrangement,
    x: torch.Tensor,
    image_reach: float,
    config: QuantiseConfig,
    progress: Callable[[str], None] = lambda _: None,
    held: Held | None = None,
) -> Solution:
    """Return every number.

    Args:
        arrangement: the float network.
        x: normalised calibration images, float32 (N, C, H, W).
        image_reach: largest magnitude that any pixel can have after normalisation.
        config: what to do.
        progress: is told the name of each layer.
        held: scales that are not to be found anew; weights are then rounded each on its own, and biases kept.

    Raises:
        ToolflowError: a layer cannot have the form that it is to have, or its numbers cannot be held.
    """
    with torch.no_grad():
        return _Walk(arrangement, config, held).run(x, image_reach, progress)


class _Walk:
    """The walk's state: what was found of the layers so far."""

    def __init__(self, arrangement: Arrangement, config: QuantiseConfig, held: Held | None) -> None:
        self.arrangement, self.graph, self.config, self.held = arrangement, arrangement.graph, config, held
        self.integers = group_types(arrangement, config)
        self.scales: Mapping[str, float] = {}
        self.forms = layer_forms(arrangement, config)
        self.layers: dict[str, LayerNumbers] = {}
        self.qualities: list[LayerQuality] = []
        self.notes = [f"'{name}' stayed dense: {why}" for name, why in dense_layers(arrangement, config).items()]

    def run(self, x: torch.Tensor, image_reach: float, progress: Callable[[str], None]) -> Solution:
        found = float_pass(self.arrangement, x)
        limit = self.config.integer_range(self.config.first_last_bits)[1]
        self._choose_scales(found, image_reach / limit)
        rounding = LayerRounding(self.arrangement, self.config, self.scales, found.means, self.held)
        if self.held is None:
            self._check(rounding)
        image = self.graph.input_name
        scale = self.scales[self.arrangement.group[image]]
        exact, seen = {image: x}, {image: torch.round(x / scale).clamp(-limit, limit) * scale}
        last_use = {tensor: i for i, node in enumerate(self.graph.nodes) for tensor in node.inputs}
        for index, node in enumerate(self.graph.nodes):
            progress(node.name)
            exact[node.name] = found.exact(node, exact)
            if node.op.moves_only:
                seen[node.name] = batched(lambda *t, n=node: float_node(n, t), [seen[t] for t in node.inputs])
            else:
                seen[node.name] = self._rounded(self._form(node), rounding, exact, seen)
                self._judge(self._form(node), exact[node.name], seen[node.name])
            for tensor in node.inputs:
                if last_use[tensor] == index:
                    exact.pop(tensor, None)
                    seen.pop(tensor, None)
        types = {name: self._type_of(name) for name in self.graph.shapes}
        graph = replace(self.graph, nodes=tuple(self._form(node) for node in self.graph.nodes))
        return Solution(graph, types, self.layers, tuple(self.qualities), (*self.notes, *rounding.notes))

    def _form(self, node: Node) -> Node:
        return self.forms.get(node.name, node)

    def _type_of(self, tensor: str) -> TensorType:
        group = self.arrangement.group[tensor]
        return TensorType(self.integers[group], self.scales[group])

    def _choose_scales(self, found: FloatPass, image_scale: float) -> None:
        """Choose every group's scale, or take those that are held."""
        if self.held is not None:
            self.scales = {self.arrangement.group[name]: kind.scale for name, kind in self.held.types.items()}
            return
        if self.config.family == "fixed-point":
            image_scale = next_power_of_two(image_scale)
        sums = {
            node.name: sum_step(self._form(node), self.arrangement, self.config)
            for node in self.graph.nodes
            if node.op.has_weights
        }
        self.scales, notes = group_scales(
            self.arrangement, found.magnitudes, self.integers, sums, image_scale, self.config
        )
        self.notes += notes

    def _check(self, rounding: LayerRounding) -> None:
        """Refuse what no weights could requantise before any are rounded, all of it at once."""
        problems = []
        for node in self.graph.nodes:
            try:
                rounding.check(self._form(node))
            except ToolflowError as error:
                problems.append(str(error))
        if problems:
            raise ToolflowError("\n".join(problems))

    def _rounded(self, node: Node, rounding: LayerRounding, exact: Tensors, seen: Tensors) -> torch.Tensor:
        """Return the tensor of a node that rounds; a layer's numbers are found and kept."""
        if not node.op.has_weights:
            return batched(lambda *t: self._round(node, float_node(node, t)), [seen[t] for t in node.inputs])
        self.layers[node.name], sums, bias = rounding.layer(node, exact, seen)

        def finish(total: torch.Tensor, *residual: torch.Tensor) -> torch.Tensor:
            total = total + bias
            total = total + residual[0] if residual else total
            return self._round(node, apply_activation(node.op.activation, total))

        return batched(finish, [sums, *[seen[t] for t in node.inputs[1:]]])

    def _round(self, node: Node, value: torch.Tensor) -> torch.Tensor:
        kind = self._type_of(node.name)
        steps = torch.round(value / kind.scale).clamp(kind.integer.lower, kind.integer.upper)
        return steps * kind.scale

    def _judge(self, node: Node, exact: torch.Tensor, seen: torch.Tensor) -> None:
        bits = self.layers[node.name].weight_bits if node.name in self.layers else 0
        error = float(((seen - exact) ** 2).mean()) / (float((exact**2).mean()) or 1.0)
        self.qualities.append(
            LayerQuality(node.name, bits, self._type_of(node.name), error, node.op.tile, node.op.pattern)
        )
