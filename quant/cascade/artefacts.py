"""The artefacts of calibration: the rule and its report on held-out images."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from toolflow.ir.artefacts import Part, Record
from toolflow.numerics.confidence import THRESHOLD_ONE, ConfidenceRule


class Measure(Part):
    """A cascade measured on one set of images.

    Attributes:
        images: number of images.
        labelled: whether accuracies are against labels. Without labels, the high-precision unit's answer counts as
            right, `high_accuracy` is 1 and a loss is a disagreement.
        forwarded, forwarded_share, forwarded_interval: images that the low-precision unit forwards: their number, their
            share, and the interval of the share.
        lost: accepted images that only the high-precision unit answers correctly.
        gained: accepted images that only the low-precision unit answers correctly.
        loss: (lost − gained) ÷ images: the accuracy lost against the high-precision unit.
        loss_interval: two-sided interval of the loss, at `interval_confidence`.
        interval_confidence: confidence of both intervals.
        float_accuracy: accuracy of the user's model on the same images, if it was run.
        low_accuracy, high_accuracy: accuracy of each unit alone on all images.
        cascade_accuracy: accuracy with low-precision answers if they are accepted, else high-precision answers.
    """

    images: int
    labelled: bool
    float_accuracy: float | None = None
    low_accuracy: float
    high_accuracy: float
    cascade_accuracy: float
    forwarded: int
    forwarded_share: float
    forwarded_interval: tuple[float, float]
    lost: int
    gained: int
    loss: float
    loss_interval: tuple[float, float]
    interval_confidence: float


class CurvePoint(Part):
    """One threshold of the chosen rule.

    Attributes:
        threshold: units of 2^-16.
        forwarded_share: share of images that it forwards.
        accuracy: accuracy of the cascade with it.
    """

    threshold: int
    forwarded_share: float
    accuracy: float


class Calibration(Record):
    """The rule that was chosen, and on what evidence.

    Attributes:
        source: SHA-256 of the logits and labels that it was chosen on.
        logit_scale: real value of one step of the low-precision logits.
        temperature: divides the logits; k holds scale·log2(e) / temperature (`numerics.confidence`).
        k, m, n, threshold: the header's fields.
        tolerance: loss that the user allows, a share of the images.
        margin: one-sided confidence with which another set of as many images had to stay within the
            tolerance, or None for the estimated loss itself.
        free_share: forwarded share below which forwarding costs no time.
        measure: the cascade on the images that chose the rule.
        low_alone: the low-precision unit alone on the same images.
        low_keeps: whether that unit alone keeps the tolerance, by the test that every threshold has to pass.
        share_without_margin: least forwarded share if the estimated loss is taken as it is: what more images may allow.
        estimate: how the loss was estimated: "modelled" from both units' stacked probabilities
            (`expected.py`), "counted" from labels, or from disagreements if there are no labels.
        expected_loss, expected_interval: that estimate and its two-sided interval; `measure` counts.
        rules_tried, thresholds_tried: size of the search.
        curve: accuracy against forwarded share over the chosen rule's thresholds, thinned.
        warnings: what the user must know, in sentences.
    """

    schema_version: Literal[2] = 2
    kind: Literal["calibration"] = "calibration"
    source: str
    classes: int
    logit_scale: float
    temperature: float
    k: int
    m: int
    n: int
    threshold: int
    tolerance: float
    margin: float | None
    free_share: float
    measure: Measure
    low_alone: Measure
    low_keeps: bool
    share_without_margin: float
    estimate: Literal["modelled", "counted"]
    expected_loss: float
    expected_interval: tuple[float, float]
    rules_tried: int
    thresholds_tried: int
    curve: tuple[CurvePoint, ...]
    warnings: tuple[str, ...]

    @property
    def rule(self) -> ConfidenceRule:
        """The rule as the program's header and the reference take it."""
        return ConfidenceRule(self.k, self.m, self.n, self.threshold)

    @property
    def threshold_share(self) -> float:
        """The threshold as a share of the total, for people."""
        return self.threshold / THRESHOLD_ONE


class CascadeReport(Record):
    """A calibrated cascade on images that had no part in choosing it.

    Attributes:
        calibration: SHA-256 of the `Calibration` that was measured.
        source: SHA-256 of the held-out logits and labels.
        measure: the cascade.
        low_alone: the low-precision unit alone.
        warnings: what these images do not show of the cascade, in sentences.
    """

    schema_version: Literal[2] = 2
    kind: Literal["cascade-report"] = "cascade-report"
    calibration: str
    source: str
    tolerance: float
    measure: Measure
    low_alone: Measure
    warnings: tuple[str, ...]


def hash_arrays(*arrays: np.ndarray | None) -> str:
    """Return the SHA-256 of shapes, types and contents; None counts as an absent array."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
            continue
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def hash_calibration(calibration: Calibration) -> str:
    """Return the SHA-256 of a calibration as JSON of schema version 1: it stays the same when a file is migrated."""
    first = calibration.model_copy(update={"schema_version": 1})
    return hashlib.sha256(first.model_dump_json(warnings=False).encode()).hexdigest()
