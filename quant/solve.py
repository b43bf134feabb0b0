"""From a float graph and calibration images to every scale and integer: one walk in topological order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from quant.arrange import Arrangement
from quant.assign import dense_layers, layer_forms
from quant.config import LOGIT_BITS, QuantiseConfig
from quant.float_run import (
    accumulate,
    apply_activation,
    before_activation,
    float_node,
    move,
    weight_of,
    window_sums,
)
from quant.multipliers import smallest_weight_scale, snap_residual_scale, snap_weight_scales
from quant.ranges import Histogram, activation_scale, histogram, next_power_of_two
from quant.rounding import MAX_COLUMNS
from quant.weights import DenseWeights, Rounded, ScaleRule, solve_weights
from toolflow.ir.graph import Graph, Node
from toolflow.ir.quantised import TensorType
from toolflow.numerics.requantise import BIAS_BITS
from toolflow.numerics.types import IntegerType
from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import Add, AvgPool, Concat, Conv, Flatten, Layer, MaxPool, Pad, Shortcut, WinogradConv

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

BATCH = 64
KEPT_BYTES = 1 << 30  # float tensors up to this size are kept between the two passes
LOGIT_MARGIN = 2.0
INSERTED_BITS = 2
RELATIVE_FLOOR = 2.0**-12


@dataclass(frozen=True)
class LayerNumbers:
    """A layer's integers.

    Attributes:
        weight: int64, the float weight's shape.
        weight_scale: (K,).
        weight_bits: declared width.
        bias: int64 (K,), in steps of input scale · weight scale (over the transforms' scale, of a Winograd layer).
        exponent: int64 (t, t), the left shift of each tap, of a Winograd layer only.
    """

    weight: Int64Array
    weight_scale: FloatArray
    weight_bits: int
    bias: Int64Array
    exponent: Int64Array | None = None

    @property
    def steps(self) -> FloatArray:
        """The step of every weight, to be broadcast over them."""
        scale = self.weight_scale.reshape(-1, *[1] * (self.weight.ndim - 1))
        return scale if self.exponent is None else np.ldexp(scale, self.exponent)


@dataclass(frozen=True)
class LayerQuality:
    """What rounding did to one tensor: error energy over signal energy, and the form of the layer that made it."""

    name: str
    weight_bits: int
    output: TensorType
    relative_error: float
    tile: int = 0
    pattern: tuple[int, int] | None = None


@dataclass(frozen=True)
class Held:
    """What of a quantised network stays as it is when its float weights and biases are rounded again.

    Attributes:
        types: of every tensor.
        scales: (K,) of every layer's weights, as near as the hardware's multipliers come.
        exponents: of the taps, int64 (t, t), of Winograd layers.
    """

    types: Mapping[str, TensorType]
    scales: Mapping[str, FloatArray]
    exponents: Mapping[str, Int64Array]


@dataclass(frozen=True)
class Solution:
    """Every number of a quantised network.

    Attributes:
        graph: the float network, each layer in the form that was chosen.
        types: of every tensor.
        layers: of every conv and linear.
        qualities: of every node that rounds.
        notes: what a reader of the report should know.
    """

    graph: Graph
    types: Mapping[str, TensorType]
    layers: Mapping[str, LayerNumbers]
    qualities: tuple[LayerQuality, ...]
    notes: tuple[str, ...]


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
    """
    with torch.no_grad():
        return _Walk(arrangement, x, image_reach, config, progress, held).run()


_Numbers = tuple[LayerNumbers, torch.Tensor]


class _Walk:
    """The walk's state: live tensors of both networks, scales of the groups so far."""

    def __init__(
        self,
        arrangement: Arrangement,
        x: torch.Tensor,
        image_reach: float,
        config: QuantiseConfig,
        progress: Callable[[str], None],
        held: Held | None,
    ) -> None:
        self.held = held
        self.a, self.graph, self.config = arrangement, arrangement.graph, config
        self.progress = progress
        self.x = x
        self.group_bits = self._group_bits()
        self.scales: dict[str, float] = {}
        _, upper = config.integer_range(config.first_last_bits)
        self.image_limit = upper
        reach = image_reach / upper
        image = self.a.group[self.graph.input_name]
        self.scales[image] = reach if config.family == "multiplier" else next_power_of_two(reach)
        if held is not None:
            self.scales |= {self.a.group[name]: kind.scale for name, kind in held.types.items()}
        self.forms = layer_forms(arrangement, config)
        self.chosen: dict[str, Node] = {}
        self.layers: dict[str, LayerNumbers] = {}
        self.qualities: list[LayerQuality] = []
        self.notes: list[str] = []
        self.notes += [f"'{name}' stayed dense: {why}" for name, why in dense_layers(arrangement, config).items()]
        self.histograms: dict[str, list[Histogram]] = {}
        self.means: dict[str, torch.Tensor] = {}
        self.kept: dict[str, torch.Tensor] = {}
        self.generator = torch.Generator().manual_seed(config.seed)

    def run(self) -> Solution:
        self._float_pass()
        exact = {self.graph.input_name: self.x}
        scale = self.scales[self.a.group[self.graph.input_name]]
        rounded = torch.round(self.x / scale).clamp(-self.image_limit, self.image_limit) * scale
        seen = {self.graph.input_name: rounded}
        last_use = {tensor: i for i, node in enumerate(self.graph.nodes) for tensor in node.inputs}
        for index, node in enumerate(self.graph.nodes):
            self.progress(node.name)
            exact[node.name] = self._exact(node, exact)
            if isinstance(node.op, MaxPool | Flatten | Pad | Shortcut | Concat):
                op = node.op
                seen[node.name] = _batched(lambda *t, o=op: move(o, t), [seen[t] for t in node.inputs])
            else:
                group = self.a.group[node.name]
                if group not in self.scales:
                    self.scales[group] = self._output_scale(node, group, self.histograms[group])
                seen[node.name] = self._rounded(node, exact, seen)
                self._judge(self.chosen.get(node.name, node), exact[node.name], seen[node.name])
            for tensor in node.inputs:
                if last_use[tensor] == index:
                    exact.pop(tensor, None)
                    seen.pop(tensor, None)
        types = {name: self.type_of(name) for name in self.graph.shapes}
        graph = replace(self.graph, nodes=tuple(self.chosen.get(node.name, node) for node in self.graph.nodes))
        return Solution(graph, types, self.layers, tuple(self.qualities), tuple(self.notes))

    def _exact(self, node: Node, exact: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the float network's tensor: kept from the first pass, or computed again."""
        if node.name in self.kept:
            return self.kept.pop(node.name)
        return _batched(lambda *t: float_node(node, t), [exact[t] for t in node.inputs])

    # ---- types ----------------------------------------------------------------------------

    def _group_bits(self) -> dict[str, int]:
        bits: dict[str, int] = {}
        for group, nodes in self.a.producers.items():
            chosen = [self.config.overrides[n.name][1] for n in nodes if n.name in self.config.overrides]
            bits[group] = max(chosen, default=self.config.activation_bits)
        bits[self.a.group[self.graph.input_name]] = self.config.first_last_bits
        bits[self.a.group[self.graph.output]] = LOGIT_BITS
        return bits

    def type_of(self, tensor: str) -> TensorType:
        group = self.a.group[tensor]
        return TensorType(IntegerType(self.group_bits[group], group not in self.a.unsigned), self.scales[group])

    def weight_bits(self, node: Node) -> int:
        if node.name in self.a.inserted:
            return INSERTED_BITS
        if node.name in self.config.overrides:
            return self.config.overrides[node.name][0]
        if node.name in self.a.first | self.a.last:
            return self.config.first_last_bits
        return self.config.weight_bits

    # ---- activations ----------------------------------------------------------------------

    def _float_pass(self) -> None:
        """Run the float network once: magnitudes of what each group holds, means before activations."""
        elements = sum(int(np.prod(shape)) for shape in self.graph.shapes.values()) * len(self.x)
        keep = 4 * elements <= KEPT_BYTES
        live = {self.graph.input_name: self.x}
        last_use = {tensor: i for i, node in enumerate(self.graph.nodes) for tensor in node.inputs}
        for index, node in enumerate(self.graph.nodes):
            sources = [live[t] for t in node.inputs]
            if isinstance(node.op, Layer | AvgPool | Add):
                value = _batched(lambda *t, n=node: before_activation(n, t), sources)
                self.means[node.name] = _channel_means(value)
                if isinstance(node.op, Layer | Add):
                    value = apply_activation(node.op.activation, value)
                self.histograms.setdefault(self.a.group[node.name], []).append(histogram(value))
            else:
                value = _batched(lambda *t, n=node: float_node(n, t), sources)
            live[node.name] = value
            if keep:
                self.kept[node.name] = value
            for tensor in node.inputs:
                if last_use[tensor] == index:
                    live.pop(tensor, None)

    def _output_scale(self, node: Node, group: str, histograms: Sequence[Histogram]) -> float:
        upper = IntegerType(self.group_bits[group], group not in self.a.unsigned).upper
        config = self.config
        if group == self.a.group[self.graph.output]:
            reach = max(h.largest for h in histograms) * LOGIT_MARGIN or 1.0
            scale = reach / upper if config.family == "multiplier" else next_power_of_two(reach / upper)
        else:
            percentile = config.percentile if config.ranges == "percentile" else None
            scale = activation_scale(histograms, upper, config.family, percentile)
        if config.family == "multiplier" and len(node.inputs) == 2:
            scale = snap_residual_scale(self.scales[self.a.group[node.inputs[1]]], scale)
        return scale

    def _round(self, node: Node, value: torch.Tensor) -> torch.Tensor:
        kind = self.type_of(node.name)
        steps = torch.round(value / kind.scale).clamp(kind.integer.lower, kind.integer.upper)
        return steps * kind.scale

    # ---- nodes that round -----------------------------------------------------------------

    def _rounded(self, node: Node, exact: Mapping[str, torch.Tensor], seen: Mapping[str, torch.Tensor]) -> torch.Tensor:
        op = node.op
        if isinstance(op, AvgPool):
            divisor = int(op.divisors(_map_shape(seen[node.inputs[0]])).flat[0])
            return _batched(lambda x: self._round(node, window_sums(op, x) / divisor), [seen[node.inputs[0]]])
        if isinstance(op, Add):
            total: Callable[..., torch.Tensor] = lambda a, b: self._round(node, apply_activation(op.activation, a + b))  # noqa: E731
            return _batched(total, [seen[t] for t in node.inputs])
        assert isinstance(op, Layer)
        form = self.forms.get(node.name, node)
        assert isinstance(form.op, Layer)
        self.layers[node.name], out = self._layer(form, form.op, exact, seen)
        self.chosen[node.name] = form
        return out

    def _layer(
        self, node: Node, op: Layer, exact: Mapping[str, torch.Tensor], seen: Mapping[str, torch.Tensor]
    ) -> _Numbers:
        """Return a layer's integers, and its output on the calibration images."""
        bits = self.weight_bits(node)
        made = self._integers(node, op, bits, exact, seen)
        weight, scales = made.integers.numpy().astype(np.int64), made.scales.numpy()
        exponent = None if made.exponent is None else made.exponent.numpy()
        steps = self._input_step(node) * scales
        numbers = LayerNumbers(weight, scales, bits, np.zeros(0, np.int64), exponent)
        rounded = made.values.float()
        sums = _batched(lambda x: accumulate(op, x, rounded), [seen[node.inputs[0]]])
        bias = weight_of(node, "bias", torch.float64)
        if self.config.bias_correction and self.held is None and node.name not in self.a.inserted:
            bias = self.means[node.name] - _channel_means(sums)
            for tensor in node.inputs[1:]:
                bias = bias - _channel_means(seen[tensor])
        limit = (1 << (BIAS_BITS - 1)) - 1
        bias_integers = np.clip(np.rint(bias.numpy() / steps), -limit, limit)
        numbers = replace(numbers, bias=bias_integers.astype(np.int64))
        offset = torch.as_tensor(bias_integers * steps).float().view(1, -1, *[1] * (sums.ndim - 2))

        def finish(total: torch.Tensor, *residual: torch.Tensor) -> torch.Tensor:
            total = total + offset
            total = total + residual[0] if residual else total
            return self._round(node, apply_activation(op.activation, total))

        return numbers, _batched(finish, [sums, *[seen[t] for t in node.inputs[1:]]])

    def _integers(
        self,
        node: Node,
        op: Layer,
        bits: int,
        exact: Mapping[str, torch.Tensor],
        seen: Mapping[str, torch.Tensor],
    ) -> Rounded:
        """Return a layer's weights as integers."""
        weight = weight_of(node, "weight", torch.float64)
        if node.name in self.a.inserted:  # the weight 1 must stay 1: the multiplier does the scaling
            return Rounded(weight, self._snap(node, torch.ones(len(weight), dtype=torch.float64)))
        if self.held is not None:
            return self._rounded_again(node, weight, self.held, self.config.integer_range(bits))
        source, config, output = node.inputs[0], self.config, self.graph.shapes[node.name]
        solved = solve_weights(op, weight, seen[source], exact[source], output, config.rounding, self.generator)
        if isinstance(solved, DenseWeights) and solved.covariance is None and config.rounding == "gptq":
            columns = solved.weight.shape[2]
            self.notes.append(f"'{node.name}': weights rounded to nearest, {columns} columns exceed {MAX_COLUMNS}")
        rule = ScaleRule(
            config.family, lambda level: self._smallest_scales(node, level), lambda scales: self._snap(node, scales)
        )
        return solved.rounded([config.integer_range(bits)], rule)[0]

    def _rounded_again(self, node: Node, weight: torch.Tensor, held: Held, limits: tuple[int, int]) -> Rounded:
        """Return weights as integers of the scales that they had, or of the nearest that the hardware has."""
        exponent = torch.as_tensor(held.exponents[node.name]) if node.name in held.exponents else None
        level = weight if exponent is None else weight / 2.0 ** exponent.double()
        rows = level.reshape(len(level), -1)
        scales = torch.as_tensor(held.scales[node.name])
        scales = self._snap(node, torch.maximum(scales, self._smallest_scales(node, rows)))
        integers = torch.round(rows / scales.view(-1, 1)).clamp(*limits)
        return Rounded(integers.reshape(weight.shape), scales, exponent)

    def _input_step(self, node: Node) -> float:
        """Return the value of an accumulator's step where the weight's is 1."""
        scale = self.scales[self.a.group[node.inputs[0]]]
        return scale / WINOGRAD[node.op.tile].scale if isinstance(node.op, WinogradConv) else scale

    def _scales_around(self, node: Node) -> tuple[float, float, float | None]:
        residual = self.scales[self.a.group[node.inputs[1]]] if len(node.inputs) == 2 else None
        return self._input_step(node), self.scales[self.a.group[node.name]], residual

    def _smallest_scales(self, node: Node, weight: torch.Tensor) -> torch.Tensor:
        """Return per channel the scale below which multiplier or bias would leave their widths."""
        source, output, residual = self._scales_around(node)
        rows = weight.reshape(-1, weight.shape[-1]).abs().amax(1)
        by_bias = weight_of(node, "bias", torch.float64).abs() * 4 / (source * 2.0 ** (BIAS_BITS - 1))
        beside = None if isinstance(node.op, WinogradConv) else residual  # its residual is shifted left
        smallest = max(smallest_weight_scale(source, output, beside), float(rows.max()) * RELATIVE_FLOOR / 127, 1e-30)
        return by_bias.clamp_min(smallest)

    def _snap(self, node: Node, scales: torch.Tensor) -> torch.Tensor:
        source, output, residual = self._scales_around(node)
        shifted = isinstance(node.op, WinogradConv)
        return torch.as_tensor(snap_weight_scales(scales.numpy(), source, output, residual, shifted=shifted))

    def _judge(self, node: Node, exact: torch.Tensor, seen: torch.Tensor) -> None:
        bits = self.layers[node.name].weight_bits if node.name in self.layers else 0
        tile = node.op.tile if isinstance(node.op, WinogradConv) else 0
        pattern = node.op.pattern if isinstance(node.op, Conv | WinogradConv) else None
        error = _relative_error(seen, exact)
        self.qualities.append(LayerQuality(node.name, bits, self.type_of(node.name), error, tile, pattern))


def _relative_error(seen: torch.Tensor, exact: torch.Tensor) -> float:
    return float(((seen - exact) ** 2).mean()) / (float((exact**2).mean()) or 1.0)


def _map_shape(x: torch.Tensor) -> tuple[int, ...]:
    return tuple(x.shape[1:])


def _batched(function: Callable[..., torch.Tensor], tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Apply a function to slices of the images and join the results."""
    first = function(*[t[:BATCH] for t in tensors])
    out = first.new_empty((len(tensors[0]), *first.shape[1:]))
    out[:BATCH] = first
    for start in range(BATCH, len(out), BATCH):
        out[start : start + BATCH] = function(*[t[start : start + BATCH] for t in tensors])
    return out


def _channel_means(x: torch.Tensor) -> torch.Tensor:
    """Return the mean of every channel over images and positions: float64 (C,)."""
    return x.flatten(2).mean(2).double().mean(0) if x.ndim > 2 else x.double().mean(0)
