"""The table of thresholds: what another threshold of the chosen rule would give on held-out images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from quant.cascade.curve import curve, metric, splits
from quant.cascade.measure import answers, check_logits
from toolflow.ir.artefacts import Part
from toolflow.numerics.confidence import ConfidenceRule, leading, numerators

Int64Array = npt.NDArray[np.int64]

STEPS = 10  # of the forwarded share, from 0 to 1


class ThresholdRow(Part):
    """One threshold of the chosen rule, on held-out images.

    Attributes:
        threshold: units of 2^-16.
        accuracy: accuracy of the cascade with it; without labels, agreement with the high-precision unit.
        forwarded_share: share of images that it forwards.
        images_per_second: expected throughput of the design that was built, with this forwarded share.
        chosen: whether it is the threshold of the build.
    """

    threshold: int
    accuracy: float
    forwarded_share: float
    images_per_second: float
    chosen: bool


class ThresholdTable(Part):
    """The thresholds between forwarding no image and forwarding every image.

    Attributes:
        images: number of held-out images: neither the rule nor the design was chosen on them.
        labelled: whether accuracies are against labels.
        rows: by rising forwarded share, in steps of about a tenth, and the chosen threshold.
    """

    images: int
    labelled: bool
    rows: tuple[ThresholdRow, ...]


def threshold_table(
    rule: ConfidenceRule,
    low: Int64Array,
    high: Int64Array,
    labels: np.ndarray | None,
    images_per_second: Callable[[float], float],
) -> ThresholdTable:
    """Measure other thresholds of a rule.

    Args:
        rule: the rule that was chosen.
        low: integer logits of the low-precision unit on held-out images, int16 values, (N, K).
        high: the same of the high-precision unit.
        labels: class of each image, (N,), or None: then agreement with the high-precision unit counts.
        images_per_second: throughput of the design at a forwarded share.

    Raises:
        ToolflowError: the arrays do not fit each other.
    """
    check_logits(low, high, labels)
    right = answers(low, high, labels)
    places, total = leading(low, rule.k)
    q = metric(numerators(places, rule.m, rule.n), total)
    order, ends = splits(q)
    chosen = int((q >= rule.threshold).sum())
    nearest = [int(ends[np.abs(ends - wanted).argmin()]) for wanted in np.linspace(0, len(q), STEPS + 1)]
    accepted = np.array(sorted({*nearest, chosen}, reverse=True), dtype=np.int64)
    rows = tuple(
        ThresholdRow(
            # many thresholds split these images alike: of those, the rule's own is the one of the build
            threshold=rule.threshold if end == chosen else point.threshold,
            accuracy=point.accuracy,
            forwarded_share=point.forwarded_share,
            images_per_second=images_per_second(point.forwarded_share),
            chosen=bool(end == chosen),
        )
        for end, point in zip(accepted, curve(right, q, order, accepted), strict=True)
    )
    return ThresholdTable(images=len(q), labelled=right.labelled, rows=rows)
