"""From a float graph and calibration images to every scale and integer: one walk in topological order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from quant.arrangement.arrange import Arrangement
from quant.arrangement.forms import dense_layers, layer_forms
from quant.config import LOGIT_BITS, QuantiseConfig
from quant.float_network import (
    accumulate,
    apply_activation,
    before_activation,
    float_node,
    weight_of,
)
from quant.post_training.layer_scales import LayerScales, bias_steps
from quant.post_training.multipliers import multipliers
from quant.post_training.quality import LayerQuality
from quant.post_training.ranges import histogram, next_power_of_two
from quant.post_training.rounding import MAX_COLUMNS
from quant.post_training.scale_groups import Magnitudes, SumStep, group_scales
from quant.post_training.weights import DenseWeights, Rounded, SolvedWeights, Solving, solve_weights
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.ir.quantised import TensorType
from toolflow.numerics.requantise import fits_signed
from toolflow.numerics.scales import ScalesAround
from toolflow.numerics.types import IntegerType
from toolflow.operators import AvgPool

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

BATCH = 64
KEPT_BYTES = 1 << 30  # float tensors up to this size are kept between the two passes
INSERTED_BITS = 2
BIAS_TRIES = 4


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
        self.image_scale = reach if config.family == "multiplier" else next_power_of_two(reach)
        self.forms = layer_forms(arrangement, config)
        self.chosen: dict[str, Node] = {}
        self.layers: dict[str, LayerNumbers] = {}
        self.qualities: list[LayerQuality] = []
        self.notes: list[str] = []
        self.notes += [f"'{name}' stayed dense: {why}" for name, why in dense_layers(arrangement, config).items()]
        self.magnitudes: dict[str, Magnitudes] = {}
        self.means: dict[str, torch.Tensor] = {}
        self.kept: dict[str, torch.Tensor] = {}
        self.generator = torch.Generator().manual_seed(config.seed)

    def run(self) -> Solution:
        self._float_pass()
        self._choose_scales()
        exact = {self.graph.input_name: self.x}
        scale = self.scales[self.a.group[self.graph.input_name]]
        rounded = torch.round(self.x / scale).clamp(-self.image_limit, self.image_limit) * scale
        seen = {self.graph.input_name: rounded}
        last_use = {tensor: i for i, node in enumerate(self.graph.nodes) for tensor in node.inputs}
        for index, node in enumerate(self.graph.nodes):
            self.progress(node.name)
            exact[node.name] = self._exact(node, exact)
            if node.op.moves_only:
                seen[node.name] = _batched(lambda *t, n=node: float_node(n, t), [seen[t] for t in node.inputs])
            else:
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
        return TensorType(self._integer(group), self.scales[group])

    def _integer(self, group: str) -> IntegerType:
        return IntegerType(self.group_bits[group], group not in self.a.unsigned)

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
            if node.op.rounds:
                value = _batched(lambda *t, n=node: before_activation(n, t), sources)
                self.means[node.name] = _channel_means(value)
                value = self._measured(node, value)
            else:
                value = _batched(lambda *t, n=node: float_node(n, t), sources)
            live[node.name] = value
            if keep:
                self.kept[node.name] = value
            for tensor in node.inputs:
                if last_use[tensor] == index:
                    live.pop(tensor, None)

    def _measured(self, node: Node, value: torch.Tensor) -> torch.Tensor:
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
        mine = self.magnitudes.setdefault(self.a.group[node.name], Magnitudes())
        mine.histograms.append(found)
        if found.largest == 0:
            channels = hidden.transpose(0, 1).flatten(1)
            mine.hidden = max(mine.hidden, float((channels.amax(1) - channels.amin(1)).max()))
        return value

    def _choose_scales(self) -> None:
        """Choose every group's scale, and refuse what no weights could requantise before any are rounded."""
        if self.held is not None:
            self.scales = {self.a.group[name]: kind.scale for name, kind in self.held.types.items()}
            return
        integers = {group: self._integer(group) for group in self.group_bits}
        sums = {
            node.name: self._sum_step(self.forms.get(node.name, node))
            for node in self.graph.nodes
            if node.op.has_weights
        }
        self.scales, notes = group_scales(self.a, self.magnitudes, integers, sums, self.image_scale, self.config)
        self.notes += notes
        problems = []
        for node in self.graph.nodes:
            try:
                self._check_ratios(self.forms.get(node.name, node))
            except ToolflowError as error:
                problems.append(str(error))
        if problems:
            raise ToolflowError("\n".join(problems))

    def _plain_scales(self, node: Node) -> torch.Tensor:
        """Return the scales (K,) over which a layer's weights just do not clip."""
        rows = weight_of(node, "weight", torch.float64).flatten(1)
        return rows.abs().amax(1) / self.config.integer_range(self.weight_bits(node))[1]

    def _sum_step(self, node: Node) -> SumStep:
        weight = float(self._plain_scales(node).max()) / node.op.sum_scale
        return SumStep(weight, float(bias_steps(weight_of(node, "bias", torch.float64), node.op.bias_bits).max()))

    def _check_ratios(self, node: Node) -> None:
        if node.op.has_weights:
            plain, rule = self._plain_scales(node), self._rule(node)
            rule.snap(torch.maximum(plain, rule.smallest(plain[:, None])))
        elif node.op.rounds:
            around = self._around(node)
            source = around.source
            if isinstance(node.op, AvgPool):
                source /= int(node.op.divisors(self.graph.shapes[node.inputs[0]]).flat[0])
            multipliers(node.name, np.array([source / around.output]), around.residual_ratio)

    def _round(self, node: Node, value: torch.Tensor) -> torch.Tensor:
        kind = self.type_of(node.name)
        steps = torch.round(value / kind.scale).clamp(kind.integer.lower, kind.integer.upper)
        return steps * kind.scale

    # ---- nodes that round -----------------------------------------------------------------

    def _rounded(self, node: Node, exact: Mapping[str, torch.Tensor], seen: Mapping[str, torch.Tensor]) -> torch.Tensor:
        if not node.op.has_weights:
            return _batched(lambda *t: self._round(node, float_node(node, t)), [seen[t] for t in node.inputs])
        form = self.forms.get(node.name, node)
        self.layers[node.name], out = self._layer(form, exact, seen)
        self.chosen[node.name] = form
        return out

    def _layer(self, node: Node, exact: Mapping[str, torch.Tensor], seen: Mapping[str, torch.Tensor]) -> _Numbers:
        """Return a layer's integers, and its output on the calibration images."""
        op = node.op
        bits = self.weight_bits(node)
        solved = self._solved(node, exact, seen)
        needed = weight_of(node, "bias", torch.float64)
        for _ in range(BIAS_TRIES):  # a bias that its correction makes too large needs coarser steps, and is found anew
            made = self._integers(node, solved, bits, needed)
            steps = self._input_step(node) * made.scales.numpy()
            rounded = made.values.float()
            sums = _batched(lambda x, w=rounded: accumulate(op, x, w), [seen[node.inputs[0]]])
            bias = self._bias(node, sums, seen)
            bias_integers = np.rint(bias.numpy() / steps)
            if fits_signed(bias_integers, op.bias_bits):
                break
            needed = torch.maximum(needed.abs(), bias.abs())
        else:
            raise ToolflowError(_bias_refusal(node.name, op.bias_bits, bias_integers, bias.numpy()))
        exponent = None if made.exponent is None else made.exponent.numpy()
        weight = made.integers.numpy().astype(np.int64)
        numbers = LayerNumbers(weight, made.scales.numpy(), bits, bias_integers.astype(np.int64), exponent)
        offset = torch.as_tensor(bias_integers * steps).float().view(1, -1, *[1] * (sums.ndim - 2))

        def finish(total: torch.Tensor, *residual: torch.Tensor) -> torch.Tensor:
            total = total + offset
            total = total + residual[0] if residual else total
            return self._round(node, apply_activation(op.activation, total))

        return numbers, _batched(finish, [sums, *[seen[t] for t in node.inputs[1:]]])

    def _bias(self, node: Node, sums: torch.Tensor, seen: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the bias (K,) of a layer whose weights give these sums, float64."""
        if not self.config.bias_correction or self.held is not None or node.name in self.a.inserted:
            return weight_of(node, "bias", torch.float64)
        bias = self.means[node.name] - _channel_means(sums)
        for tensor in node.inputs[1:]:
            bias = bias - _channel_means(seen[tensor])
        return bias

    def _solved(
        self, node: Node, exact: Mapping[str, torch.Tensor], seen: Mapping[str, torch.Tensor]
    ) -> SolvedWeights | None:
        """Return a layer's weights as they are to be rounded; None where they keep their values or their scales."""
        if node.name in self.a.inserted or self.held is not None:
            return None
        weight = weight_of(node, "weight", torch.float64)
        source, config = node.inputs[0], self.config
        how = Solving(config.rounding, self.generator, config.bias_correction)
        solved = solve_weights(node.op, weight, seen[source], exact[source], how)
        if isinstance(solved, DenseWeights) and solved.covariance is None and config.rounding == "gptq":
            columns = solved.weight.shape[2]
            self.notes.append(f"'{node.name}': weights rounded to nearest, {columns} columns exceed {MAX_COLUMNS}")
        return solved

    def _integers(self, node: Node, solved: SolvedWeights | None, bits: int, bias: torch.Tensor) -> Rounded:
        """Return a layer's weights as integers, of scales over which such a bias (K,) fits."""
        limits = self.config.integer_range(bits)
        if solved is not None:
            return solved.rounded([limits], self._rule(node, bias))[0]
        if self.held is not None and node.name not in self.a.inserted:
            return self._rounded_again(node, self.held, limits)
        weight = weight_of(node, "weight", torch.float64)  # 1 must stay 1: the multiplier does the scaling
        return Rounded(weight, self._rule(node).snap(torch.ones(len(weight), dtype=torch.float64)))

    def _rounded_again(self, node: Node, held: Held, limits: tuple[int, int]) -> Rounded:
        """Return weights as integers of the scales that they had, or of the nearest that the hardware has."""
        weight = weight_of(node, "weight", torch.float64)
        exponent = torch.as_tensor(held.exponents[node.name]) if node.name in held.exponents else None
        level = weight if exponent is None else weight / 2.0 ** exponent.double()
        rows = level.reshape(len(level), -1)
        scales = torch.as_tensor(held.scales[node.name])
        rule = self._rule(node)
        scales = rule.snap(torch.maximum(scales, rule.smallest(rows)))
        integers = torch.round(rows / scales.view(-1, 1)).clamp(*limits)
        return Rounded(integers.reshape(weight.shape), scales, exponent)

    def _input_step(self, node: Node) -> float:
        """Return the value of an accumulator's step where the weight's is 1."""
        return self.scales[self.a.group[node.inputs[0]]] / node.op.sum_scale

    def _around(self, node: Node) -> ScalesAround:
        residual = self.scales[self.a.group[node.inputs[1]]] if len(node.inputs) == 2 else None
        output = self.scales[self.a.group[node.name]]
        return ScalesAround(self._input_step(node), output, residual, node.op.max_residual_shift)

    def _rule(self, node: Node, bias: torch.Tensor | None = None) -> LayerScales:
        """Return which scales a layer may have, over which a bias (its own, unless given) fits."""
        bias = weight_of(node, "bias", torch.float64) if bias is None else bias
        return LayerScales(self.config.family, node.name, self._around(node), bias, node.op.bias_bits)

    def _judge(self, node: Node, exact: torch.Tensor, seen: torch.Tensor) -> None:
        bits = self.layers[node.name].weight_bits if node.name in self.layers else 0
        error = _relative_error(seen, exact)
        self.qualities.append(
            LayerQuality(node.name, bits, self.type_of(node.name), error, node.op.tile, node.op.pattern)
        )


def _bias_refusal(name: str, bits: int, integers: FloatArray, bias: FloatArray) -> str:
    channel = int(np.abs(integers).argmax())
    return (
        f"'{name}': the bias {bias[channel]:.3g} of output channel {channel} is {abs(integers[channel]):.3g} steps of "
        f"its sums and must fit {bits} signed bits. Its weights are too small beside it: scale the layer's weights and "
        "bias, for example by batch normalisation, or remove the layer if its output is constant"
    )


def _relative_error(seen: torch.Tensor, exact: torch.Tensor) -> float:
    return float(((seen - exact) ** 2).mean()) / (float((exact**2).mean()) or 1.0)


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
