"""Integer feature maps as the reference holds them, and the products that keep them exact.

A map is an array (N, H, W, C), a flat vector (N, F), of float32 or float64 whose values are
integers; channels last, so that a convolution is one BLAS product. `exact_float` proves from the
actual weights that no sum rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from toolflow.ir.quantised import QuantisedNode, TensorType
from toolflow.numerics.accumulator import FLOAT64_EXACT, exact_float, magnitude_bound
from toolflow.numerics.requantise import Requantise, requantise
from toolflow.numerics.types import IntegerType

Integers = npt.NDArray[np.floating[Any]]
Types = Mapping[str, TensorType]


class Reference(Protocol):
    """The integer meaning of one operator."""

    def __call__(self, node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
        """Return the node's tensor from its inputs' tensors."""


def product(columns: Integers, weight: npt.NDArray[np.int64], operand: IntegerType) -> Integers:
    """Return columns · weightᵀ exactly: (..., F) · (K, F) -> (..., K)."""
    dtype = exact_float(magnitude_bound(weight, operand))
    matrix: Integers = np.ascontiguousarray(weight.T, dtype=dtype)
    flat: Integers = columns.reshape(-1, columns.shape[-1]).astype(dtype, copy=False)
    return (flat @ matrix).reshape(*columns.shape[:-1], len(weight))


def apply_requantise(accumulators: Integers, rule: Requantise, residual: Integers | None = None) -> Integers:
    """Requantise exact accumulators whose last axis is the output channel; returns float32 integers.

    Where every product stays below 2^53, float64 does it: a power-of-two scaling is exact and
    `rint` rounds half to even. Otherwise int64 does.
    """
    factor = rule.residual_factor
    bound = (_magnitude(accumulators) + _magnitude(rule.bias)) * int(rule.multiplier.max(initial=1))
    if residual is not None and factor is not None:
        bound += _magnitude(residual) * int(factor.max(initial=1))
    if bound >= FLOAT64_EXACT:
        wide = None if residual is None else residual.astype(np.int64)
        out = requantise(accumulators.astype(np.int64), rule, channel_axis=accumulators.ndim - 1, residual=wide)
        return out.astype(np.float32)
    scaled = accumulators.astype(np.float64)
    scaled += rule.bias
    scale = np.ldexp(rule.multiplier.astype(np.float64), -rule.shift)
    scaled *= scale
    if residual is not None and factor is not None:
        scaled += residual * np.ldexp(factor.astype(np.float64), -rule.shift)
    np.rint(scaled, out=scaled)
    np.clip(scaled, rule.lower, rule.upper, out=scaled)
    return scaled.astype(np.float32)


def rule_of(node: QuantisedNode) -> Requantise:
    """Return the node's requantisation.

    Raises:
        ValueError: it has none, though its operator rounds.
    """
    if node.requantise is None:
        raise ValueError(f"{node.op.kind} '{node.name}' must have a requantisation")
    return node.requantise


def _magnitude(values: npt.NDArray[Any]) -> int:
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


def windows(
    x: Integers,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    out: tuple[int, int],
    fill: float = 0,
) -> Integers:
    """Return (N, H', W', kh·kw, C): every window of x, `fill` where it leaves the map."""
    n, height, width, channels = x.shape
    reach = [(out[a] - 1) * stride[a] + (kernel[a] - 1) * dilation[a] + 1 for a in (0, 1)]
    top, left = pads[:2]
    padded = np.full((n, max(reach[0], top + height), max(reach[1], left + width), channels), fill, dtype=x.dtype)
    padded[:, top : top + height, left : left + width] = x
    columns = np.empty((n, *out, kernel[0] * kernel[1], channels), dtype=x.dtype)
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            y, z = ky * dilation[0], kx * dilation[1]
            columns[:, :, :, ky * kernel[1] + kx] = padded[
                :, y : y + (out[0] - 1) * stride[0] + 1 : stride[0], z : z + (out[1] - 1) * stride[1] + 1 : stride[1]
            ]
    return columns
