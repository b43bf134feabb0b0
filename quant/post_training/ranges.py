"""Choose scales by least squared error or by a percentile, free or as powers of two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from quant.config import Family

FloatArray = npt.NDArray[np.float64]

BINS = 2048
COUNTED_TOGETHER = 1 << 22  # values of a chunk: torch counts in float32, which is exact up to 2^24 only
ACTIVATION_CANDIDATES = np.linspace(0.1, 1.0, 181)
WEIGHT_CANDIDATES = np.linspace(0.35, 1.0, 53)
SMALLEST = 1e-300  # stands for 0 if something is divided by it
POWERS_DOWN = 5  # a clip at 1/32 of the largest magnitude is never the best one


@dataclass(frozen=True)
class Histogram:
    """Magnitudes of one tensor: `counts` over equal bins from 0 to `largest`; zeros are counted apart."""

    counts: FloatArray
    zeros: int
    largest: float

    @property
    def centres(self) -> FloatArray:
        """The middle of every bin."""
        return np.asarray((np.arange(len(self.counts)) + 0.5) * (self.largest / len(self.counts)), np.float64)


def histogram(x: torch.Tensor) -> Histogram:
    """Return the histogram of |x|."""
    values = x.detach().flatten().float()
    smallest, greatest = values.aminmax()
    largest = max(-float(smallest), float(greatest))
    counts = np.zeros(BINS)
    if largest == 0:
        return Histogram(counts, values.numel(), 0.0)
    for piece in torch.split(values, COUNTED_TOGETHER):
        counts += torch.histc(piece.abs(), BINS, 0.0, largest).double().numpy()
    zeros = values.numel() - int(values.count_nonzero())
    counts[0] -= zeros
    return Histogram(counts, zeros, largest)


def next_power_of_two(value: float) -> float:
    """Return the smallest power of two that is at least `value`."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(1.0, exponent - 1 if mantissa == 0.5 else exponent)


def activation_scale(histograms: Sequence[Histogram], upper: int, family: Family, percentile: float | None) -> float:
    """Return the scale of a tensor whose integers reach to `upper`.

    Args:
        histograms: of every tensor that is rounded into this type.
        upper: largest integer.
        family: whether the scale must be a power of two.
        percentile: share of the magnitudes that must not clip, in percent; None for least squared error.
    """
    largest = max(h.largest for h in histograms)
    if largest == 0:
        return 1.0
    if percentile is not None:
        reach = max(_percentile(h, percentile) for h in histograms)
        scale = (reach or largest) / upper
        return scale if family == "multiplier" else next_power_of_two(scale)
    if family == "multiplier":
        candidates = [float(c) * largest / upper for c in ACTIVATION_CANDIDATES]
    else:
        top = next_power_of_two(largest / upper)
        candidates = [math.ldexp(top, -i) for i in range(POWERS_DOWN + 1)]
    errors = [sum(_squared_error(h, scale, upper) for h in histograms) for scale in candidates]
    return candidates[int(np.argmin(errors))]


def _percentile(h: Histogram, percentile: float) -> float:
    cumulative = h.zeros + np.cumsum(h.counts)
    place = int(np.searchsorted(cumulative, percentile / 100 * cumulative[-1]))
    return (min(place, len(h.counts) - 1) + 1) * h.largest / len(h.counts)


def _squared_error(h: Histogram, scale: float, upper: int) -> float:
    rounded = np.minimum(np.rint(h.centres / scale), upper) * scale
    return float(h.counts @ (rounded - h.centres) ** 2)


def weight_scales(
    weight: torch.Tensor, lower: int, upper: int, family: Family, importance: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the scale of every output channel (K,) with the least squared error.

    Args:
        weight: (K, F) of any float type.
        lower: smallest integer.
        upper: largest integer.
        family: whether scales must be powers of two.
        importance: (F,) or (K, F), what an error in each weight costs; None for equal costs.
    """
    w = weight.double()
    cost = torch.ones_like(w) if importance is None else importance.double().expand_as(w)
    largest = w.abs().amax(1).clamp_min(SMALLEST)
    if family == "multiplier":
        # An asymmetric range has half a step more room on the positive side before it clips.
        candidates = [largest * float(c) / (upper + (0.5 if lower < -upper else 0.0)) for c in WEIGHT_CANDIDATES]
    else:
        top = torch.as_tensor([next_power_of_two(float(v) / upper) for v in largest], dtype=torch.float64)
        candidates = [top * 0.5**i for i in range(POWERS_DOWN + 1)]
    best = torch.full_like(largest, math.inf)
    chosen = candidates[0].clone()
    for scale in candidates:
        column = scale[:, None]
        error = ((torch.round(w / column).clamp(lower, upper) * column - w) ** 2 * cost).sum(1)
        better = error < best
        best, chosen = torch.where(better, error, best), torch.where(better, scale, chosen)
    return chosen
