"""The sums of a layer as exact numbers: integers times a step for each output channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from toolflow.importers.quantised.grids import channel_steps, on_grid
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Node
from toolflow.ir.operator import Operator, Shape
from toolflow.operators import AvgPool, Conv, Linear

Int64Array = npt.NDArray[np.int64]

WEIGHT_BITS = 8  # of a weight that takes one multiplication
LARGEST_WEIGHT = (1 << (WEIGHT_BITS - 1)) - 1
WIDE_BITS = 12  # of a weight that is cut into digits: the layer takes as many times longer
LARGEST_WIDE = (1 << (WIDE_BITS - 1)) - 1


@dataclass(frozen=True)
class Signal:
    """A tensor of integers of the quantised graph.

    Attributes:
        tensor: its name.
        unit: real value of one integer.
        lower, upper: no integer lies outside.
    """

    tensor: str
    unit: Fraction
    lower: int
    upper: int


@dataclass(frozen=True)
class Sums:
    """The sums of a layer, before anything rounds them: (weights · operand + bias) · step.

    Attributes:
        name: of the layer.
        op: what runs on the engine.
        operand: what the weights meet.
        weight: int64 (K, ..).
        step: real value of one integer sum, of each output channel.
        bias: in steps, which need not be integers.
    """

    name: str
    op: Operator
    operand: Signal
    weight: Int64Array
    step: list[Fraction]
    bias: list[Fraction]

    @property
    def bounds(self) -> tuple[Int64Array, Int64Array]:
        """The smallest and the largest sum of each channel without its bias; padding is 0."""
        rows = self.weight.reshape(len(self.weight), -1)
        positive, negative = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
        low, high = min(self.operand.lower, 0), max(self.operand.upper, 0)
        return positive * low + negative * high, positive * high + negative * low

    def most(self, channel: int) -> int:
        """Return the largest factor by which a channel's weights may be multiplied."""
        return max(LARGEST_WIDE // max(int(np.abs(self.weight[channel]).max()), 1), 1)

    def scaled(self, factors: list[Fraction], summands: list[Fraction]) -> Sums:
        """Return the sums times a factor, plus a summand, of each channel."""
        weight, step, bias = self.weight.copy(), [], []
        for k, (factor, summand) in enumerate(zip(factors, summands, strict=True)):
            if factor == 0:
                weight[k] = 0
                step.append(self.step[k])
                bias.append(summand / self.step[k])
                continue
            if factor < 0:
                weight[k] = -weight[k]
            step.append(self.step[k] * abs(factor))
            total = self.bias[k] * self.step[k] * factor + summand
            bias.append(total / step[k])
        return replace(self, weight=weight, step=step, bias=bias)


def sums_of(node: Node, operand: Signal, shape: Shape) -> Sums:
    """Return the sums of a convolution, a linear layer or an average pool.

    Args:
        node: of the float graph.
        operand: what it reads.
        shape: of the operand.

    Raises:
        ToolflowError: its weights lie on no grid of 8 bits, or its windows are averaged over different counts.
    """
    if isinstance(node.op, AvgPool):
        return _averages(node, node.op, operand, shape)
    given = node.weights["weight"].astype(np.float64)
    biases = [Fraction(float(value)) for value in node.weights["bias"].astype(np.float64)]
    steps = channel_steps(given)
    finer = [_with_bias(step, bias / operand.unit) for step, bias in zip(steps, biases, strict=True)]
    largest = np.abs(given.reshape(len(given), -1)).max(axis=1)
    steps = [
        fine if float(most / fine) <= LARGEST_WEIGHT else step
        for step, fine, most in zip(steps, finer, map(Fraction, largest.tolist()), strict=True)
    ]
    wide = [k for k, step in enumerate(steps) if Fraction(float(largest[k])) / step > LARGEST_WIDE]
    if wide:
        raise ToolflowError(
            f"{node.op.kind} '{node.name}': the weights of output channel {wide[0]} must be integers of at most "
            f"{WIDE_BITS} bits times one scale; quantise the weights of this layer, or give "
            "the network in floats"
        )
    weight = on_grid(given, steps)
    step = [each * operand.unit for each in steps]
    return Sums(
        node.name, node.op, operand, weight, step, [bias / each for bias, each in zip(biases, step, strict=True)]
    )


def _with_bias(step: Fraction, bias: Fraction) -> Fraction:
    """Return the largest part of a step of which the bias, in units of the operand, is a multiple too."""
    return step / (bias / step).denominator


def _averages(node: Node, op: AvgPool, operand: Signal, shape: Shape) -> Sums:
    """Return average pooling as a depthwise convolution with ones; the divisor is in the step."""
    divisors = op.rule_divisors(shape)
    if len(divisors) > 1:
        raise ToolflowError(
            f"avg_pool '{node.name}': all windows must be averaged over one count, not {list(divisors)}; let the "
            "padding count (count_include_pad), or pad nothing"
        )
    weight = np.ones((shape[0], 1, *op.kernel), dtype=np.int64)
    pads = op.pads
    if op.ceil_mode:
        _, height, width = op.infer_shape([shape], {})
        reach = [(out - 1) * s + k for out, s, k in zip((height, width), op.stride, op.kernel, strict=True)]
        pads = (pads[0], pads[1], max(reach[0] - shape[1] - pads[0], 0), max(reach[1] - shape[2] - pads[1], 0))
    form = Conv(stride=op.stride, pads=pads, groups=shape[0])
    step = [operand.unit / divisors[0]] * shape[0]
    return Sums(node.name, form, operand, weight, step, [Fraction(0)] * shape[0])


def identity_sums(name: str, operand: Signal, shape: Shape) -> Sums:
    """Return the sums of a layer that passes each channel on: depthwise on a map, diagonal on a vector."""
    channels = shape[0]
    if len(shape) == 3:
        op: Operator = Conv(groups=channels)
        weight: Int64Array = np.ones((channels, 1, 1, 1), dtype=np.int64)
    else:
        op, weight = Linear(), np.eye(channels, dtype=np.int64)
    return Sums(name, op, operand, weight, [operand.unit] * channels, [Fraction(0)] * channels)
