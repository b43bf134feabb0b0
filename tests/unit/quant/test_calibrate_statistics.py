"""Intervals against simulation, the stacked probabilities against a general optimiser, splits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from quant.cascade.expected import expected_losses, fit_stack
from quant.cascade.split import stratified_split
from quant.cascade.statistics import (
    allowed_losses,
    images_for_none,
    images_to_resolve,
    images_to_show,
    normal_quantile,
    paired_bounds,
    wilson_bounds,
)
from toolflow.ir.errors import ToolflowError


@pytest.mark.parametrize(("lost_share", "gained_share", "images"), [(0.02, 0.01, 5000), (0.05, 0, 500), (0.1, 0.1, 99)])
def test_paired_interval_covers(lost_share: float, gained_share: float, images: int) -> None:
    shares = [lost_share, gained_share, 1 - lost_share - gained_share]
    cells = np.random.default_rng(0).multinomial(images, shares, 20000)
    lower, upper = paired_bounds(cells[:, 0], cells[:, 1], images, normal_quantile(0.95))
    truth = lost_share - gained_share
    assert 0.935 < ((lower <= truth) & (truth <= upper)).mean() < 0.975
    narrow = paired_bounds(cells[:, 0], cells[:, 1], images, 1.0)
    assert ((narrow[0] <= truth) & (truth <= narrow[1])).mean() < 0.75, "a wrong z shows"


def test_paired_interval_equals_the_bootstrap() -> None:
    lost, gained, images = 60, 30, 5000
    outcome = np.zeros(images)
    outcome[:lost], outcome[lost : lost + gained] = 1, -1
    generator = np.random.default_rng(1)
    means = np.array([outcome[generator.integers(0, images, images)].mean() for _ in range(2000)])
    lower, upper = paired_bounds(lost, gained, images, normal_quantile(0.95))
    assert [lower, upper] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=4e-4)


def test_wilson_interval() -> None:
    lower, upper = wilson_bounds(81, 263, normal_quantile(0.95))  # Newcombe 1998, table I: 0.2553 to 0.3662
    assert [float(lower), float(upper)] == pytest.approx([0.2553, 0.3662], abs=5e-5)
    lower, upper = wilson_bounds(0, 20, normal_quantile(0.95))
    assert [float(lower), float(upper)] == pytest.approx([0.0, 0.1611], abs=5e-5)


def test_intervals_hold_what_they_are_of() -> None:
    """This includes no loss and total loss, for every number of images: a plot draws both ends from the value."""
    for images in range(1, 200):
        lost = np.arange(images + 1)
        for given in (lost, lost[::-1]):
            for lower, upper, share in (
                (*wilson_bounds(lost, images, 1.96), lost / images),
                (*paired_bounds(lost, np.minimum(given, images - lost), images, 1.96),
                 (lost - np.minimum(given, images - lost)) / images),
            ):  # fmt: skip
                assert (lower <= share).all()
                assert (share <= upper).all()


def test_numbers_of_images() -> None:
    assert images_for_none(0.01) == 300
    assert images_to_resolve(1000, 0.02, 0.01) == 4000
    assert images_to_resolve(1000, 0.0, 0.01) == 300
    assert images_to_show(0.02, 0.01, 0.01, 1.96) is None
    assert images_to_show(0.02, 0.0, 0.01, 1.96) == 769
    assert (allowed_losses(0.005, 5000), allowed_losses(0.07, 100), allowed_losses(0.005, 199)) == (25, 7, 0)


def test_stack_has_the_greatest_likelihood() -> None:
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 5, 400)
    features = generator.normal(0, 1, (2, 400, 5))
    features[:, np.arange(400), labels] += np.array([[1.5], [0.7]])

    def loss(weights: np.ndarray) -> float:
        scores = weights[0] * features[0] + weights[1] * features[1]
        return float(-(scores[np.arange(400), labels] - np.log(np.exp(scores).sum(axis=1))).mean())

    expected = minimize(loss, [0.1, 0.1], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12}).x
    assert fit_stack(features, labels) == pytest.approx(expected, rel=2e-3)


def test_expected_losses_are_calibrated() -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 10, 20000)
    real = generator.normal(0, 1000, (20000, 10))
    real[np.arange(20000), labels] += 2500
    high = np.round(real).astype(np.int64)
    low = np.round(real + generator.normal(0, 700, real.shape)).astype(np.int64)
    expected = expected_losses(low, high, labels)
    counted = (high.argmax(axis=1) == labels).astype(int) - (low.argmax(axis=1) == labels)
    assert expected.loss.mean() == pytest.approx(counted.mean(), abs=0.004)
    assert expected.square.mean() == pytest.approx((counted**2).mean(), rel=0.05)
    same = high.argmax(axis=1) == low.argmax(axis=1)
    assert not expected.loss[same].any()
    assert not expected.square[same].any()
    perfect = np.where(np.arange(10) == labels[:, None], 5, -5)
    assert not expected_losses(perfect, perfect, labels).loss.any()
    assert not expected_losses(np.zeros_like(low), np.zeros_like(low), labels).loss.any()


def test_split_is_stratified_and_seeded() -> None:
    labels = np.random.default_rng(4).integers(0, 7, 503)
    first, second = stratified_split(503, labels, 0.3, seed=5)
    assert sorted([*first, *second]) == list(range(503))
    for label in range(7):
        assert abs((labels[first] == label).sum() - 0.3 * (labels == label).sum()) < 1.01
    again, _ = stratified_split(503, labels, 0.3, seed=5)
    other, _ = stratified_split(503, labels, 0.3, seed=6)
    assert (first == again).all()
    assert set(first) != set(other)
    assert len(stratified_split(11, None)[0]) == 5
    with pytest.raises(ToolflowError, match=r"1 image\(s\) cannot be split 50% to 50%"):
        stratified_split(1, None)
    with pytest.raises(ToolflowError, match=r"labels must have shape \(3,\), one for each image, not \(2,\)"):
        stratified_split(3, np.zeros(2))
