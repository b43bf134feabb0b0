"""The form in which every multiplying operator reaches the engine: one convolution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.engine.places import Region
from toolflow.ir.operator import Operator, Shape
from toolflow.ir.quantised import QuantisedNode
from toolflow.numerics.accumulator import accumulator_bits
from toolflow.numerics.requantise import Requantise
from toolflow.numerics.srbs import Pattern, kept_values
from toolflow.numerics.types import IntegerType
from toolflow.numerics.winograd import KERNEL, WINOGRAD, output_bits
from toolflow.operators.integers import rule_of

Edges = Callable[[QuantisedNode, Shape], Iterator[tuple[Region, "Convolution"]]]
Hardware = Callable[[QuantisedNode, Shape], "Convolution"]  # from a node and the shape (C, H, W) of its operand
Selection = Callable[[Operator, Shape], tuple[Operator, npt.NDArray[np.int64]]]


@dataclass(frozen=True)
class Convolution:
    """An integer convolution with its requantisation.

    Attributes:
        weight: int64 (K, C/groups, kh, kw).
        weight_bits: declared width of the weights.
        groups: channel groups.
        stride, dilation: (vertical, horizontal).
        pads: (top, left, bottom, right).
        rule: requantisation, every array of shape (K,).
        tile: m of F(m, 3) where the weight is U (K, C, t, t), 0 for a direct convolution.
        exponent: int64 (t, t), the left shift of each tap, if there is a tile.
        pattern: the sub-row-balanced pattern that the weight obeys, the taps of a tile sharing, or None.
    """

    weight: npt.NDArray[np.int64]
    weight_bits: int
    groups: int
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]
    rule: Requantise
    tile: int = 0
    exponent: npt.NDArray[np.int64] | None = None
    pattern: Pattern | None = None

    @property
    def channels(self) -> int:
        """Output channels K."""
        return len(self.weight)

    @property
    def place_macs(self) -> int:
        """Useful multiply-accumulates of an output position, or of a tile: of a pattern only the kept values count."""
        return kept_values(self.weight, self.pattern, shared=self.tile > 0)

    @property
    def direct_place_macs(self) -> int:
        """Multiply-accumulates of an output position if the layer were direct and dense: K·C/groups·kh·kw."""
        outputs, depth, height, width = self.weight.shape
        return int(outputs * depth * (KERNEL**2 if self.tile else height * width))

    def accumulator_bits(self, operand: IntegerType) -> int:
        """Return the width in which every final accumulator fits."""
        if self.exponent is None:
            return accumulator_bits(self.weight, operand)
        return output_bits(WINOGRAD[self.tile], self.weight, self.exponent, operand)


def convolution(
    node: QuantisedNode,
    weight: npt.NDArray[np.int64],
    weight_bits: int,
    groups: int = 1,
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
    tile: int = 0,
    exponent: npt.NDArray[np.int64] | None = None,
    pattern: Pattern | None = None,
) -> Convolution:
    """Return the convolution with the node's requantisation spread over its output channels."""
    rule = _spread(rule_of(node), len(weight))
    return Convolution(weight, weight_bits, groups, stride, pads, dilation, rule, tile, exponent, pattern)


def depthwise_ones(channels: int, kernel: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the weights that sum each channel over a window: (C, 1, kh, kw) of ones."""
    return np.ones((channels, 1, *kernel), dtype=np.int64)


def selection_weight(channels: int, before: int, after: int) -> npt.NDArray[np.int64]:
    """Return the weights that copy channels behind `before` and in front of `after` zeros: (K, C, 1, 1)."""
    weight = np.zeros((before + channels + after, channels, 1, 1), dtype=np.int64)
    weight[before + np.arange(channels), np.arange(channels)] = 1
    return weight


def _spread(rule: Requantise, channels: int) -> Requantise:
    def column(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.ascontiguousarray(np.broadcast_to(values, (channels,)))

    residual, left = (
        None if values is None else column(values) for values in (rule.residual_multiplier, rule.residual_shift)
    )
    return Requantise(
        column(rule.bias), column(rule.multiplier), column(rule.shift), rule.lower, rule.upper, residual, left
    )
