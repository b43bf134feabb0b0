"""Whether a cascade pays: expected time of every design that keeps the tolerance, and the reason for the choice.

One device, one clock. A resident pair runs both units at once and takes max(t_L, p·t_H) an image, or, where latency is
what counts, t_L + p·t_H; a time-shared
pair has the whole device for either unit in turn and takes t_L + p·t_H + reconfigurations / batch
(p: forwarded share). The single high-precision unit has the whole device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from quant.calibrate_artefacts import Measure
from toolflow.ir.errors import ToolflowError
from toolflow.plan.objective import THROUGHPUT, Objective

Design = Literal["resident pair", "time-shared pair", "single low", "single high"]


@dataclass(frozen=True)
class UnitCycles:
    """Average cycles an image of every unit that the planner could fit; None where it could not.

    Attributes:
        single_high: high-precision unit with the whole device.
        single_low: low-precision unit with the whole device.
        resident: (low, high), each on its share of the device.
        reconfiguration: cycles to exchange the units of a time-shared pair, twice a batch; None where the
            device cannot do so.
        batch: images between two such exchanges.
    """

    single_high: float | None
    single_low: float | None = None
    resident: tuple[float, float] | None = None
    reconfiguration: float | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        cycles = [self.single_high, self.single_low, *(self.resident or ())]
        bad = [value for value in cycles if value is not None and value <= 0]
        if bad or self.batch < 1 or (self.reconfiguration or 0) < 0:
            raise ToolflowError(
                f"cycles must be positive and a batch hold an image, not {bad or (self.reconfiguration, self.batch)}"
            )


class Decision(BaseModel):
    """The design to build.

    Attributes:
        choice: the fastest design that keeps the tolerance, or a pair that the user asked for.
        cycles_per_image: its expected time.
        alternatives: every design that was compared, with its expected cycles an image, fastest first.
        forwarded_share: p that the expectation holds for.
        speedup: single high-precision unit's time over the choice's; None where that unit does not fit.
        cascade_pays: whether a pair is the fastest.
        reason: why, for the user.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    choice: Design
    cycles_per_image: float
    alternatives: tuple[tuple[Design, float], ...]
    forwarded_share: float
    speedup: float | None
    cascade_pays: bool
    reason: str


def decide(measure: Measure, tolerance: float, cycles: UnitCycles, objective: Objective = THROUGHPUT) -> Decision:
    """Return the fastest design whose measured loss keeps the tolerance; on a tie the simpler one.

    Args:
        measure: the calibrated cascade on calibration or held-out images.
        tolerance: accuracy that may be lost against the high-precision unit, a share of the images.
        cycles: what each unit takes.
        objective: what the design is to be fast at.

    Raises:
        ToolflowError: no design fits.
    """
    share = measure.forwarded_share
    low_loss = measure.high_accuracy - measure.low_accuracy
    designs: list[tuple[Design, float]] = []
    if cycles.single_low is not None and low_loss <= tolerance:
        designs.append(("single low", cycles.single_low))
    if cycles.single_high is not None:
        designs.append(("single high", cycles.single_high))
    if cycles.resident is not None:
        designs.append(("resident pair", objective.pair_cycles(*cycles.resident, share)))
    if cycles.single_low is not None and cycles.single_high is not None and cycles.reconfiguration is not None:
        exchange = 2 * cycles.reconfiguration / cycles.batch
        designs.append(("time-shared pair", cycles.single_low + share * cycles.single_high + exchange))
    if not designs:
        raise ToolflowError("no unit fits the device: choose a larger board or a smaller model")
    designs.sort(key=lambda design: design[1])
    choice, expected = designs[0]
    pays = choice.endswith("pair")
    return Decision(
        choice=choice,
        cycles_per_image=expected,
        alternatives=tuple(designs),
        forwarded_share=share,
        speedup=None if cycles.single_high is None else cycles.single_high / expected,
        cascade_pays=pays,
        reason=_reason(dict(designs), choice, share, low_loss, tolerance),
    )


def _reason(designs: dict[Design, float], choice: Design, share: float, low_loss: float, tolerance: float) -> str:
    taken = f"{designs[choice]:,.0f} cycles an image"
    pairs = {name: value for name, value in designs.items() if name.endswith("pair")}
    if choice == "single low":
        return (
            f"the low-precision unit alone loses {100 * low_loss:.2f} points, within the tolerance of "
            f"{100 * tolerance:.2f}, and takes {taken}: a cascade would add nothing"
        )
    if choice in pairs:
        if "single high" not in designs:
            return f"the {choice} takes {taken} with {share:.1%} forwarded; a single high-precision unit does not fit"
        return (
            f"the {choice} takes {taken} with {share:.1%} forwarded, the single high-precision unit "
            f"{designs['single high']:,.0f}: {designs['single high'] / designs[choice]:.2f} times as fast"
        )
    if not pairs:
        return f"the single high-precision unit takes {taken}; no pair of units fits the device"
    name, value = min(pairs.items(), key=lambda pair: pair[1])
    return (
        f"a cascade does not pay: with {share:.1%} forwarded the {name} would take {value:,.0f} cycles an image, "
        f"the single high-precision unit takes {designs[choice]:,.0f}"
    )
