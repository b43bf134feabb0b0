"""Sub-row-balanced patterns: projection, legality, packing, storage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from toolflow.numerics.srbs import (
    Pattern,
    fullest,
    kept_values,
    obeys,
    pack,
    parse_pattern,
    project,
    share_taps,
    shares_of,
    storage_bits,
    support,
    unpack,
    worth_of,
)


@st.composite
def patterns(draw: st.DrawFn) -> tuple[Pattern, np.ndarray]:
    """Return a pattern and weights (K, C, t, t) without regard to it."""
    sub_row = 1 << draw(st.integers(0, 5))
    pattern = Pattern(draw(st.integers(1, sub_row)), sub_row, draw(st.sampled_from([1, 1, 2, 4])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 5)), draw(st.integers(1, 40)), *draw(st.sampled_from([(1, 1), (3, 3), (4, 4)]))
    return pattern, rng.integers(-7, 8, shape)


@settings(max_examples=60, deadline=None)
@given(patterns())
def test_projection_keeps_the_largest_of_each_sub_row(problem: tuple[Pattern, np.ndarray]) -> None:
    """Against sorting each sub-row by itself, the sums of a group's channels; equals keep the lower channel."""
    pattern, weight = problem
    mask = project(abs(weight), pattern)
    outputs, channels, height, width = weight.shape
    for k, y, x in np.ndindex(outputs, height, width):
        for start in range(0, channels, pattern.sub_row):
            first = k - k % pattern.outputs
            group = abs(weight[first : first + pattern.outputs, start : start + pattern.sub_row, y, x])
            part = [sum(column) for column in zip(*group.tolist(), strict=True)]
            kept = sorted(range(len(part)), key=lambda c: (-part[c], c))[: pattern.kept]
            expected = [c in kept for c in range(len(part))]
            assert mask[k, start : start + pattern.sub_row, y, x].tolist() == expected


@settings(max_examples=60, deadline=None)
@given(patterns(), st.booleans())
def test_packing_round_trip(problem: tuple[Pattern, np.ndarray], shared: bool) -> None:
    pattern, weight = problem
    held = support(weight, pattern, shared)
    legal = np.where(held, weight, 0)
    assert obeys(legal, pattern, shared)
    packed = pack(legal, pattern, shared)
    shares = shares_of(legal, pattern.sub_row, pattern.outputs).reshape(-1)
    assert [values.shape[2] for values in packed.values] == shares.tolist()
    assert (unpack(packed, pattern) == legal).all()
    assert all(0 <= indices.min() <= indices.max() < pattern.sub_row for indices in packed.indices)
    assert all(len(indices) == -(-len(weight) // pattern.outputs) for indices in packed.indices)
    streams = 8 * sum(v.size for v in packed.values) + pattern.index_bits * sum(i.size for i in packed.indices)
    padded = weight.shape[1] % pattern.sub_row > 0 or shares.max() < pattern.kept
    assert storage_bits(legal, pattern, shared, 8) == streams or padded


@settings(max_examples=60, deadline=None)
@given(patterns())
def test_taps_share_what_is_worth_most(problem: tuple[Pattern, np.ndarray]) -> None:
    """Sharing keeps the same number of values, and no exchange of values between taps would increase their total."""
    pattern, weight = problem
    saliency = np.abs(weight) * (1 + np.arange(weight.shape[3]))
    worth = worth_of(saliency, pattern.sub_row, pattern.outputs)
    assert worth[:, 0, 0].sum() == saliency[:, :, 0, 0].sum()
    assert (np.diff(worth, axis=0) <= 0).all()
    shares = share_taps(worth, pattern)
    assert shares.mean() == pattern.kept
    assert 1 <= shares.min() <= shares.max() <= pattern.sub_row
    places = list(np.ndindex(shares.shape))
    last_taken = [worth[shares[tap] - 1][tap] for tap in places if shares[tap] > 1]
    first_left = [worth[shares[tap]][tap] for tap in places if shares[tap] < pattern.sub_row]
    assert min(last_taken, default=0) >= max(first_left, default=0) or not last_taken
    mask = project(saliency, pattern, shares)
    assert (fullest(mask, pattern.sub_row, pattern.outputs).max(axis=0) <= shares).all()
    assert saliency[mask].sum() >= saliency[project(saliency, pattern)].sum()


def test_a_support_is_kept() -> None:
    """Weights that obey the pattern keep all values except zeros, with every kind of sharing."""
    weight = np.zeros((1, 4, 2, 1))
    weight[0, :, 0, 0] = 9, 1, 2, 0
    weight[0, :, 1, 0] = 0, 5, 0, 0
    assert support(weight, Pattern(2, 4), shared=True)[0, :, :, 0].sum(axis=0).tolist() == [3, 1]
    assert support(weight, Pattern(1, 4), shared=True)[0, :, :, 0].sum(axis=0).tolist() == [1, 1]
    assert support(weight, Pattern(2, 4), shared=False)[0, :, :, 0].sum(axis=0).tolist() == [2, 2]


def test_what_breaks_a_pattern_is_refused() -> None:
    weight = np.zeros((2, 8, 3, 3), dtype=np.int64)
    weight[1, 4:7, 2, 1] = 5
    assert obeys(weight, Pattern(3, 4), shared=False)
    assert not obeys(weight, Pattern(2, 4), shared=False)
    assert obeys(weight, Pattern(2, 4), shared=True)  # 3 values at one tap, 1 at the others
    assert not obeys(weight, Pattern(1, 4), shared=True)
    assert fullest(weight, 4)[:, 2, 1].tolist() == [0, 3]
    with pytest.raises(ValueError, match="a sub-row must hold at most 2 values to be packed 2:4, not 3"):
        pack(weight, Pattern(2, 4), shared=False)
    with pytest.raises(ValueError, match=r"at most 1 values to be packed 1:4, not 1\.22222 on average over the taps"):
        pack(weight, Pattern(1, 4), shared=True)


def test_storage() -> None:
    """64 x 64 channels at 16 taps: 8 bits each, or 3 of 16 with 4-bit indices, at each tap or on average."""
    weight = np.ones((64, 64, 4, 4))
    assert storage_bits(weight, None, False, 8) == 64 * 64 * 16 * 8
    assert storage_bits(weight, Pattern(3, 16), False, 8) == 64 * 12 * 16 * 12
    assert storage_bits(np.ones((1, 20, 1, 1)), Pattern(3, 16), False, 8) == 6 * 12  # a last sub-row of 4 keeps 3 too
    saliency = weight * (1 + np.arange(4))
    shared = project(saliency, Pattern(3, 16), share_taps(worth_of(saliency, 16), Pattern(3, 16)))
    assert shares_of(shared, 16).tolist() == [[1, 1, 1, 9]] * 4
    assert storage_bits(shared, Pattern(3, 16), True, 8) == 64 * 12 * 16 * 12
    assert kept_values(shared[:, :20], Pattern(3, 16), True) == 64 * 4 * (3 * 2 + 9 + 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "a pattern must be n:S or n:SxG, for example 3:16 or 4:16x2, not '3'"),
        ("a:8", "a pattern must be n:S"),
        ("9:8", "n of a pattern n:S must be 1 to S = 8, not 9"),
        ("0:8", "n of a pattern n:S must be 1 to S = 8, not 0"),
        ("4:16x", "a pattern must be n:S or n:SxG"),
        ("4:16x3", "G of a pattern n:SxG must be 1, 2 or 4 output channels, not 3"),
        ("3:12", "S of a pattern n:S must be a power of two, not 12"),
    ],
)
def test_texts_that_are_no_pattern(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_pattern(text)


def test_a_text() -> None:
    assert parse_pattern("3:16") == Pattern(3, 16)
    assert str(Pattern(3, 16)) == "3:16"


def test_json_form() -> None:
    """A pattern is a pair in JSON and is checked on reading. Graph digests depend on its repr."""
    adapter = TypeAdapter(Pattern)
    assert adapter.dump_json(Pattern(3, 16)) == b"[3,16]"
    assert adapter.validate_json("[3,16]", strict=True) == adapter.validate_python([3, 16]) == Pattern(3, 16)
    assert repr(Pattern(3, 16)) == "(3, 16)"
    for text in ("[3,15]", "[3]", "[0,4]", '"3:16"'):
        with pytest.raises(ValidationError):
            adapter.validate_json(text)
