"""Sub-row-balanced patterns: projection, legality, packing, storage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolflow.numerics.srbs import Pattern, most_in_sub_row, obeys, pack, parse_pattern, project, storage_bits, unpack


@st.composite
def patterns(draw: st.DrawFn) -> tuple[Pattern, np.ndarray]:
    """Return a pattern and weights (K, C, t, t) without regard to it."""
    sub_row = 1 << draw(st.integers(0, 5))
    pattern = Pattern(draw(st.integers(1, sub_row)), sub_row)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 5)), draw(st.integers(1, 40)), *draw(st.sampled_from([(1, 1), (3, 3), (4, 4)]))
    return pattern, rng.integers(-7, 8, shape)


@settings(max_examples=60, deadline=None)
@given(patterns())
def test_projection_keeps_the_largest_of_each_sub_row(problem: tuple[Pattern, np.ndarray]) -> None:
    """Against sorting each sub-row by itself; equals keep the lower channel."""
    pattern, weight = problem
    mask = project(abs(weight), pattern)
    outputs, channels, height, width = weight.shape
    for k, y, x in np.ndindex(outputs, height, width):
        for start in range(0, channels, pattern.sub_row):
            part = abs(weight[k, start : start + pattern.sub_row, y, x]).tolist()
            kept = sorted(range(len(part)), key=lambda c: (-part[c], c))[: pattern.kept]
            expected = [c in kept for c in range(len(part))]
            assert mask[k, start : start + pattern.sub_row, y, x].tolist() == expected
    assert mask.sum(axis=1).min() == mask.sum(axis=1).max() == pattern.kept_of(channels)


@settings(max_examples=60, deadline=None)
@given(patterns())
def test_packing_round_trip(problem: tuple[Pattern, np.ndarray]) -> None:
    pattern, weight = problem
    legal = np.where(project(abs(weight), pattern), weight, 0)
    packed = pack(legal, pattern)
    assert packed.values.shape[2] == pattern.kept
    assert (unpack(packed, pattern) == legal).all()
    assert 0 <= packed.indices.min() <= packed.indices.max() < pattern.sub_row
    assert storage_bits(weight.shape, pattern, 8) <= packed.values.size * (8 + pattern.index_bits)


def test_what_breaks_a_pattern_is_refused() -> None:
    weight = np.zeros((2, 8, 3, 3), dtype=np.int64)
    weight[1, 4:7, 2, 1] = 5
    assert obeys(weight, Pattern(3, 4))
    assert not obeys(weight, Pattern(2, 4))
    assert most_in_sub_row(weight, 4).tolist() == [0, 3]
    with pytest.raises(ValueError, match="a sub-row must hold at most 2 values to be packed 2:4, not 3"):
        pack(weight, Pattern(2, 4))


def test_storage() -> None:
    """64 x 64 channels at 16 taps: 8 bits each, or 3 of 16 with 4-bit indices."""
    assert storage_bits((64, 64, 4, 4), None, 8) == 64 * 64 * 16 * 8
    assert storage_bits((64, 64, 4, 4), Pattern(3, 16), 8) == 64 * 12 * 16 * 12
    assert storage_bits((1, 20, 1, 1), Pattern(3, 16), 8) == 6 * 12  # a last sub-row of 4 keeps 3 too


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "a pattern must be n:S, for example 3:16, not '3'"),
        ("a:8", "a pattern must be n:S"),
        ("9:8", "n of a pattern n:S must be 1 to S = 8, not 9"),
        ("0:8", "n of a pattern n:S must be 1 to S = 8, not 0"),
        ("3:12", "S of a pattern n:S must be a power of two, not 12"),
    ],
)
def test_texts_that_are_no_pattern(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_pattern(text)


def test_a_text() -> None:
    assert parse_pattern("3:16") == Pattern(3, 16)
    assert str(Pattern(3, 16)) == "3:16"
