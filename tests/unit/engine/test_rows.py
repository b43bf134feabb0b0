"""Weight rows of engines whose output channels share indices: how many steps they take, and what they hold."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from toolflow.engine.config import EngineConfig
from toolflow.engine.rows import group_rows, layer_weights, plan_walk
from toolflow.numerics.srbs import Pattern, project

CHANNELS = 32


def _layer(weight: np.ndarray, groups: int = 1):  # type: ignore[no-untyped-def]
    return layer_weights(weight, groups, 1, 8, np.arange(weight.shape[1] * groups), CHANNELS // 16, 1, 0)


@pytest.mark.parametrize("index_k", [1, 2, 4])
@pytest.mark.parametrize("outputs", [1, 2, 4])
@pytest.mark.parametrize("slots", [1, 2])
def test_channels_that_share_places_lose_no_step(index_k: Literal[1, 2, 4], outputs: int, slots: int) -> None:
    """A word takes n steps if the pattern shares as much as the engine, else as many as the fullest union has."""
    rng = np.random.default_rng(outputs)
    pattern = Pattern(3, 16, outputs)
    weight = np.where(project(rng.random((12, CHANNELS, 3, 3)), pattern), rng.integers(1, 8, (12, CHANNELS, 3, 3)), 0)
    config = EngineConfig(lanes_k=8, lanes_p=2, slots=slots, sub_row=16, index_k=index_k)
    layer = _layer(weight)
    walk = plan_walk(config, layer)
    unions = [
        {c for k in range(first, min(first + index_k, 12)) for c in np.flatnonzero(weight[k, word : word + 16, y, x])}
        for first in range(0, 12, index_k)
        for word in (0, 16)
        for y, x in np.ndindex(3, 3)
    ]
    assert walk.steps == -(-max(map(len, unions)) // slots)
    assert outputs < index_k or walk.steps == -(-3 // slots)
    for group in range(2):
        values, indices = group_rows(config, layer, walk, group)
        assert indices is not None
        assert values.shape == (walk.rows(9), 8, slots)
        assert indices.shape == (walk.rows(9), 8 // index_k, slots)
        found = np.zeros((8, CHANNELS, 9), dtype=np.int64)
        for row, k, s in np.ndindex(values.shape):
            step = row % (2 * walk.steps)
            found[k, 16 * (step // walk.steps) + indices[row, k // index_k, s], row // (2 * walk.steps)] += values[
                row, k, s
            ]
        held = weight[8 * group : 8 * group + 8].reshape(-1, CHANNELS, 9)
        np.testing.assert_array_equal(found[: len(held)], held)


@pytest.mark.parametrize(("index_k", "steps"), [(1, 1), (2, 2), (4, 4)])
def test_depthwise_channels_walk_the_places_of_all_that_share(index_k: Literal[1, 2, 4], steps: int) -> None:
    config = EngineConfig(lanes_k=16, lanes_p=1, sub_row=16, index_k=index_k)
    walk = plan_walk(config, _layer(np.ones((CHANNELS, 1, 3, 3), dtype=np.int64), groups=CHANNELS))
    assert (walk.indexed, walk.sub_rows, walk.steps) == (True, 1, steps)
