"""The table of thresholds against a loop over the images, and its ends."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from quant.cascade.calibrate import calibrate
from quant.cascade.measure import evaluate_cascade
from quant.cascade.thresholds import STEPS, ThresholdTable, threshold_table
from tests.unit.quant.test_calibrate import PLAIN, SCALE, synthetic
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.confidence import ALWAYS, NEVER, THRESHOLD_ONE, ConfidenceRule, confidence_k, evaluate
from toolflow.plan.explore.objective import Goal, Objective

LOW_CYCLES, HIGH_CYCLES = 100.0, 280.0
RULE = ConfidenceRule(confidence_k(SCALE), 1, 2, 30_000)


def table(
    low: np.ndarray, high: np.ndarray, labels: np.ndarray | None, rule: ConfidenceRule, goal: Goal = "throughput"
) -> ThresholdTable:
    objective = Objective(goal)
    return threshold_table(
        rule, low, high, labels, lambda share: 1e6 / objective.pair_cycles(LOW_CYCLES, HIGH_CYCLES, share)
    )


def image_by_image(
    low: np.ndarray, high: np.ndarray, labels: np.ndarray | None, rule: ConfidenceRule, threshold: int
) -> tuple[int, int]:
    """Return how many images a threshold forwards and how many the cascade then answers rightly."""
    found = evaluate(low, rule)
    forwarded = right = 0
    for image in range(len(low)):
        best = high[image].tolist().index(max(high[image].tolist()))
        truth = best if labels is None else int(labels[image])
        if int(found.numerator[image]) * THRESHOLD_ONE >= threshold * int(found.total[image]):
            answer = low[image].tolist().index(max(low[image].tolist()))
        else:
            answer, forwarded = best, forwarded + 1
        right += answer == truth
    return forwarded, right


@pytest.mark.parametrize("goal", ["throughput", "latency"])
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(("classes", "m", "n"), [(2, 1, 2), (4, 1, 2), (10, 2, 5)])
def test_every_row_is_what_a_loop_over_the_images_counts(
    classes: int, m: int, n: int, labelled: bool, goal: Goal
) -> None:
    low, high, labels = synthetic(57, classes, seed=classes)
    truth = labels if labelled else None
    rule = ConfidenceRule(RULE.k, m, n, 30_000)
    found = table(low, high, truth, rule, goal)
    assert (found.images, found.labelled) == (57, labelled)
    for row in found.rows:
        forwarded, right = image_by_image(low, high, truth, rule, row.threshold)
        assert row.forwarded_share == forwarded / 57
        assert row.accuracy == right / 57
        beside = max(LOW_CYCLES, HIGH_CYCLES * forwarded / 57)
        each = beside if goal == "throughput" else LOW_CYCLES + HIGH_CYCLES * forwarded / 57
        assert row.images_per_second == pytest.approx(1e6 / each)


@pytest.mark.parametrize("step", [1, 600])  # 600: coarse logits, so that many images have the same confidence
@pytest.mark.parametrize("images", [1, 2, 9, 200])
def test_rows_run_from_no_image_to_every_image_in_tenths(images: int, step: int) -> None:
    low, high, labels = synthetic(images, 4, seed=images)
    low = low // step * step
    rows = table(low, high, labels, RULE).rows
    shares = [row.forwarded_share for row in rows]
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    for before, after in itertools.pairwise(rows):
        assert before.forwarded_share < after.forwarded_share
        assert before.threshold < after.threshold
        assert before.images_per_second >= after.images_per_second
    assert len(rows) <= STEPS + 2
    possible = {image_by_image(low, high, labels, RULE, t)[0] / images for t in thresholds_of(low)}
    for tenth in range(STEPS + 1):
        nearest = min(abs(share - tenth / STEPS) for share in possible)
        assert min(abs(share - tenth / STEPS) for share in shares) == pytest.approx(nearest)


def thresholds_of(low: np.ndarray) -> set[int]:
    """Return thresholds that split the images in every possible way."""
    found = evaluate(low, RULE)
    pairs = zip(found.numerator.tolist(), found.total.tolist(), strict=True)
    return {ALWAYS, NEVER, *(numerator * THRESHOLD_ONE // total for numerator, total in pairs)}


@pytest.mark.parametrize("threshold", [ALWAYS, 0, 5_000, 30_000, 65_000, THRESHOLD_ONE, NEVER])
def test_the_chosen_row_is_the_report_on_the_same_images(threshold: int) -> None:
    low, high, labels = synthetic(90, 5, seed=4)
    chosen = calibrate(*synthetic(90, 5, seed=5), SCALE, PLAIN).model_copy(update={"threshold": threshold})
    report = evaluate_cascade(chosen, low, high, labels)
    (row,) = [row for row in table(low, high, labels, chosen.rule).rows if row.chosen]
    assert row.threshold == threshold
    assert row.accuracy == report.measure.cascade_accuracy
    assert row.forwarded_share == report.measure.forwarded_share


def test_arrays_that_do_not_fit_each_other_are_refused() -> None:
    low, high, labels = synthetic(9, 4, seed=1)
    with pytest.raises(ToolflowError, match=r"both units' logits must have one shape, not \(8, 4\) and \(9, 4\)"):
        table(low[1:], high, labels, RULE)
