"""Whether a cascade pays: the expected time of every design that keeps the tolerance, and the reason for the choice.

All designs have one device and one clock; p is the forwarded share. A resident pair runs both units at once and takes
max(t_L, p·t_H) an image, or t_L + p·t_H if latency counts. A morphing pair is two programs of one engine, which runs
them in turn: t_L + p·t_H. A time-shared pair has the whole device for each unit in turn and takes
t_L + p·t_H + reconfigurations / batch. A single unit has the whole device.
"""

from __future__ import annotations

from dataclasses import dataclass

from quant.cascade.artefacts import Calibration, CascadeReport, Measure
from quant.cascade.measure import held_out_warnings
from quant.cascade.thresholds import ThresholdTable
from toolflow.ir.artefacts import Part
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.unit import DesignKind
from toolflow.plan.explore.objective import THROUGHPUT, Objective, in_turn_cycles


@dataclass(frozen=True)
class UnitCycles:
    """Average cycles an image of every unit; None for a unit that the planner could not fit.

    Attributes:
        single_high: high-precision unit with the whole device.
        single_low: low-precision unit with the whole device.
        resident: (low, high), each on its share of the device.
        reconfiguration: cycles to exchange the units of a time-shared pair, twice a batch; None if the device
            cannot do this.
        batch: images between two such exchanges.
        morphing: (low, high), the programs of one engine with two precisions.
    """

    single_high: float | None
    single_low: float | None = None
    resident: tuple[float, float] | None = None
    reconfiguration: float | None = None
    batch: int = 1
    morphing: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        cycles = [self.single_high, self.single_low, *(self.resident or ()), *(self.morphing or ())]
        bad = [value for value in cycles if value is not None and value <= 0]
        if bad or self.batch < 1 or (self.reconfiguration or 0) < 0:
            raise ToolflowError(
                f"cycles must be positive and a batch hold an image, not {bad or (self.reconfiguration, self.batch)}"
            )


class Alternative(Part):
    """A design that fits the device, built or not.

    Attributes:
        design: kind of design.
        cycles_per_image: expected cycles; for a pair, with the share that it forwards of the held-out images.
        keeps: whether it keeps the tolerance on the images that chose the cascade's rule. Only then it can be chosen.
        accuracy: accuracy on held-out images; without labels, agreement with the high-precision unit.
        loss, loss_interval: accuracy lost against the high-precision unit on held-out images, and its interval.
    """

    design: DesignKind
    cycles_per_image: float
    keeps: bool
    accuracy: float
    loss: float
    loss_interval: tuple[float, float]


class Decision(Part):
    """The design to build.

    Attributes:
        choice: the fastest design that keeps the tolerance on the images that chose the cascade's rule, or a pair that
            the user asked for.
        cycles_per_image: its expected time.
        alternatives: every design that fits, fastest first.
        forwarded_share: p that the expectation holds for, of the held-out images.
        speedup: single high-precision unit's time over the choice's; null if that unit does not fit.
        cascade_pays: whether a pair is the fastest.
        requested: whether the user asked for the choice although another design is faster.
        warnings: sentences about what the images do not show for the chosen design, each with its remedy.
        reason: why, for the user.
        thresholds: what other thresholds of a pair that is built would give; null for a single unit.
    """

    choice: DesignKind
    cycles_per_image: float
    alternatives: tuple[Alternative, ...]
    forwarded_share: float
    speedup: float | None
    cascade_pays: bool
    requested: bool = False
    warnings: tuple[str, ...] = ()
    reason: str
    thresholds: ThresholdTable | None = None

    def alternative(self, design: DesignKind) -> Alternative | None:
        """Return a design that was compared, None if it does not fit."""
        return next((each for each in self.alternatives if each.design == design), None)


def decide(
    calibration: Calibration, report: CascadeReport, cycles: UnitCycles, objective: Objective = THROUGHPUT
) -> Decision:
    """Return the fastest design that keeps the tolerance; on a tie the high-precision unit, then the simpler design.

    Chosen on the images that chose the cascade's rule, reported on the held-out ones.

    Args:
        calibration: the rule, and what it and the low-precision unit alone are worth on its images.
        report: the same on held-out images.
        cycles: what each unit takes.
        objective: what the design is to be fast at.

    Raises:
        ToolflowError: no design fits, or the only one that does may not be built.
    """
    expected = _times(cycles, calibration.measure.forwarded_share, objective)
    if not expected:
        raise ToolflowError("no unit fits the device: choose a larger board or a smaller model")
    allowed = {
        name: time for name, time in expected.items() if name is not DesignKind.SINGLE_LOW or calibration.low_keeps
    }
    if not allowed:
        raise DoesNotFitError(
            f"only the low-precision unit fits the device, and {_few(calibration)} do not show that it keeps "
            f"{_points(calibration.tolerance)}: choose a larger board, or allow more with --tolerance"
        )
    choice = min(allowed, key=lambda name: allowed[name])
    times = _times(cycles, report.measure.forwarded_share, objective)
    measures = {DesignKind.SINGLE_LOW: report.low_alone, DesignKind.SINGLE_HIGH: None}
    alternatives = [
        _alternative(name, times[name], name in allowed, measures.get(name, report.measure), report.measure)
        for name in sorted(times, key=lambda name: times[name])
    ]
    pays = choice.is_pair
    warnings = _warnings(calibration, report, choice)
    if pays and cycles.single_high is not None and times[choice] > cycles.single_high:
        warnings += (
            f"of the held-out images {report.measure.forwarded_share:.1%} are forwarded, "
            f"{calibration.measure.forwarded_share:.1%} of those that chose the design: the {choice} would be slower "
            "than the single high-precision unit",
        )
    return Decision(
        choice=choice,
        cycles_per_image=times[choice],
        alternatives=tuple(alternatives),
        forwarded_share=report.measure.forwarded_share,
        speedup=None if cycles.single_high is None else cycles.single_high / times[choice],
        cascade_pays=pays,
        warnings=warnings,
        reason=_reason(calibration, report, times, choice, _more_would_pay(calibration, cycles, objective, choice)),
    )


def _times(cycles: UnitCycles, share: float, objective: Objective) -> dict[DesignKind, float]:
    """Return the expected cycles an image of every design that fits, in the order that decides a tie."""
    times: dict[DesignKind, float] = {}
    if cycles.single_high is not None:
        times[DesignKind.SINGLE_HIGH] = cycles.single_high
    if cycles.single_low is not None:
        times[DesignKind.SINGLE_LOW] = cycles.single_low
    if cycles.resident is not None:
        times[DesignKind.RESIDENT_PAIR] = objective.pair_cycles(*cycles.resident, share)
    if cycles.morphing is not None:
        times[DesignKind.MORPHING_PAIR] = in_turn_cycles(*cycles.morphing, share)
    if cycles.single_low is not None and cycles.single_high is not None and cycles.reconfiguration is not None:
        exchange = 2 * cycles.reconfiguration / cycles.batch
        times[DesignKind.TIME_SHARED_PAIR] = in_turn_cycles(cycles.single_low, cycles.single_high, share) + exchange
    return times


def _alternative(design: DesignKind, time: float, keeps: bool, found: Measure | None, pair: Measure) -> Alternative:
    return Alternative(
        design=design,
        cycles_per_image=time,
        keeps=keeps,
        accuracy=pair.high_accuracy if found is None else found.cascade_accuracy,
        loss=0.0 if found is None else found.loss,
        loss_interval=(0.0, 0.0) if found is None else found.loss_interval,
    )


def _warnings(calibration: Calibration, report: CascadeReport, choice: DesignKind) -> tuple[str, ...]:
    """Return what is uncertain about the loss of the chosen design.

    The low-precision unit alone has no threshold: only its own loss on held-out images matters, not the pair's.
    """
    if choice is DesignKind.SINGLE_HIGH:
        return ()
    if choice is DesignKind.SINGLE_LOW:
        return held_out_warnings(report.low_alone, calibration.tolerance)
    return (*calibration.warnings, *report.warnings)


def _reason(
    calibration: Calibration, report: CascadeReport, times: dict[DesignKind, float], choice: DesignKind, more: str
) -> str:
    taken = f"{times[choice]:,.0f} cycles an image"
    share = report.measure.forwarded_share
    if choice is DesignKind.SINGLE_LOW:
        return f"{_estimated(calibration)}; it takes {taken}, and a cascade would add nothing. {_held_out(report)}"
    if choice.is_pair:
        pairs = (name for name in times if name.is_pair and name is not choice)
        others = "".join(f", the {name} {times[name]:,.0f}" for name in pairs)
        if DesignKind.SINGLE_HIGH not in times:
            alone = "a single high-precision unit does not fit"
            return f"{more}the {choice} takes {taken} with {share:.1%} forwarded{others}; {alone}"
        return (
            f"{more}the {choice} takes {taken} with {share:.1%} forwarded{others}, the single high-precision unit "
            f"{times[DesignKind.SINGLE_HIGH]:,.0f}: {times[DesignKind.SINGLE_HIGH] / times[choice]:.2f} times as fast"
        )
    return f"{more}{_does_not_pay(share, times)}"


def _estimated(calibration: Calibration) -> str:
    """Return the test that allows the low-precision unit alone, as `quant.cascade.calibrate` makes it."""
    confidence = "" if calibration.margin is None else f" ({calibration.margin:.0%} confidence, one-sided)"
    return (
        f"on {calibration.measure.images:,} calibration images the low-precision unit alone is estimated to keep "
        f"{_points(calibration.tolerance)}{confidence}"
    )


def _held_out(report: CascadeReport) -> str:
    """Return what the low-precision unit alone loses on held-out images, and whether this shows the tolerance."""
    alone = report.low_alone
    lost, ends = 100 * alone.loss, [100 * end for end in alone.loss_interval]
    lower, upper = ends if lost >= 0 else (-ends[1], -ends[0])
    shown = alone.loss_interval[1] <= report.tolerance
    return (
        f"On {alone.images:,} held-out images it {'loses' if lost >= 0 else 'gains'} {abs(lost):.2f} points "
        f"({alone.interval_confidence:.0%} interval {lower:.2f} to {upper:.2f}), which "
        f"{'also shows' if shown else 'does not show'} that it keeps the tolerance"
    )


def _does_not_pay(share: float, times: dict[DesignKind, float]) -> str:
    """Say why a pair is not built beside the single high-precision unit."""
    taken = times[DesignKind.SINGLE_HIGH]
    pairs = {name: value for name, value in times.items() if name.is_pair}
    if not pairs:
        return f"the single high-precision unit takes {taken:,.0f} cycles an image; no pair of units fits the device"
    name, value = min(pairs.items(), key=lambda pair: pair[1])
    return (
        f"a cascade does not pay: with {share:.1%} forwarded the {name} would take {value:,.0f} cycles an image, "
        f"the single high-precision unit takes {taken:,.0f}"
    )


def _more_would_pay(calibration: Calibration, cycles: UnitCycles, objective: Objective, choice: DesignKind) -> str:
    """Say where only the number of images forbids a faster design; "" if more images would not help."""
    share = calibration.share_without_margin
    times = _times(cycles, share, objective)
    if share > 0:
        times.pop(DesignKind.SINGLE_LOW, None)
    design = min(times, key=lambda name: times[name])
    if design in (DesignKind.SINGLE_HIGH, choice):
        return ""
    alone = design is DesignKind.SINGLE_LOW
    what = "the low-precision unit alone" if alone else f"the {design} with {share:.1%} forwarded"
    return (
        f"{_few(calibration)} are too few to show that {what} keeps {_points(calibration.tolerance)}, which would "
        f"take {times[design]:,.0f} cycles an image: give a larger calibration file, or allow more with --tolerance. "
        "As it is, "
    )


def _few(calibration: Calibration) -> str:
    return f"{calibration.measure.images:,} images to choose the design on"


def _points(share: float) -> str:
    return f"the tolerance of {100 * share:.2f} points"
