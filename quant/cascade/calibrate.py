"""Choose a cascade's rule: M, N, temperature and threshold, on the integers that the hardware compares.

The test numerator·2^16 >= threshold·total holds exactly where q = floor(numerator·2^16 / total) >= threshold.
So q is the metric at the hardware's own resolution, and its distinct values on the calibration images are all
thresholds that can make a difference. For every rule the images are sorted by q and losses added up by
cumulative sums: the search is exhaustive at the cost of one sort a rule.

Temperatures other than 1 may be tried, as k is only a constant; on ResNet-20 (4 against 8 bits, 10,000 images)
<1,2> forwards the same share to within a point at every temperature from 1/4 to 16.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from quant.cascade.artefacts import Calibration, CurvePoint, hash_arrays
from quant.cascade.curve import curve, metric, split_threshold, splits
from quant.cascade.evidence import Evidence
from quant.cascade.expected import expected_losses
from quant.cascade.measure import INTERVAL_CONFIDENCE, Answers, answers, calibration_warnings, check_logits, measure
from quant.cascade.statistics import allowed_losses, normal_quantile
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.confidence import (
    MAX_N,
    NEVER,
    ConfidenceRule,
    accepts,
    confidence_k,
    leading,
    numerators,
)

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

CURVE_POINTS = 200


@dataclass(frozen=True)
class CalibrationOptions:
    """What the user allows and what forwarding costs.

    Attributes:
        tolerance: accuracy that may be lost against the high-precision unit, a share of the images.
        free_share: forwarded share that costs no time, t_low / t_high where both units run at once
            (the high-precision unit would idle); 0 if they take turns.
        temperatures: divisors of the logits to try; 1 is the plain softmax; the first is preferred on a tie.
        margin: one-sided confidence with which another set of as many images must lose no more than the
            tolerance; None to take the estimated loss as it is, which other images exceed every second time.
            It holds for a threshold fixed beforehand: the search makes it a little optimistic, which only
            the held-out report can show.
        estimate: "modelled" for expected losses from both units' logits (`expected.py`), "counted" for
            labels as they fell. Without labels, disagreements are counted.
    """

    tolerance: float = 0.01
    free_share: float = 0.0
    temperatures: tuple[float, ...] = (1.0,)
    margin: float | None = 0.95
    estimate: Literal["modelled", "counted"] = "modelled"

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise ToolflowError(f"the tolerance must be above 0 and below 1 (0.01 is one point), not {self.tolerance}")
        if not 0 <= self.free_share <= 1:
            raise ToolflowError(f"the free share must lie within [0, 1], not {self.free_share}")
        if self.margin is not None and not 0.5 <= self.margin < 1:
            raise ToolflowError(f"the margin must be a confidence within [0.5, 1), not {self.margin}")
        bad = [t for t in self.temperatures if not (t > 0 and math.isfinite(t))]
        if bad or not self.temperatures:
            raise ToolflowError(f"temperatures must be one or more positive numbers, not {list(self.temperatures)}")


@dataclass(frozen=True)
class _Choice:
    """The best threshold of one rule.

    Attributes:
        cost: images that cost time, images lost, images forwarded: what orders choices.
        loss, interval: estimated loss and its two-sided interval, shares of the images.
        all_kept: whether accepting every image, the low-precision unit alone, is allowed; the same for every rule.
        without_margin: fewest images forwarded if the estimated loss is taken as it is.
    """

    cost: tuple[int, float, int]
    rule: ConfidenceRule
    temperature: float
    loss: float
    interval: tuple[float, float]
    all_kept: bool
    without_margin: int


def calibrate(
    low: Int64Array,
    high: Int64Array,
    labels: np.ndarray | None,
    logit_scale: float,
    options: CalibrationOptions,
) -> Calibration:
    """Choose the rule that forwards least within the tolerance.

    Args:
        low: integer logits of the low-precision unit on the calibration images, int16 values, (N, K).
        high: the same of the high-precision unit.
        labels: class of each image, (N,); None: disagreement with the high-precision unit replaces loss.
        logit_scale: real value of one step of `low`.
        options: tolerance and costs.

    Raises:
        ToolflowError: the arrays do not fit each other, or labels are no classes.
    """
    check_logits(low, high, labels)
    modelled = labels is not None and options.estimate == "modelled"
    evidence = Evidence(
        right=answers(low, high, labels),
        modelled=expected_losses(low, high, labels) if labels is not None and modelled else None,
    )
    searched = _search(low, evidence, logit_scale, options)
    best = searched.best
    places, total = leading(low, best.rule.k)
    numerator = numerators(places, best.rule.m, best.rule.n)
    found = measure(evidence.right, accepts(numerator, total, best.rule.threshold))
    half_width = (best.interval[1] - best.interval[0]) / 2
    return Calibration(
        source=hash_arrays(low, high, labels),
        classes=low.shape[1],
        logit_scale=logit_scale,
        temperature=best.temperature,
        k=best.rule.k,
        m=best.rule.m,
        n=best.rule.n,
        threshold=best.rule.threshold,
        tolerance=options.tolerance,
        margin=options.margin,
        free_share=options.free_share,
        measure=found,
        low_alone=measure(evidence.right, np.ones(len(low), dtype=bool)),
        low_keeps=best.all_kept,
        share_without_margin=searched.without_margin / len(low),
        estimate="modelled" if modelled else "counted",
        expected_loss=best.loss,
        expected_interval=best.interval,
        rules_tried=searched.rules,
        thresholds_tried=searched.thresholds,
        curve=_thinned_curve(evidence.right, metric(numerator, total)),
        warnings=calibration_warnings(found, half_width, options.tolerance),
    )


@dataclass(frozen=True)
class _Searched:
    """What trying every rule gave: the best one, the fewest images forwarded without a margin, and what was tried."""

    best: _Choice
    without_margin: int
    rules: int
    thresholds: int


def _search(low: Int64Array, evidence: Evidence, logit_scale: float, options: CalibrationOptions) -> _Searched:
    """Try every rule.

    Raises:
        ToolflowError: there is one class only.
    """
    best: _Choice | None = None
    without_margin = len(low)
    rules = thresholds = 0
    for k, temperature in _ks(logit_scale, options.temperatures):
        places, total = leading(low, k)
        for m, n in _pairs(low.shape[1]):
            q = metric(numerators(places, m, n), total)
            choice, tried = _best_threshold(evidence, q, ConfidenceRule(k, m, n, NEVER), temperature, options)
            rules, thresholds = rules + 1, thresholds + tried
            without_margin = min(without_margin, choice.without_margin)
            if best is None or choice.cost < best.cost:
                best = choice
    if best is None:
        raise ToolflowError("a cascade needs at least two classes, not 1: with one class there is nothing to doubt")
    return _Searched(best, without_margin, rules, thresholds)


def _ks(scale: float, temperatures: tuple[float, ...]) -> Iterator[tuple[int, float]]:
    seen: set[int] = set()
    for temperature in temperatures:
        k = confidence_k(scale, temperature)
        if k not in seen:
            seen.add(k)
            yield k, temperature


def _pairs(classes: int) -> Iterator[tuple[int, int]]:
    """Yield (M, N), the plain best-versus-second-best first; M = N is the sum of the M largest alone.

    Of two classes every other rule orders the images in the same way.
    """
    last = min(MAX_N, classes)
    if last < 2:
        return
    yield 1, 2
    if last == 2:
        return
    yield from ((m, n) for n in range(1, last + 1) for m in range(1, n + 1) if (m, n) != (1, 2))


def _best_threshold(
    evidence: Evidence, q: Int64Array, rule: ConfidenceRule, temperature: float, options: CalibrationOptions
) -> tuple[_Choice, int]:
    """Return the best threshold for `rule`'s k, M and N, whose metric is q, and how many there were."""
    count = len(q)
    order, ends = splits(q)
    loss = evidence.losses(order, ends)
    two_sided = normal_quantile(INTERVAL_CONFIDENCE)
    if evidence.modelled is None:
        allowed = loss <= allowed_losses(options.tolerance, count)
    else:  # a model that the labels contradict is not believed
        allowed = loss <= options.tolerance * count
        allowed &= evidence.counted_bounds(order, ends, two_sided)[0] <= options.tolerance
    allowed[0] = True  # accepting none loses nothing
    forwarded = count - ends
    without_margin = int(forwarded[allowed].min())
    if options.margin is not None:
        z = normal_quantile(options.margin, two_sided=False)
        allowed &= evidence.reach(order, ends, z) <= options.tolerance
        allowed[0] = True
    paid = np.maximum(forwarded, math.floor(options.free_share * count))
    candidates = np.flatnonzero(allowed)
    place = candidates[np.lexsort((forwarded[candidates], loss[candidates], paid[candidates]))[0]]
    lower, upper = evidence.bounds(order, ends[place : place + 1], two_sided)
    choice = _Choice(
        cost=(int(paid[place]), round(float(loss[place]), 6), int(forwarded[place])),
        rule=ConfidenceRule(rule.k, rule.m, rule.n, split_threshold(q, order, int(ends[place]))),
        temperature=temperature,
        loss=float(loss[place]) / count,
        interval=(float(lower[0]), float(upper[0])),
        all_kept=bool(allowed[-1]),
        without_margin=without_margin,
    )
    return choice, len(ends)


def _thinned_curve(right: Answers, q: Int64Array) -> tuple[CurvePoint, ...]:
    """Return accuracy against forwarded share over the thresholds, at most CURVE_POINTS of them."""
    order, ends = splits(q)
    if len(ends) > CURVE_POINTS:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, CURVE_POINTS).round().astype(np.int64))]
    return curve(right, q, order, ends)
