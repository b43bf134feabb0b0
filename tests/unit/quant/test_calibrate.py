"""The search for M, N and threshold against brute force, and the guards around it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.cascade.artefacts import Calibration, CascadeReport
from quant.cascade.calibrate import CalibrationOptions, calibrate
from quant.cascade.curve import metric
from quant.cascade.measure import evaluate_cascade
from toolflow.ir.artefacts import load_record, save_record
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.confidence import ALWAYS, NEVER, ConfidenceRule, confidence_k, evaluate

SCALE = 2.0**-10
COUNTED = CalibrationOptions(tolerance=0.02, estimate="counted", margin=None)
PLAIN = CalibrationOptions(tolerance=0.02, margin=None)


def synthetic(images: int, classes: int, seed: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits of a high-precision unit that is often right and of a noisier low-precision unit."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)
    real = generator.normal(0, 1.2, (images, classes))
    real[np.arange(images), labels] += 3
    high = np.round(real / SCALE).astype(np.int64)
    low = np.round((real + generator.normal(0, noise, real.shape)) / SCALE).astype(np.int64)
    return low.clip(-32768, 32767), high.clip(-32768, 32767), labels


def brute_force(low: np.ndarray, high: np.ndarray, labels: np.ndarray | None, tolerance: Fraction, classes: int) -> int:
    """Fewest images forwarded, over every M, N and every threshold that int32 can hold near the metric."""
    truth = high.argmax(axis=1) if labels is None else labels
    high_right, low_right = high.argmax(axis=1) == truth, low.argmax(axis=1) == truth
    best = len(low)
    for n in range(1, min(8, classes) + 1):
        for m in range(1, n + 1):
            result = evaluate(low, ConfidenceRule(confidence_k(SCALE), m, n, 0))
            pairs = list(zip(result.numerator.tolist(), result.total.tolist(), strict=True))
            for threshold in {(a << 16) // b + c for a, b in pairs for c in (0, 1)}:
                accepted = np.array([a << 16 >= threshold * b for a, b in pairs])
                loss = int(high_right[accepted].sum()) - int(low_right[accepted].sum())
                if Fraction(loss, len(low)) <= tolerance:
                    best = min(best, int((~accepted).sum()))
    return best


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (3, 1), (10, 2), (10, 3)])
@pytest.mark.parametrize("labelled", [True, False])
def test_counted_search_is_exhaustive(classes: int, seed: int, labelled: bool) -> None:
    low, high, labels = synthetic(60, classes, seed)
    given_labels = labels if labelled else None
    found = calibrate(low, high, given_labels, SCALE, COUNTED)
    assert found.measure.forwarded == brute_force(low, high, given_labels, Fraction("0.02"), classes)
    assert found.measure.forwarded == int((~evaluate(low, found.rule).confident).sum())
    assert found.measure.loss <= 0.02
    assert found.measure.labelled == labelled


@given(
    st.lists(st.tuples(st.integers(-(8 * 65535), 8 * 65535), st.integers(65535, 1 << 26)), min_size=1),
    st.integers(-70000, 70000),
)
def test_metric_is_the_hardware_test(pairs: list[tuple[int, int]], threshold: int) -> None:
    numerator, total = (np.array(values, dtype=np.int64) for values in zip(*pairs, strict=True))
    accepted = [a << 16 >= threshold * b for a, b in pairs]
    assert (metric(numerator, total) >= threshold).tolist() == accepted


def test_modelled_loss_generalises_better_than_counted() -> None:
    """With the model, the loss on other images varies less around the tolerance, over many small calibration sets."""
    low, high, labels = synthetic(8000, 10, 4)
    spread = {}
    for estimate in ("modelled", "counted"):
        losses = []
        for start in range(0, 8000, 400):
            chosen = np.zeros(8000, dtype=bool)
            chosen[start : start + 400] = True
            options = PLAIN if estimate == "modelled" else COUNTED
            calibration = calibrate(low[chosen], high[chosen], labels[chosen], SCALE, options)
            losses.append(evaluate_cascade(calibration, low[~chosen], high[~chosen], labels[~chosen]).measure.loss)
        spread[estimate] = np.sqrt(np.mean((np.array(losses) - 0.02) ** 2))
    assert spread["modelled"] < 0.7 * spread["counted"]


@pytest.mark.parametrize("estimate", ["modelled", "counted"])
def test_margin_holds_on_other_sets(estimate: Literal["modelled", "counted"]) -> None:
    """With a margin of 0.8, about 80 % of calibrations keep the tolerance on another set of the same size."""
    low, high, labels = synthetic(40_000, 10, 13, noise=0.6)
    kept = {0.8: 0, None: 0}
    for margin in kept:
        for start in range(0, 40_000, 1000):
            first, second = slice(start, start + 500), slice(start + 500, start + 1000)
            options = CalibrationOptions(tolerance=0.03, margin=margin, estimate=estimate)
            found = calibrate(low[first], high[first], labels[first], SCALE, options)
            report = evaluate_cascade(found, low[second], high[second], labels[second])
            kept[margin] += report.measure.loss <= 0.03
    assert kept[0.8] >= 0.7 * 40 > kept[None]


def test_margin_and_free_share() -> None:
    low, high, labels = synthetic(1500, 10, 5, noise=0.6)
    plain = calibrate(low, high, labels, SCALE, PLAIN)
    careful = calibrate(low, high, labels, SCALE, CalibrationOptions(tolerance=0.02))
    assert (plain.margin, careful.margin) == (None, 0.95)
    assert careful.measure.forwarded > plain.measure.forwarded
    assert careful.expected_loss < plain.expected_loss <= 0.02
    free = calibrate(low, high, labels, SCALE, CalibrationOptions(tolerance=0.02, free_share=0.5, margin=None))
    assert plain.measure.forwarded_share < free.measure.forwarded_share <= 0.5
    assert free.expected_loss < plain.expected_loss


def test_units_that_agree_need_no_forwarding() -> None:
    low, high, labels = synthetic(600, 10, 6, noise=0.0)
    found = calibrate(low, high, labels, SCALE, CalibrationOptions(tolerance=0.01))
    assert (found.threshold, found.measure.forwarded, found.m, found.n) == (ALWAYS, 0, 1, 2)
    assert found.warnings == ()


def test_a_useless_low_unit_forwards_almost_everything() -> None:
    _, high, labels = synthetic(300, 10, 7)
    low = np.zeros_like(high)
    found = calibrate(low, high, labels, SCALE, CalibrationOptions(tolerance=0.01))
    assert (found.threshold, found.measure.forwarded) == (NEVER, 300)
    assert found.measure.cascade_accuracy == found.measure.high_accuracy


def test_temperature_is_recorded_in_k() -> None:
    low, high, labels = synthetic(300, 10, 8)
    found = calibrate(low, high, labels, SCALE, CalibrationOptions(tolerance=0.02, temperatures=(2.0,)))
    assert (found.temperature, found.k) == (2.0, confidence_k(SCALE, 2.0))


def test_held_out_report_and_artefacts(tmp_path: Path) -> None:
    low, high, labels = synthetic(4000, 10, 9)
    calibration = calibrate(low[:2000], high[:2000], labels[:2000], SCALE, CalibrationOptions(tolerance=0.02))
    floats = high[2000:].argmax(axis=1)
    report = evaluate_cascade(calibration, low[2000:], high[2000:], labels[2000:], floats)
    kept = evaluate(low[2000:], calibration.rule)
    classes = np.where(kept.confident, kept.klass, high[2000:].argmax(axis=1))
    found = report.measure
    assert found.cascade_accuracy == (classes == labels[2000:]).mean()
    assert found.float_accuracy == found.high_accuracy
    assert found.loss == pytest.approx(found.high_accuracy - found.cascade_accuracy)
    assert found.loss_interval[0] < found.loss < found.loss_interval[1]
    save_record(calibration, tmp_path / "calibration.json")
    assert load_record(Calibration, tmp_path / "calibration.json") == calibration
    save_record(report, tmp_path / "report.json")
    assert load_record(CascadeReport, tmp_path / "report.json") == report
    assert calibrate(low[:2000], high[:2000], labels[:2000], SCALE, CalibrationOptions(tolerance=0.02)) == calibration


def test_curve_ends_at_both_units() -> None:
    low, high, labels = synthetic(500, 10, 10)
    found = calibrate(low, high, labels, SCALE, CalibrationOptions(tolerance=0.02))
    assert len(found.curve) <= 200
    first, last = found.curve[0], found.curve[-1]
    assert (first.threshold, first.forwarded_share, first.accuracy) == (NEVER, 1.0, found.measure.high_accuracy)
    assert (last.threshold, last.forwarded_share, last.accuracy) == (ALWAYS, 0.0, found.measure.low_accuracy)
    for point in found.curve[1:-1:20]:
        accepted = evaluate(low, ConfidenceRule(found.k, found.m, found.n, point.threshold)).confident
        assert point.forwarded_share == pytest.approx(1 - accepted.mean())


def test_too_few_images_are_named() -> None:
    low, high, labels = synthetic(100, 10, 11)
    found = calibrate(low, high, labels, SCALE, CalibrationOptions(tolerance=0.005))
    assert len(found.warnings) == 1
    assert (
        "100 calibration images are too few to support a tolerance of 0.50 points: give a calibration file"
        in found.warnings[0]
    )
    agreeing = evaluate_cascade(found, high[:50], high[:50], labels[:50])
    assert "50 held-out images do not show that the loss stays within 0.50 points" in agreeing.warnings[0]
    losing = evaluate_cascade(found.model_copy(update={"threshold": ALWAYS}), low, high, labels)
    assert "the loss on held-out images is" in losing.warnings[0]
    assert "above the tolerance of 0.50 points" in losing.warnings[0]


BAD = np.zeros((4, 3), dtype=np.int64)


@pytest.mark.parametrize(
    ("low", "high", "labels", "text"),
    [
        (BAD[:0], BAD[:0], None, r"low-precision logits must be integers of shape .*, not int64 \(0, 3\)"),
        (BAD.astype(float), BAD, None, "low-precision logits must be integers .* not float64"),
        (BAD, BAD[:3], None, r"both units' logits must have one shape, not \(4, 3\) and \(3, 3\)"),
        (BAD + 32768, BAD, None, r"logits must fit 16 signed bits, not \[32768, 32768\]"),
        (BAD, BAD, np.zeros(3, int), r"labels must be integers of shape \(4,\), one for each image, not int64 \(3,\)"),
        (BAD, BAD, np.full(4, 3), r"labels must lie within \[0, 2\], the model's classes, not \[3, 3\]"),
        (BAD[:, :1], BAD[:, :1], None, "a cascade needs at least two classes, not 1"),
    ],
)
def test_bad_arrays(low: np.ndarray, high: np.ndarray, labels: np.ndarray | None, text: str) -> None:
    with pytest.raises(ToolflowError, match=text):
        calibrate(low, high, labels, SCALE, COUNTED)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tolerance": 0.0}, r"the tolerance must be above 0 and below 1 \(0.01 is one point\), not 0.0"),
        ({"free_share": 1.5}, r"the free share must lie within \[0, 1\], not 1.5"),
        ({"margin": 1.0}, r"the margin must be a confidence within \[0.5, 1\), not 1.0"),
        ({"temperatures": ()}, r"temperatures must be one or more positive numbers, not \[\]"),
    ],
)
def test_bad_options(options: dict[str, float], text: str) -> None:
    with pytest.raises(ToolflowError, match=text):
        CalibrationOptions(**options)  # type: ignore[arg-type]


def test_artefact_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"schema_version": 2}', encoding="utf-8")
    with pytest.raises(ToolflowError, match=r"a\.json is damaged \(it has no 'source'\): build again"):
        load_record(Calibration, path)
    with pytest.raises(ToolflowError, match="cannot be read"):
        load_record(Calibration, tmp_path / "absent.json")
