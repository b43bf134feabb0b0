"""The form in which every multiplying operator reaches the engine: one convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedNode
from toolflow.numerics.requantise import Requantise
from toolflow.operators.integers import rule_of


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
    """

    weight: npt.NDArray[np.int64]
    weight_bits: int
    groups: int
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]
    rule: Requantise

    @property
    def channels(self) -> int:
        """Output channels K."""
        return len(self.weight)


def convolution(
    node: QuantisedNode,
    weight: npt.NDArray[np.int64],
    weight_bits: int,
    groups: int = 1,
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> Convolution:
    """Return the convolution with the node's requantisation spread over its output channels."""
    return Convolution(weight, weight_bits, groups, stride, pads, dilation, _spread(rule_of(node), len(weight)))


def depthwise_ones(channels: int, kernel: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the weights that sum each channel over a window: (C, 1, kh, kw) of ones."""
    return np.ones((channels, 1, *kernel), dtype=np.int64)


def macs(form: Convolution, out: Shape) -> int:
    """Return useful multiply-accumulates per image: K·C/groups·kh·kw·H'·W' (design section 6)."""
    return form.weight.size * out[1] * out[2]


def _spread(rule: Requantise, channels: int) -> Requantise:
    def column(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.ascontiguousarray(np.broadcast_to(values, (channels,)))

    residual = None if rule.residual_multiplier is None else column(rule.residual_multiplier)
    return Requantise(column(rule.bias), column(rule.multiplier), column(rule.shift), rule.lower, rule.upper, residual)
