"""The Pareto front."""

from __future__ import annotations

from toolflow.plan.explore.pareto import on_front


def test_a_point_is_on_the_front_unless_another_surpasses_it() -> None:
    points = [(1.0, 1.0), (2.0, 0.0), (0.0, 2.0), (1.0, 0.5), (0.0, 1.9), (1.0, 1.0)]
    assert on_front(points) == [True, True, True, False, False, True]
    assert on_front([]) == []
