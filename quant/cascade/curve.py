"""Accuracy against forwarded share over the thresholds of one rule."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant.cascade.artefacts import CurvePoint
from quant.cascade.evidence import sums
from quant.cascade.measure import Answers
from toolflow.numerics.confidence import ALWAYS, NEVER, THRESHOLD_ONE

Int64Array = npt.NDArray[np.int64]


def metric(numerator: Int64Array, total: Int64Array) -> Int64Array:
    """Return q = floor(numerator·2^16 / total), (N,): q >= threshold is the hardware's test, exactly."""
    return np.asarray(numerator * THRESHOLD_ONE // total, dtype=np.int64)


def splits(q: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the images by descending q, and the numbers of images that a threshold can accept, 0 included."""
    order = np.argsort(-q, kind="stable")
    changes = np.flatnonzero(np.diff(q[order])) + 1
    return order, np.concatenate([[0], changes, [len(q)]]).astype(np.int64)


def split_threshold(q: Int64Array, order: Int64Array, accepted: int) -> int:
    """Return the threshold that accepts the first so many images of `order`."""
    if accepted == 0:
        return NEVER
    return ALWAYS if accepted == len(q) else int(q[order[accepted - 1]])


def curve(right: Answers, q: Int64Array, order: Int64Array, ends: Int64Array) -> tuple[CurvePoint, ...]:
    """Return one point for each number of accepted images in `ends`.

    Args:
        right: which unit answers which image rightly.
        q: the metric of each image, (N,).
        order: the images by descending q, as `splits` returns them.
        ends: numbers of accepted images that `splits` returns, or some of them.
    """
    count = len(q)
    saved = sums(right.low[order].astype(np.int64) - right.high[order])
    base = int(right.high.sum())
    return tuple(
        CurvePoint(
            threshold=split_threshold(q, order, int(end)),
            forwarded_share=(count - int(end)) / count,
            accuracy=(base + float(saved[end])) / count,
        )
        for end in ends
    )
