"""The result of post-training quantisation: integers, scales and types of every layer and tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant.post_training.quality import LayerQuality
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import TensorType

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


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
    """The parts of a quantised network that stay when its float weights and biases are rounded again.

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
