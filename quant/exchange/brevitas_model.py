"""The network as a Brevitas model: fake-quantised inference that yields the accelerator's integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from brevitas import nn as qnn
from brevitas.core.scaling import PowerOfTwoIntScaling
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.inject import ExtendedInjector
from brevitas.inject.enum import RestrictValueType, ScalingImplType, ScalingPerOutputType
from brevitas.quant.base import IntQuant, UintQuant
from brevitas.quant.scaled_int import Int32Bias
from brevitas.quant.solver.act import ActQuantSolver
from brevitas.quant.solver.weight import WeightQuantSolver
from brevitas.quant_tensor import IntQuantTensor
from torch import nn

from quant.float_network import accumulate, apply_activation, before_activation
from quant.post_training.multipliers import multipliers
from quant.post_training.solution import LayerNumbers
from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Operator
from toolflow.ir.quantised import TensorType
from toolflow.numerics.requantise import PLAIN_BIAS_BITS
from toolflow.operators import Conv
from toolflow.operators.folders import part
from toolflow.operators.torch_windows import pad_for_windows, symmetric_pads

Tensor = torch.Tensor


class _Scale(ExtendedInjector):  # type: ignore[misc]
    """What all our quantisers have in common: a given scale in float64, zero point 0.

    Brevitas divides what it is given by 2^bits (unsigned) or 2^(bits − 1) (signed), which is exact.
    """

    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    int_scaling_impl = PowerOfTwoIntScaling
    zero_point_impl = ZeroZeroPoint


class _WeightQuant(_Scale, IntQuant, WeightQuantSolver):  # type: ignore[misc]
    scaling_per_output_type = ScalingPerOutputType.CHANNEL
    narrow_range = False
    bit_width = 8


class _SignedQuant(_Scale, IntQuant, ActQuantSolver):  # type: ignore[misc]
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    bit_width = 8


class _UnsignedQuant(_Scale, UintQuant, ActQuantSolver):  # type: ignore[misc]
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    bit_width = 8


class _BiasQuant(Int32Bias):  # type: ignore[misc]
    bit_width = PLAIN_BIAS_BITS


def _quantiser(kind: TensorType) -> nn.Module:
    """Return the Brevitas quantiser of a tensor: divide, round half to even, clip."""
    bits, signed = kind.integer.bits, kind.integer.signed
    threshold = torch.tensor(kind.scale * 2.0 ** (bits - int(signed)), dtype=torch.float64)
    quantiser: nn.Module = qnn.QuantIdentity(
        act_quant=_SignedQuant if signed else _UnsignedQuant,
        scaling_init=threshold,
        bit_width=bits,
        return_quant_tensor=True,
    )
    return quantiser


def _weight_layer(op: Operator, numbers: LayerNumbers, input_scale: float) -> nn.Module:
    """Return the Brevitas layer that holds a layer's weights and its bias."""
    shape = numbers.weight.shape
    scale = torch.as_tensor(numbers.weight_scale).view(-1, *[1] * (len(shape) - 1))
    common = {
        "bias": True,
        "weight_quant": _WeightQuant,
        "weight_scaling_init": scale * 2.0 ** (numbers.weight_bits - 1),
        "weight_bit_width": numbers.weight_bits,
        "bias_quant": _BiasQuant,
        "return_quant_tensor": True,
        "dtype": torch.float64,
    }
    if isinstance(op, Conv):
        layer = qnn.QuantConv2d(
            shape[1] * op.groups,
            shape[0],
            shape[2:],
            op.stride,
            symmetric_pads(op) or 0,
            op.dilation,
            op.groups,
            **common,
        )
    else:
        layer = qnn.QuantLinear(shape[1], shape[0], **common)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(numbers.weight) * scale)
        layer.bias.copy_(torch.as_tensor(numbers.bias * (input_scale * numbers.weight_scale)))
    return layer  # type: ignore[no-any-return]


class _WinogradLayer(nn.Module):
    """A convolution in the Winograd domain, on the real values of its integers (Brevitas has none)."""

    def __init__(self, op: Operator, numbers: LayerNumbers, input_scale: float) -> None:
        super().__init__()
        self.op = op
        scale = torch.as_tensor(numbers.weight_scale)
        self.weight = torch.as_tensor(numbers.steps * numbers.weight)
        self.bias = (torch.as_tensor(numbers.bias) * scale * input_scale / op.sum_scale).view(-1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums and the bias."""
        return accumulate(self.op, x, self.weight) + self.bias


class _Divided(nn.Module):
    """An operator that divides its sums, by the integer rule: sum · multiplier / 2^shift, one rounding.

    `divisors` is int64 (H', W').
    """

    factor: Tensor

    def __init__(
        self, name: str, op: Operator, divisors: npt.NDArray[np.int64], source: TensorType, output: TensorType
    ) -> None:
        super().__init__()
        self.op, self.source, self.output = op, source, output
        different, place = np.unique(divisors, return_inverse=True)
        held = multipliers(name, average_ratio(source, output, different))
        factor = np.ldexp(held.multiplier.astype(np.float64), -held.shift)[place].reshape(divisors.shape)
        self.register_buffer("factor", torch.as_tensor(factor), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the result as multiples of the output's scale."""
        sums = part(self.op.kind, "torch_form").undivided(self.op, torch.round(x / self.source.scale))
        bounds = self.output.integer
        return torch.clamp(torch.round(sums * self.factor), bounds.lower, bounds.upper) * self.output.scale


def average_ratio(source: TensorType, output: TensorType, divisors: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the requantisation ratio of sums by each divisor, float64 of their shape."""
    return np.asarray(source.scale / (output.scale * divisors), dtype=np.float64)


class BrevitasModel(nn.Module):
    """Walks an arranged graph with Brevitas layers; float64.

    Every tensor that is rounded passes one Brevitas quantiser. Input: normalised images (N, C, H, W).

    Attributes:
        graph: operators and their order; its float weights are not read.
        types: of every tensor.
        numbers: integers and scales of every conv and linear.
        bounds: integers that a tensor is clipped to before its quantiser, where its type is wider.
    """

    def __init__(
        self,
        graph: Graph,
        types: Mapping[str, TensorType],
        numbers: Mapping[str, LayerNumbers],
        bounds: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        super().__init__()
        self.graph, self.types, self.numbers = graph, types, numbers
        self.bounds = bounds or {}
        self.image = _quantiser(types[graph.input_name])
        self.layers = nn.ModuleDict()
        self.quantisers = nn.ModuleDict()
        self.key = {node.name: f"n{index}" for index, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            source, output = types[node.inputs[0]], types[node.name]
            if node.op.has_weights:
                make = _WinogradLayer if node.op.tile else _weight_layer
                self.layers[self.key[node.name]] = make(node.op, numbers[node.name], source.scale)
            elif (divisors := node.op.divisors(graph.shapes[node.inputs[0]])) is not None:
                self.layers[self.key[node.name]] = _Divided(node.name, node.op, divisors, source, output)
            if node.op.rounds:
                self.quantisers[self.key[node.name]] = _quantiser(output)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K)."""
        return _value(self.tensors(x, ())[self.graph.output])

    def tensors(self, x: Tensor, keep: Sequence[str] | None) -> dict[str, IntQuantTensor]:
        """Return the output and the tensors of `keep`, all of them if it is None."""
        graph = self.graph
        live: dict[str, IntQuantTensor] = {graph.input_name: self.image(x)}
        last_use = {tensor: i for i, node in enumerate(graph.nodes) for tensor in node.inputs}
        for index, node in enumerate(graph.nodes):
            live[node.name] = self._node(node, [live[t] for t in node.inputs])
            for tensor in node.inputs:
                if keep is not None and tensor not in keep and last_use[tensor] == index:
                    live.pop(tensor, None)
        return live

    def _node(self, node: Node, inputs: Sequence[IntQuantTensor]) -> IntQuantTensor:
        op, x = node.op, inputs[0]
        key = self.key[node.name]
        if key in self.layers:
            if isinstance(op, Conv) and symmetric_pads(op) is None:
                kernel = self.numbers[node.name].weight.shape
                x = _with_value(x, pad_for_windows(_value(x), op, (kernel[2], kernel[3])))
            elif op.tile or not op.has_weights:  # not Brevitas' own layers: they take plain tensors
                x = _value(x)
            return self._rounded(node, [self.layers[key](x), *inputs[1:]])
        value = before_activation(node, [_value(t) for t in inputs])
        return self.quantisers[key](self._clipped(node, value)) if op.rounds else _with_value(x, value)

    def _rounded(self, node: Node, terms: Sequence[IntQuantTensor]) -> IntQuantTensor:
        total = _value(terms[0])
        for term in terms[1:]:
            total = total + _value(term)
        return self.quantisers[self.key[node.name]](self._clipped(node, total))

    def _clipped(self, node: Node, value: Tensor) -> Tensor:
        """Return a value after its activation and within its bounds, which is the same as clipping its integers."""
        value = apply_activation(node.op.activation, value)
        if node.name not in self.bounds:
            return value
        lower, upper = (bound * self.types[node.name].scale for bound in self.bounds[node.name])
        return torch.clamp(value, lower, upper)

    def weights(self) -> Mapping[str, LayerNumbers]:
        """Return the integers that Brevitas itself makes of every layer's weights and biases.

        Brevitas has no Winograd convolution: the integers of such a layer are those that it was given.
        """
        found = {}
        for node in self.graph.nodes:
            if node.op.tile:
                found[node.name] = self.numbers[node.name]
            elif node.op.has_weights:
                layer: Any = self.layers[self.key[node.name]]
                source = self.types[node.inputs[0]]
                with torch.no_grad():
                    weight = layer.quant_weight()
                    one = _constant(source)
                    bias = layer.bias_quant(layer.bias, one, weight)
                found[node.name] = LayerNumbers(
                    weight.int().to(torch.int64).numpy(),
                    weight.scale.flatten().numpy(),
                    int(weight.bit_width),
                    bias.int().to(torch.int64).numpy(),
                )
        return found


def _value(x: IntQuantTensor | Tensor) -> Tensor:
    """Return the real values; while Brevitas exports, its layers pass plain tensors."""
    value: Tensor = x.value if isinstance(x, IntQuantTensor) else x
    return value


def _with_value(like: IntQuantTensor, value: Tensor) -> IntQuantTensor:
    if not isinstance(like, IntQuantTensor):
        return value
    return IntQuantTensor(value, like.scale, like.zero_point, like.bit_width, like.signed, like.training)


def _constant(kind: TensorType) -> IntQuantTensor:
    """Return a quantised zero of a tensor's type, from which Brevitas takes the scale of a bias."""
    quantised: IntQuantTensor = _quantiser(kind).eval()(torch.zeros((1, 1), dtype=torch.float64))
    return quantised
