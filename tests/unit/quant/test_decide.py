"""The design decision: chosen on calibration images, reported on held-out images, with a reason for each design."""

from __future__ import annotations

import math
import re
from statistics import NormalDist

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from quant.cascade.artefacts import Calibration, CascadeReport, Measure
from quant.cascade.calibrate import CalibrationOptions, calibrate
from quant.cascade.decide import Decision, UnitCycles, decide
from quant.cascade.measure import Answers, calibration_warnings, evaluate_cascade, held_out_warnings, measure
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.unit import DesignKind
from toolflow.numerics.confidence import NEVER, THRESHOLD_ONE
from toolflow.report.from_artefacts import cascade_section
from toolflow.report.plot import drawn

SCALE = 2.0**-10


def answered(low_right: int, accepted: int, images: int = 100, high_right: int | None = None) -> Measure:
    """Return the measure of a low unit that is right on the first `low_right` images and keeps the first `accepted`."""
    high = np.arange(images) < (images if high_right is None else high_right)
    return measure(Answers(np.arange(images) < low_right, high, labelled=True), np.arange(images) < accepted)


def artefacts(
    rule_low: int, rule_forwarded: int, held_low: int, held_forwarded: int, keeps: bool, without_margin: float = 1.0
) -> tuple[Calibration, CascadeReport]:
    """Return a calibration and a report on 100 images each, with these figures and a tolerance of 5 points."""
    logits = np.random.default_rng(0).integers(-900, 900, (20, 3))
    calibration = calibrate(logits, logits, None, SCALE, CalibrationOptions(tolerance=0.05)).model_copy(
        update={
            "measure": answered(rule_low, 100 - rule_forwarded),
            "low_alone": answered(rule_low, 100),
            "low_keeps": keeps,
            "share_without_margin": without_margin,
            "warnings": (),
        }
    )
    report = evaluate_cascade(calibration, logits, logits).model_copy(
        update={
            "measure": answered(held_low, 100 - held_forwarded),
            "low_alone": answered(held_low, 100),
            "warnings": ("the report warns",),
        }
    )
    return calibration, report


def decided(cycles: UnitCycles, *figures: int, keeps: bool = False, without_margin: float = 1.0) -> Decision:
    rule_low, rule_forwarded, held_low, held_forwarded = figures
    return decide(*artefacts(rule_low, rule_forwarded, held_low, held_forwarded, keeps, without_margin), cycles)


PAIR = UnitCycles(100.0, 40.0, (60.0, 200.0))


@pytest.mark.parametrize(
    ("forwarded", "keeps", "cycles", "choice", "text"),
    [
        (20, False, PAIR, "resident pair", "60 cycles an image with 20.0% forwarded"),
        (20, False, UnitCycles(100.0, 40.0, None, 0.0), "time-shared pair", "1.67 times as fast"),
        (20, False, UnitCycles(100.0, 40.0, None, 5000.0, 100), "single high", "does not pay: with 20.0% forwarded"),
        (80, False, PAIR, "single high", "the resident pair would take 160 cycles"),
        (50, False, UnitCycles(100.0, 40.0, (50.0, 200.0)), "single high", "would take 100 cycles"),
        (0, True, PAIR, "single low", "a cascade would add nothing"),
        (0, True, UnitCycles(40.0, 40.0, (40.0, 200.0)), "single high", "does not pay"),
        (20, False, UnitCycles(100.0, 40.0), "single high", "no pair of units fits the device"),
        (
            20,
            False,
            UnitCycles(None, 40.0, (60.0, 200.0)),
            "resident pair",
            "a single high-precision unit does not fit",
        ),
    ],
)
def test_decisions(forwarded: int, keeps: bool, cycles: UnitCycles, choice: str, text: str) -> None:
    decision = decided(cycles, 90, forwarded, 90, forwarded, keeps=keeps)
    assert decision.choice == choice
    assert text in decision.reason
    assert decision.cycles_per_image == min(each.cycles_per_image for each in decision.alternatives if each.keeps)
    assert decision.cascade_pays == choice.endswith("pair")


def test_the_low_unit_is_not_chosen_on_the_images_that_report_on_it() -> None:
    """The calibration images decide, whatever the loss on held-out images is."""
    lucky = decided(PAIR, 90, 80, 100, 80, keeps=False)
    assert lucky.choice == "single high"
    low = lucky.alternative(DesignKind.SINGLE_LOW)
    assert low is not None
    assert (low.keeps, low.loss, low.accuracy, low.cycles_per_image) == (False, 0.0, 1.0, 40.0)
    unlucky = decided(PAIR, 100, 0, 90, 0, keeps=True)
    assert unlucky.choice == "single low"
    assert unlucky.reason.startswith(
        "on 100 calibration images the low-precision unit alone is estimated to keep the tolerance of 5.00 points "
        "(95% confidence, one-sided); it takes 40 cycles an image, and a cascade would add nothing. On 100 held-out "
        "images it loses 10.00 points (95% interval 3."
    )
    assert unlucky.reason.endswith(", which does not show that it keeps the tolerance")
    calibration, report = artefacts(100, 0, 90, 0, keeps=True)
    better = report.model_copy(update={"low_alone": answered(100, 100, high_right=90)})
    gained = decide(calibration, better, PAIR)
    assert re.search(r"gains 10\.00 points \(95% interval \d+\.\d\d to \d+", gained.reason)
    assert gained.reason.endswith(", which also shows that it keeps the tolerance")
    assert gained.warnings == ()
    (warning,) = unlucky.warnings
    assert warning.startswith(
        "the loss on held-out images is 10.00 points, above the tolerance of 5.00 points, although"
    )
    assert lucky.warnings == ()


def test_the_low_unit_alone_is_doubted_for_its_own_loss_only() -> None:
    """Neither the pair's report nor the number of images for its threshold contradicts what the reason states."""
    calibration, report = artefacts(100, 0, 99, 0, keeps=True)
    few = calibration.model_copy(update={"warnings": ("100 calibration images are too few",)})
    shown = decide(few, report.model_copy(update={"low_alone": answered(100, 100)}), PAIR)
    assert (shown.choice, shown.warnings) == ("single low", ())
    assert shown.reason.endswith("also shows that it keeps the tolerance")
    doubted = decide(few.model_copy(update={"tolerance": 0.02}), report.model_copy(update={"tolerance": 0.02}), PAIR)
    assert doubted.reason.endswith("does not show that it keeps the tolerance")
    assert [text[:35] for text in doubted.warnings] == ["100 held-out images do not show tha"]
    assert decided(PAIR, 90, 20, 90, 20).warnings == ("the report warns",)


def test_a_pair_is_chosen_on_the_rules_images_and_its_speed_reported_on_others() -> None:
    decision = decided(PAIR, 90, 20, 90, 80)
    assert decision.choice == "resident pair"
    assert (decision.forwarded_share, decision.cycles_per_image, decision.speedup) == (0.8, 160.0, 100 / 160)
    assert "80.0% are forwarded, 20.0% of those that chose the design" in decision.warnings[-1]
    assert [each.design for each in decision.alternatives] == ["single low", "single high", "resident pair"]


@pytest.mark.parametrize(
    ("without_margin", "what"),
    [(0.0, "the low-precision unit alone keeps"), (0.3, "the resident pair with 30.0% forwarded keeps")],
)
def test_too_few_images_are_the_first_reason(without_margin: float, what: str) -> None:
    decision = decided(PAIR, 98, 80, 98, 80, without_margin=without_margin)
    assert decision.choice == "single high"
    assert decision.reason.startswith(f"100 images to choose the design on are too few to show that {what}")
    assert "would take 40 " in decision.reason or "would take 60 " in decision.reason
    assert "give a larger calibration file, or allow more with --tolerance" in decision.reason
    assert "a cascade does not pay" in decision.reason
    assert decided(PAIR, 98, 80, 98, 80, without_margin=0.8).reason.startswith("a cascade does not pay")


def test_a_faster_low_unit_that_too_few_images_forbid_is_told_beside_a_pair() -> None:
    decision = decided(PAIR, 90, 20, 90, 20, without_margin=0.0)
    assert decision.choice == "resident pair"
    assert "too few to show that the low-precision unit alone keeps the tolerance" in decision.reason
    assert "As it is, the resident pair takes" in decision.reason
    assert "too few" not in decided(PAIR, 90, 20, 90, 20, without_margin=0.1).reason  # the same pair, forwarding less


def test_no_design_fits() -> None:
    with pytest.raises(ToolflowError, match="no unit fits the device"):
        decided(UnitCycles(None), 90, 20, 90, 20)
    with pytest.raises(ToolflowError, match="cycles must be positive"):
        UnitCycles(-1.0)
    with pytest.raises(DoesNotFitError, match="only the low-precision unit fits the device, and 100 images"):
        decided(UnitCycles(None, 40.0), 90, 20, 90, 20)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("tolerance", [0.02, 0.06, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_whether_the_low_unit_keeps_the_tolerance(labelled: bool, tolerance: float, seed: int) -> None:
    """Compare with a count over the calibration images, and with the interval's formula."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, 400)
    real = generator.normal(0, 800, (400, 4))
    real[np.arange(400), labels] += 2500
    high = np.round(real).astype(np.int64)
    low = np.round(real + generator.normal(0, 60 + 100 * seed, real.shape)).astype(np.int64)
    truth = labels if labelled else high.argmax(axis=1)
    lost = sum(h == t != w for h, w, t in zip(high.argmax(axis=1), low.argmax(axis=1), truth, strict=True))
    gained = sum(w == t != h for h, w, t in zip(high.argmax(axis=1), low.argmax(axis=1), truth, strict=True))
    z = NormalDist().inv_cdf(0.95) * math.sqrt(2)
    if labelled:  # Agresti and Min
        b, c, n = lost + 0.5, gained + 0.5, 402
        upper = (b - c) / n + z * math.sqrt(((b + c) / n - ((b - c) / n) ** 2) / n)
    else:  # Wilson
        share = lost / 400
        centre = share + z * z / 800
        upper = (centre + z * math.sqrt(share * (1 - share) / 400 + z * z / 640000)) / (1 + z * z / 400)
    given = labels if labelled else None
    options = CalibrationOptions(tolerance=tolerance, estimate="counted")
    found = calibrate(low, high, given, SCALE, options)
    assert found.low_keeps == (upper <= tolerance)
    assert found.low_keeps == (found.measure.forwarded == 0)
    assert (found.low_alone.lost, found.low_alone.gained) == (lost, gained)
    free = calibrate(low, high, given, SCALE, CalibrationOptions(tolerance=tolerance, estimate="counted", margin=None))
    assert found.share_without_margin == free.share_without_margin == free.measure.forwarded_share
    assert free.low_keeps == (lost - gained <= tolerance * 400)
    report = evaluate_cascade(found, low, high, given)
    assert (report.low_alone.lost, report.low_alone.gained, report.low_alone.forwarded) == (lost, gained, 0)


def test_advice_can_be_followed() -> None:
    """The advice gives a number of images only if it is realistic, otherwise another tolerance."""
    close = measure(Answers(np.arange(10000) >= 99, np.ones(10000, dtype=bool), labelled=True), np.ones(10000, bool))
    (text,) = held_out_warnings(close, 0.01)
    assert "times as large" not in text
    assert "--tolerance 0.005 would forward more images and lose fewer" in text
    assert "if 1.18 points is acceptable, use --tolerance 0.012" in text
    (text,) = held_out_warnings(answered(498, 500, 500), 0.01)
    assert "give a calibration file 1.1 times as large, or --tolerance 0.005" in text
    (text,) = held_out_warnings(answered(100, 100, 100), 0.001)
    assert "0.0005" not in text, "nothing was lost, of which a smaller tolerance would lose fewer"
    (text,) = held_out_warnings(answered(450, 500, 500), 0.01)
    assert text.startswith(
        "the loss on held-out images is 10.00 points, above the tolerance of 1.00 points: --tolerance"
    )
    (text,) = calibration_warnings(answered(100, 100), 0.03, 0.01)
    assert text.endswith("give a calibration file 9 times as large, or --tolerance 0.03 is what they support")
    (text,) = calibration_warnings(answered(100, 100), 0.05, 0.001)
    assert text.endswith("0.10 points: --tolerance 0.05 is what they support")


def _marks(axes: Axes) -> dict[str, list[float]]:
    """Return the coordinates of the points with error bars."""
    bars = [mark for mark in axes.containers if isinstance(mark, ErrorbarContainer)]
    return {str(mark.get_label()): np.asarray(mark.lines[0].get_xydata())[0].tolist() for mark in bars}


def test_the_picture_sets_each_point_against_its_own_images() -> None:
    calibration, report = artefacts(90, 20, 98, 40, keeps=False)
    held_out = answered(930, 800, 1000, high_right=950)
    section = cascade_section(calibration, report.model_copy(update={"measure": held_out}))
    (axes,) = drawn(section).axes
    heights = {str(line.get_label()): np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()}
    assert (heights["high-precision unit alone, same images"] == 0).all()
    assert heights["tolerance"] == pytest.approx(-5.0)
    marks = _marks(axes)
    assert marks["chosen, calibration: 100.00 % of 100.00 %, 100 images"] == pytest.approx([20.0, 0.0])
    assert held_out.loss == 0.0
    lossy = answered(700, 800, 1000, high_right=950)
    (axes,) = drawn(cascade_section(calibration, report.model_copy(update={"measure": lossy}))).axes
    marks = _marks(axes)
    assert marks["chosen, held out: 85.00 % of 95.00 %, 1,000 images"] == pytest.approx([20.0, -10.0])


@pytest.mark.parametrize("agreeing", [0, 40])
def test_the_picture_of_images_without_labels_that_all_agree_or_none(agreeing: int) -> None:
    calibration, report = artefacts(90, 20, 98, 40, keeps=False)
    alike = Answers(np.arange(40) < agreeing, np.ones(40, dtype=bool), labelled=False)
    found = measure(alike, np.ones(40, dtype=bool))
    section = cascade_section(calibration, report.model_copy(update={"measure": found}))
    (axes,) = drawn(section).axes
    place = _marks(axes)[f"chosen, held out: {100 * agreeing / 40:.2f} % of 100.00 %, 40 images"]
    assert place == pytest.approx([0.0, -100 * (1 - agreeing / 40)])


def test_a_rule_that_keeps_no_image_is_not_doubted_for_its_loss() -> None:
    """A smaller tolerance could not forward more images."""
    logits = np.random.default_rng(0).integers(-900, 900, (20, 2))
    calibration = calibrate(logits, logits, None, SCALE, CalibrationOptions(tolerance=0.01))
    assert calibration.threshold == NEVER
    assert evaluate_cascade(calibration, logits, logits).warnings == ()
    some = calibration.model_copy(update={"threshold": THRESHOLD_ONE - 1})
    assert "do not show that the loss stays within" in evaluate_cascade(some, logits, logits).warnings[0]
