"""The staircase of a layer's cost over its width, and the widths at the edges of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

EVEN = 1 - 1e-9  # of the mean rise: of a straight line every width is an edge


def step_edges(costs: Sequence[float]) -> list[int]:
    """Return the places in `costs` behind which the cost rises by its mean rise or more; the last is always one.

    Args:
        costs: of a network in which one layer becomes wider and wider.
    """
    rises = [after - cost for cost, after in pairwise(costs)]
    mean = sum(rises) / max(len(rises), 1)
    return [*(place for place, rise in enumerate(rises) if rise >= EVEN * mean > 0), len(costs) - 1]
