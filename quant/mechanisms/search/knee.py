"""Kneedle (Satopää et al. 2011): the point behind which a curve falls faster than before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def knee(x: Sequence[float], y: Sequence[float], sensitivity: float = 1.0) -> int | None:
    """Return the place of the knee of a falling, concave curve, None if there is none.

    The curve is brought to the unit square and turned, and the first local maximum of its distance above the diagonal
    counts behind which the distance falls by the sensitivity times the mean step of x before it rises again.

    Args:
        x: ascending.
        y: of each x.
        sensitivity: S of the paper; larger for a more pronounced knee.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    across, up = (a - a.min()) / np.ptp(a), (b - b.min()) / np.ptp(b)
    # a falling concave curve is a rising concave one from right to left
    across, up = 1 - across[::-1], up[::-1]
    distance = up - across
    step = np.abs(np.diff(across)).mean()
    threshold, candidate = 0.0, None
    for index in range(1, len(distance) - 1):
        before, here, after = distance[index - 1 : index + 2]
        if here >= before and here >= after and here > 0:
            threshold, candidate = here - sensitivity * step, index
        elif here <= before and here <= after:
            candidate = None
        if candidate is not None and after < threshold:
            return len(a) - 1 - candidate
    return None
