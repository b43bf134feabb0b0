"""What a cascade loses when its low-precision unit's answers are accepted: estimates, intervals, and margins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant.cascade.expected import ExpectedLosses
from quant.cascade.measure import Answers
from quant.cascade.statistics import mean_bounds, paired_bounds, wilson_bounds

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What accepting each image costs.

    Attributes:
        right: which unit answers which image rightly.
        modelled: expected loss of each image, or None if losses are counted.
    """

    right: Answers
    modelled: ExpectedLosses | None

    def losses(self, order: Int64Array, ends: Int64Array) -> FloatArray:
        """Return the images lost when the first `ends` images of `order` are accepted; shape of `ends`."""
        if self.modelled is None:
            lost, gained = self._counts(order, ends)
            return (lost - gained).astype(np.float64)
        return sums(self.modelled.loss[order])[ends]

    def bounds(self, order: Int64Array, ends: Int64Array, z: float) -> tuple[FloatArray, FloatArray]:
        """Return the interval of the estimated loss, a share of the images, for the same splits."""
        if self.modelled is not None:
            values = self.modelled.loss[order]
            return mean_bounds(sums(values)[ends], sums(values**2)[ends], len(order), z)
        return self.counted_bounds(order, ends, z)

    def reach(self, order: Int64Array, ends: Int64Array, z: float) -> FloatArray:
        """Return the loss that another set of as many images is not expected to exceed, for the same splits.

        Two independent errors add: that of the estimate, and the other set's own luck.
        """
        if self.modelled is None:
            return self.counted_bounds(order, ends, z * math.sqrt(2))[1]
        values, squares = self.modelled.loss[order], self.modelled.square[order]
        mean = sums(values)[ends] / len(order)
        variance = (sums(values**2)[ends] + sums(squares)[ends]) / len(order) - 2 * mean**2
        return np.asarray(mean + z * np.sqrt(np.maximum(variance, 0.0) / len(order)))

    def counted_bounds(self, order: Int64Array, ends: Int64Array, z: float) -> tuple[FloatArray, FloatArray]:
        """Return the interval of the counted loss."""
        lost, gained = self._counts(order, ends)
        if self.right.labelled:
            return paired_bounds(lost, gained, len(order), z)
        return wilson_bounds(lost, len(order), z)

    def _counts(self, order: Int64Array, ends: Int64Array) -> tuple[Int64Array, Int64Array]:
        lost = sums((self.right.high & ~self.right.low)[order])[ends]
        gained = sums((self.right.low & ~self.right.high)[order])[ends]
        return lost.astype(np.int64), gained.astype(np.int64)


def sums(values: np.ndarray) -> FloatArray:
    """Return the sums of the first 0, 1, … N values, (N + 1,)."""
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
