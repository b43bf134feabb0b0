"""Measure a cascade on integer logits: answers, losses, intervals, warnings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant.cascade.artefacts import Calibration, CascadeReport, Measure, hash_arrays, hash_calibration
from quant.cascade.statistics import (
    images_for_none,
    images_to_resolve,
    images_to_show,
    normal_quantile,
    paired_bounds,
    wilson_bounds,
)
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import VariantName
from toolflow.numerics.confidence import LOGIT_BITS, NEVER, evaluate

BoolArray = npt.NDArray[np.bool_]
Int64Array = npt.NDArray[np.int64]

INTERVAL_CONFIDENCE = 0.95
MOST_TIMES_IMAGES = 10  # as many as there are: more is no advice


@dataclass(frozen=True)
class Answers:
    """Which images each unit answers correctly.

    Attributes:
        low, high: bool (N,). Without labels `high` is all true and `low` says where the two agree.
        labelled: whether labels decided.
    """

    low: BoolArray
    high: BoolArray
    labelled: bool


def check_logits(low: np.ndarray, high: np.ndarray, labels: np.ndarray | None) -> None:
    """Check what calibration and evaluation are given.

    Raises:
        ToolflowError: shapes differ or are empty, logits are not int16-sized integers, or labels are not classes.
    """
    for what, logits in ((VariantName.LOW, low), (VariantName.HIGH, high)):
        if logits.ndim != 2 or 0 in logits.shape or logits.dtype.kind != "i":
            raise ToolflowError(
                f"{what}-precision logits must be integers of shape (images, classes), "
                f"not {logits.dtype} {logits.shape}"
            )
    if low.shape != high.shape:
        raise ToolflowError(f"both units' logits must have one shape, not {low.shape} and {high.shape}")
    bound = 1 << (LOGIT_BITS - 1)
    if low.min() < -bound or low.max() >= bound:
        raise ToolflowError(f"logits must fit {LOGIT_BITS} signed bits, not [{low.min()}, {low.max()}]")
    if labels is None:
        return
    if labels.shape != (len(low),) or labels.dtype.kind not in "iu":
        raise ToolflowError(
            f"labels must be integers of shape ({len(low)},), one for each image, not {labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= low.shape[1]:
        raise ToolflowError(
            f"labels must lie within [0, {low.shape[1] - 1}], the model's classes, not [{labels.min()}, {labels.max()}]"
        )


def answers(low: Int64Array, high: Int64Array, labels: np.ndarray | None) -> Answers:
    """Return which images each unit answers correctly; without labels the high-precision unit is right."""
    truth = high.argmax(axis=1) if labels is None else labels
    return Answers(low.argmax(axis=1) == truth, high.argmax(axis=1) == truth, labels is not None)


def measure(right: Answers, accepted: BoolArray, float_right: BoolArray | None = None) -> Measure:
    """Count what a cascade that accepts `accepted` (bool, (N,)) forwards, loses and gains."""
    count = len(accepted)
    lost = int((accepted & right.high & ~right.low).sum())
    gained = int((accepted & ~right.high & right.low).sum())
    forwarded = int(count - accepted.sum())
    z = normal_quantile(INTERVAL_CONFIDENCE)
    bounds = paired_bounds(lost, gained, count, z) if right.labelled else wilson_bounds(lost, count, z)
    share_bounds = wilson_bounds(forwarded, count, z)
    return Measure(
        images=count,
        labelled=right.labelled,
        float_accuracy=None if float_right is None else float(float_right.mean()),
        low_accuracy=float(right.low.mean()),
        high_accuracy=float(right.high.mean()),
        cascade_accuracy=float(np.where(accepted, right.low, right.high).mean()),
        forwarded=forwarded,
        forwarded_share=forwarded / count,
        forwarded_interval=(float(share_bounds[0]), float(share_bounds[1])),
        lost=lost,
        gained=gained,
        loss=(lost - gained) / count,
        loss_interval=(float(bounds[0]), float(bounds[1])),
        interval_confidence=INTERVAL_CONFIDENCE,
    )


def evaluate_cascade(
    calibration: Calibration,
    low: Int64Array,
    high: Int64Array,
    labels: np.ndarray | None = None,
    float_predictions: np.ndarray | None = None,
) -> CascadeReport:
    """Measure a calibrated cascade on images that had no part in choosing it.

    Args:
        calibration: the rule.
        low: integer logits of the low-precision unit, int16 values, (N, K).
        high: the same of the high-precision unit.
        labels: class of each image, (N,), or None: then agreement with the high-precision unit counts.
        float_predictions: class that the float model answers, (N,), or None.

    Raises:
        ToolflowError: the arrays do not fit each other, or the model that was calibrated.
    """
    check_logits(low, high, labels)
    if low.shape[1] != calibration.classes:
        raise ToolflowError(f"the cascade was calibrated for {calibration.classes} classes, not {low.shape[1]}")
    if float_predictions is not None and float_predictions.shape != (len(low),):
        raise ToolflowError(f"float predictions must have shape ({len(low)},), not {float_predictions.shape}")
    right = answers(low, high, labels)
    float_right = None
    if float_predictions is not None:
        float_right = float_predictions == (high.argmax(axis=1) if labels is None else labels)
    found = measure(right, evaluate(low, calibration.rule).confident, float_right)
    alone = measure(right, np.ones(len(low), dtype=bool), float_right)
    return CascadeReport(
        calibration=hash_calibration(calibration),
        source=hash_arrays(low, high, labels, float_predictions),
        tolerance=calibration.tolerance,
        measure=found,
        low_alone=alone,
        # a rule that keeps no image loses none, on any images
        warnings=() if calibration.threshold == NEVER else held_out_warnings(found, calibration.tolerance),
    )


def held_out_warnings(found: Measure, tolerance: float) -> tuple[str, ...]:
    """Say where the held-out set does not show that the loss stays within the tolerance, and what to do."""
    lower, upper = found.loss_interval
    if upper <= tolerance:
        return ()
    level = f"{found.interval_confidence:.0%} interval"
    if found.loss > tolerance:
        text = f"the loss on held-out images is {_points(found.loss)}, above the tolerance of {_points(tolerance)}"
        if lower <= tolerance:
            text += f", although the {level} still reaches below it"
        return (f"{text}: {_other_tolerances(upper, tolerance, found.loss)}",)
    z = normal_quantile(found.interval_confidence)
    needed = images_to_show((found.lost + found.gained) / found.images, found.loss, tolerance, z)
    enough = None if needed is None else max(needed, found.images + 1) / found.images
    return (
        f"{found.images:,} held-out images do not show that the loss stays within {_points(tolerance)}: "
        f"the {level} reaches {_points(upper)}; "
        f"{_more_images(enough)}{_other_tolerances(upper, tolerance, found.loss)}",
    )


def calibration_warnings(found: Measure, half_width: float, tolerance: float) -> tuple[str, ...]:
    """Say where the calibration set is too small to support the tolerance, and what to do.

    Args:
        found: the cascade on the calibration images.
        half_width: of the interval of the estimated loss that chose the threshold.
        tolerance: what the user allows.
    """
    needed = images_to_resolve(found.images, half_width, tolerance)
    if needed <= found.images:
        return ()
    supported = max(half_width, images_for_none(1.0) / found.images)
    return (
        f"{found.images:,} calibration images are too few to support a tolerance of {_points(tolerance)}: "
        f"{_more_images(needed / found.images)}--tolerance {_rounded_up(supported)} is what they support",
    )


def _more_images(factor: float | None) -> str:
    """Advise a larger file where one can be had: `factor` times the images, None if none would be enough."""
    if factor is None or factor > MOST_TIMES_IMAGES:
        return ""
    return f"give a calibration file {math.ceil(10 * factor) / 10:g} times as large, or "


def _other_tolerances(upper: float, tolerance: float, loss: float) -> str:
    """Advise a smaller tolerance where something was lost, and one that these images support."""
    tighter = f"--tolerance {tolerance / 2:g} would forward more images and lose fewer; " if loss > 0 else ""
    return f"{tighter}if {_points(upper)} is acceptable, use --tolerance {_rounded_up(upper)}"


def _rounded_up(share: float) -> str:
    """Return a tolerance of whole tenths of a point, not below `share`."""
    return f"{min(math.ceil(1000 * share - 1e-9), 999) / 1000:g}"


def _points(share: float) -> str:
    return f"{100 * share:.2f} points"
