"""Quantise a layer's weights: solve once for the layer's inputs, then round to any width."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from quant.config import Family
from quant.post_training.rounding import MAX_COLUMNS, choose_scales, compensated, gptq, input_statistics
from quant.sparsity.moments import channel_major
from quant.sparsity.support import SolvedTaps, round_on_support, solve_layer, tap_exponents
from toolflow.ir.operator import Operator, Shape

Tensor = torch.Tensor


@dataclass(frozen=True)
class ScaleRule(ABC):
    """Which scales the weights of a layer may have.

    Attributes:
        family: whether they must be powers of two.
    """

    family: Family

    @abstractmethod
    def smallest(self, level: Tensor) -> Tensor:
        """Return the smallest scale of each output channel (K,) of weights (K, F)."""

    @abstractmethod
    def snap(self, scales: Tensor) -> Tensor:
        """Return the nearest scales (K,) over which the hardware's multipliers are exact."""


@dataclass(frozen=True)
class Rounded:
    """Integer weights.

    Attributes:
        integers: the float weight's shape.
        scales: (K,).
        exponent: int64 (t, t), the left shift of each tap, of a Winograd layer only.
    """

    integers: Tensor
    scales: Tensor
    exponent: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """What the integers stand for, the float weight's shape."""
        steps = self.scales.reshape(-1, *[1] * (self.integers.ndim - 1))
        return self.integers * (steps if self.exponent is None else steps * 2.0 ** self.exponent.double())


@dataclass(frozen=True)
class TapWeights:
    """Weights of a layer that is transformed, sparse, or both.

    Attributes:
        parts: solved, some input channels each.
        kernel: (kh, kw), or the tile's (t, t).
        exponent: of the taps, of a Winograd layer only.
    """

    parts: tuple[SolvedTaps, ...]
    kernel: tuple[int, int]
    exponent: Tensor | None

    def rounded(self, limits: Sequence[tuple[int, int]], rule: ScaleRule) -> list[Rounded]:
        """Return integers for every width, given its smallest and largest one."""
        shifts = torch.zeros(self.kernel, dtype=torch.int64) if self.exponent is None else self.exponent
        taps = self.kernel[0] * self.kernel[1]
        columns = [
            (2.0 ** shifts.double()).reshape(-1, 1).expand(-1, part.weight.shape[1] // taps).reshape(-1)
            for part in self.parts
        ]
        level = torch.cat([part.weight for part in self.parts], 1) / torch.cat(columns)
        scales = _scales(level, limits, rule)
        integers = [
            round_on_support(part.weight, scales[:, :, None] * step, limits, part.hessian, part.mask)
            for part, step in zip(self.parts, columns, strict=True)
        ]
        return [
            Rounded(torch.cat([channel_major(part, self.kernel) for part in parts], 1), scale, self.exponent)
            for scale, *parts in zip(scales, *integers, strict=True)
        ]


@dataclass(frozen=True)
class DenseWeights:
    """Weights of a direct layer.

    Attributes:
        weight: (G, K/G, F).
        covariance: (G, F, F) of what they meet; None to round each weight on its own.
        shape: of the float weight.
    """

    weight: Tensor
    covariance: Tensor | None
    shape: Shape

    def rounded(self, limits: Sequence[tuple[int, int]], rule: ScaleRule) -> list[Rounded]:
        """Return integers for every width, given its smallest and largest one."""
        scales = _scales(self.weight.reshape(self.shape[0], -1), limits, rule)
        grouped = scales.view(len(limits), len(self.weight), -1)
        if self.covariance is None:
            steps = zip(grouped.unsqueeze(3), limits, strict=True)
            integers = torch.stack([torch.round(self.weight / step).clamp(*ends) for step, ends in steps])
        else:
            integers = gptq(self.weight, grouped, limits, self.covariance)
        return [Rounded(some.reshape(self.shape), scale) for some, scale in zip(integers, scales, strict=True)]


def _scales(level: Tensor, limits: Sequence[tuple[int, int]], rule: ScaleRule) -> Tensor:
    """Return the scales (widths, K) of weights (K, F)."""
    smallest = rule.smallest(level)
    return torch.stack([rule.snap(choose_scales(level, *ends, rule.family, smallest)) for ends in limits])


SolvedWeights = TapWeights | DenseWeights


@dataclass(frozen=True)
class Solving:
    """How weights are solved for.

    Attributes:
        rounding: "gptq", or "nearest" for dense direct layers as they are.
        generator: of the sample of inputs.
        about_mean: whether the layer's bias will make up for the mean error. If it stays as it is, the weights must
            keep the mean too.
    """

    rounding: str
    generator: torch.Generator
    about_mean: bool = True


def solve_weights(op: Operator, weight: Tensor, seen: Tensor, exact: Tensor, how: Solving) -> SolvedWeights:
    """Return the weights that, on the inputs which the layer will see, best give the float outputs.

    Args:
        op: the layer.
        weight: float64, U of a Winograd layer.
        seen: the inputs that it will see, (N, C, H, W) or (N, F).
        exact: those of the float network.
        how: the method, and its sample.
    """
    if op.tile or op.pattern is not None:
        kernel = weight.shape[2], weight.shape[3]
        parts = solve_layer(op, weight, seen, exact, how.generator, how.about_mean)
        exponent = tap_exponents([part.weight for part in parts], kernel) if op.tile else None
        return TapWeights(parts, kernel, exponent)
    flat, shape = weight.reshape(op.groups, len(weight) // op.groups, -1), tuple(weight.shape)
    if how.rounding != "gptq" or flat.shape[2] > MAX_COLUMNS:
        return DenseWeights(flat, None, shape)
    kernel = (weight.shape[2], weight.shape[3]) if op.convolves else (1, 1)
    statistics = input_statistics(op, kernel, seen, exact, how.generator, how.about_mean)
    return DenseWeights(compensated(flat, statistics), statistics.covariance, shape)
