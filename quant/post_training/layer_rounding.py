"""Round one layer at a time: weights and bias, on the inputs that the rounded layers before it produce."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from quant.arrangement.arrange import Arrangement
from quant.batches import batched, channel_means
from quant.config import QuantiseConfig
from quant.float_network import accumulate, weight_of
from quant.post_training.layer_scales import LayerScales, bias_steps
from quant.post_training.multipliers import multipliers
from quant.post_training.rounding import MAX_COLUMNS
from quant.post_training.scale_groups import SumStep
from quant.post_training.solution import Held, LayerNumbers
from quant.post_training.weights import DenseWeights, Rounded, SolvedWeights, Solving, solve_weights
from quant.post_training.widths import weight_bits
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Node
from toolflow.numerics.requantise import fits_signed
from toolflow.numerics.scales import ScalesAround

BIAS_TRIES = 4

Tensors = Mapping[str, torch.Tensor]


class LayerRounding:
    """Rounds layers whose tensors have their scales.

    Args:
        arrangement: the float network.
        config: widths, and how weights are rounded.
        scales: scale of every group of tensors.
        means: means of each layer's channels before the activation, in the float network.
        held: fixed scales; None to choose all scales.

    Attributes:
        notes: what a reader of the report should know.
    """

    def __init__(
        self,
        arrangement: Arrangement,
        config: QuantiseConfig,
        scales: Mapping[str, float],
        means: Tensors,
        held: Held | None,
    ) -> None:
        self.arrangement, self.config, self.scales, self.means, self.held = arrangement, config, scales, means, held
        self.generator = torch.Generator().manual_seed(config.seed)
        self.notes: list[str] = []

    def layer(self, node: Node, exact: Tensors, seen: Tensors) -> tuple[LayerNumbers, torch.Tensor, torch.Tensor]:
        """Return a layer's integers, its sums on the calibration images, and its bias in their shape.

        Args:
            node: the layer, in its form.
            exact: tensors of the float network, including the layer's inputs.
            seen: the same tensors, computed by rounded layers.

        Raises:
            ToolflowError: its bias or its multipliers cannot be held.
        """
        op, bits = node.op, weight_bits(node.name, self.arrangement, self.config)
        solved = self._solved(node, exact, seen)
        needed = weight_of(node, "bias", torch.float64)
        for _ in range(BIAS_TRIES):  # a bias that its correction makes too large needs coarser steps
            made = self._integers(node, solved, bits, needed)
            steps = self._input_step(node) * made.scales.numpy()
            rounded = made.values.float()
            sums = batched(lambda x, w=rounded: accumulate(op, x, w), [seen[node.inputs[0]]])
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
        return numbers, sums, offset

    def check(self, node: Node) -> None:
        """Refuse a node whose scales cannot be requantised, before any weights are rounded.

        Raises:
            ToolflowError: its scales are too far apart.
        """
        if node.op.has_weights:
            plain, rule = plain_scales(node, self.arrangement, self.config), self._rule(node)
            rule.snap(torch.maximum(plain, rule.smallest(plain[:, None])))
        elif node.op.rounds:
            around = self._around(node)
            divisors = np.array(node.op.rule_divisors(self.arrangement.graph.shapes[node.inputs[0]]))
            multipliers(node.name, around.source / divisors / around.output, around.residual_ratio)

    def _bias(self, node: Node, sums: torch.Tensor, seen: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the bias (K,) of a layer whose weights give these sums, float64."""
        if not self.config.bias_correction or self.held is not None or node.name in self.arrangement.inserted:
            return weight_of(node, "bias", torch.float64)
        bias = self.means[node.name] - channel_means(sums)
        for tensor in node.inputs[1:]:
            bias = bias - channel_means(seen[tensor])
        return bias

    def _solved(
        self, node: Node, exact: Mapping[str, torch.Tensor], seen: Mapping[str, torch.Tensor]
    ) -> SolvedWeights | None:
        """Return a layer's weights before rounding; None if they keep their values or their scales."""
        if node.name in self.arrangement.inserted or self.held is not None:
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
        if self.held is not None and node.name not in self.arrangement.inserted:
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
        return self.scales[self.arrangement.group[node.inputs[0]]] / node.op.sum_scale

    def _around(self, node: Node) -> ScalesAround:
        residual = self.scales[self.arrangement.group[node.inputs[1]]] if len(node.inputs) == 2 else None
        output = self.scales[self.arrangement.group[node.name]]
        return ScalesAround(self._input_step(node), output, residual, node.op.max_residual_shift)

    def _rule(self, node: Node, bias: torch.Tensor | None = None) -> LayerScales:
        """Return which scales a layer may have, over which a bias (its own, unless given) fits."""
        bias = weight_of(node, "bias", torch.float64) if bias is None else bias
        return LayerScales(self.config.family, node.name, self._around(node), bias, node.op.bias_bits)


def plain_scales(node: Node, arrangement: Arrangement, config: QuantiseConfig) -> torch.Tensor:
    """Return the scales (K,) over which a layer's weights just do not clip."""
    rows = weight_of(node, "weight", torch.float64).flatten(1)
    return rows.abs().amax(1) / config.integer_range(weight_bits(node.name, arrangement, config))[1]


def sum_step(node: Node, arrangement: Arrangement, config: QuantiseConfig) -> SumStep:
    """Return the step of a layer's sums."""
    weight = float(plain_scales(node, arrangement, config).max()) / node.op.sum_scale
    return SumStep(weight, float(bias_steps(weight_of(node, "bias", torch.float64), node.op.bias_bits).max()))


def _bias_refusal(name: str, bits: int, integers: npt.NDArray[np.float64], bias: npt.NDArray[np.float64]) -> str:
    channel = int(np.abs(integers).argmax())
    return (
        f"'{name}': the bias {bias[channel]:.3g} of output channel {channel} is {abs(integers[channel]):.3g} steps of "
        f"its sums and must fit {bits} signed bits. Its weights are too small beside it: scale the layer's weights and "
        "bias, for example by batch normalisation, or remove the layer if its output is constant"
    )
