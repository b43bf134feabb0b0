"""The Pareto front: the points that no other point surpasses."""

from __future__ import annotations

from collections.abc import Sequence


def on_front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Return for each point whether no other is as good in everything and better in something.

    Args:
        points: values of each point, of which more is better; as many for every point.
    """
    return [not any(_surpasses(other, point) for other in points) for point in points]


def _surpasses(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
