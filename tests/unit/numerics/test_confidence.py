"""The confidence unit's integers against a naive evaluation, one image at a time, in Python integers."""

from __future__ import annotations

import time
from decimal import ROUND_HALF_EVEN, Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolflow.numerics.confidence import (
    ACCEPT_ALL,
    ALWAYS,
    EXPONENT_TABLE,
    NEVER,
    ConfidenceRule,
    confidence_k,
    evaluate,
    leading,
)


def naive_table() -> list[int]:
    """2^16 · 2^(-f/256) by 60-digit arithmetic."""
    getcontext().prec = 60
    exact = [Decimal(2) ** (Decimal(16) - Decimal(f) / 256) for f in range(256)]
    values = [value.quantize(Decimal(1), ROUND_HALF_EVEN) for value in exact]
    return [min(int(value), 65535) for value in values]


TABLE = naive_table()


def naive(logits: list[int], rule: ConfidenceRule) -> tuple[int, bool, int, int]:
    """Steps 1 to 10 for one image, with a check of every stated width."""
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    e = []
    for value in logits:
        distance = logits[order[0]] - value
        assert 0 <= distance < 1 << 16
        product = distance * rule.k
        assert product < 1 << 32
        x = product >> 12
        e.append(0 if x >> 8 >= 16 else TABLE[x & 255] >> (x >> 8))
    top = sum(e[i] for i in order[: rule.m])
    against = sum(e[i] for i in order[rule.m : rule.n])
    total = sum(e)
    numerator = top - against
    assert max(top, against) < 1 << 19
    assert -(1 << 19) <= numerator < 1 << 19
    assert total < 1 << 26 or len(logits) > 1024
    return order[0], numerator << 16 >= rule.threshold * total, numerator, total


def assert_equal_to_naive(logits: np.ndarray, rule: ConfidenceRule) -> None:
    result = evaluate(logits, rule)
    for i, row in enumerate(logits.tolist()):
        expected = naive(row, rule)
        got = (int(result.klass[i]), bool(result.confident[i]), int(result.numerator[i]), int(result.total[i]))
        assert got == expected, (row, rule)


rules = st.builds(
    lambda k, pair, threshold: ConfidenceRule(k, min(pair), max(pair), threshold),
    st.integers(0, 65535),
    st.tuples(st.integers(0, 8), st.integers(0, 8)),
    st.one_of(st.integers(-70000, 70000), st.sampled_from([-(1 << 31), (1 << 31) - 1, ALWAYS, NEVER, 65536, 0])),
)
int16 = st.one_of(st.integers(-32768, 32767), st.sampled_from([-32768, 32767, 0, 1]), st.integers(-300, 300))


@settings(max_examples=400, deadline=None)
@given(st.integers(1, 20).flatmap(lambda k: st.lists(st.lists(int16, min_size=k, max_size=k), max_size=6)), rules)
def test_equals_naive(rows: list[list[int]], rule: ConfidenceRule) -> None:
    assert_equal_to_naive(np.array(rows, dtype=np.int64).reshape(len(rows), -1 if rows else 1), rule)


@pytest.mark.parametrize("k", [0, 1, 369, 5909, 65535])
@pytest.mark.parametrize("classes", [1, 2, 7, 8, 9, 1000])
def test_extremes(k: int, classes: int) -> None:
    generator = np.random.default_rng(classes)
    rows = [
        np.full(classes, -32768),
        np.full(classes, 32767),
        np.where(np.arange(classes) == classes - 1, 32767, -32768),
        np.where(np.arange(classes) == 0, -32768, 32767),
        generator.integers(-32768, 32768, classes),
        generator.integers(-3, 4, classes),
    ]
    for m, n in ((0, 0), (1, 1), (1, 2), (1, 8), (4, 8), (8, 8)):
        for threshold in (-(1 << 31), ALWAYS, 0, 32768, 65536, NEVER, (1 << 31) - 1):
            assert_equal_to_naive(np.array(rows, dtype=np.int64), ConfidenceRule(k, m, n, threshold))


def test_table_and_its_zero() -> None:
    assert EXPONENT_TABLE.tolist() == TABLE
    assert max(TABLE) >> 16 == 0, "a shift by 16 or more gives 0 without a special case"


def test_ties_take_the_lowest_index() -> None:
    result = evaluate(np.array([[3, 9, 9, 9], [5, 5, 5, 5]]), ConfidenceRule(5909, 1, 2, 1))
    assert result.klass.tolist() == [1, 0]
    assert result.numerator.tolist() == [0, 0]
    assert not result.confident.any()


def test_limits_of_the_threshold() -> None:
    logits = np.array([[0, 0], [32767, -32768], [-32768, 32767], [1, 0]], dtype=np.int64)
    for k in (1, 65535):
        assert evaluate(logits, ConfidenceRule(k, 1, 2, ALWAYS)).confident.all()
        assert not evaluate(logits, ConfidenceRule(k, 1, 2, NEVER)).confident.any()
    assert evaluate(logits, ConfidenceRule(65535, 1, 2, 65536)).confident.tolist() == [False, True, True, False]
    assert evaluate(logits, ACCEPT_ALL).confident.all()


def test_follows_the_float_softmax() -> None:
    generator = np.random.default_rng(1)
    scale = 2.0**-10
    logits = generator.integers(-16000, 16000, (500, 10))
    result = evaluate(logits, ConfidenceRule(confidence_k(scale), 1, 3, 0))
    p = np.exp((logits - logits.max(axis=1, keepdims=True)) * scale)
    p = -np.sort(-p / p.sum(axis=1, keepdims=True), axis=1)
    assert np.abs(result.numerator / result.total - (p[:, 0] - p[:, 1] - p[:, 2])).max() < 0.003


def test_k_of_a_scale() -> None:
    assert confidence_k(2.0**-12) == 369
    assert confidence_k(2.0**-8) == 5909
    assert confidence_k(2.0**-8, temperature=2.0) == 2955
    assert confidence_k(1e-9) == 1
    assert confidence_k(10.0) == 65535
    with pytest.raises(ValueError, match="a logit scale must be positive and finite, not 0"):
        confidence_k(0)
    with pytest.raises(ValueError, match="a temperature must be positive and finite, not inf"):
        confidence_k(0.1, float("inf"))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ((65536, 1, 2, 0), r"k must lie within \[0, 65535\], not 65536"),
        ((1, 3, 2, 0), "M and N must be 0 <= M <= N <= 8, not M = 3, N = 2"),
        ((1, 1, 9, 0), "M and N must be 0 <= M <= N <= 8, not M = 1, N = 9"),
        ((1, 1, 2, 1 << 31), "threshold must fit 32 signed bits, not 2147483648"),
    ],
)
def test_rules_that_do_not_fit_the_header(fields: tuple[int, int, int, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ConfidenceRule(*fields)


def test_logits_that_are_none() -> None:
    rule = ConfidenceRule(1, 1, 2, 0)
    with pytest.raises(ValueError, match=r"logits must fit 16 signed bits, not \[0, 32768\]"):
        evaluate(np.array([[0, 32768]]), rule)
    with pytest.raises(ValueError, match=r"logits must have shape \(N, K\) with K >= 1, not \(2, 0\)"):
        evaluate(np.zeros((2, 0), dtype=np.int64), rule)
    assert evaluate(np.zeros((0, 3), dtype=np.int64), rule).klass.shape == (0,)


def test_ten_thousand_images_of_a_thousand_classes_are_fast() -> None:
    logits = np.random.default_rng(0).integers(-32768, 32768, (10_000, 1000))
    start = time.perf_counter()
    places, total = leading(logits, 369)
    assert time.perf_counter() - start < 10
    assert (np.diff(places, axis=1) <= 0).all()
    assert (total >= places.sum(axis=1)).all()
