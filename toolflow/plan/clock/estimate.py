"""The clock of a board's engines: the longest path that was recorded for engines like these, with a part kept back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from toolflow.ir.errors import ToolflowError
from toolflow.plan.clock.delays import part_fabric
from toolflow.plan.resources.count import ResourceCount

RECORD_PATH = Path(__file__).with_name("record.json")
DERATING = 1.15  # placement and routing may cost more than the model of nets says


class RecordedPath(BaseModel):
    """The longest path of one engine: its delay at the scale 1 of the fabric, its levels, and the names of its ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ns: float
    luts: int
    carries: int
    start: str
    end: str

    @property
    def text(self) -> str:
        """The levels and the ends in words."""
        levels = f"{self.luts} LUTs" + (f" and {self.carries} carry blocks" if self.carries else "")
        return f"{self.start} → {self.end} ({levels})"


class RecordedEngine(BaseModel):
    """One engine.

    Attributes:
        name: lanes_k x lanes_p x slots and what else tells it from the others.
        tile: its largest tile.
        config: its parameters, as they were given.
        amounts: resources of its netlist for each family, by `ResourceCount`'s names.
        paths: its longest path on each fabric of each family: "xc7/artix".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    tile: int
    config: Mapping[str, int | str]
    amounts: Mapping[str, Mapping[str, float]]
    paths: Mapping[str, RecordedPath]

    def fits(self, family: str, usable: ResourceCount) -> bool:
        """Return whether its netlist fits the usable amounts."""
        return not ResourceCount(**self.amounts[family]).over(usable)


class ClockRecord(BaseModel):
    """What `benchmarks/clock.py` wrote: the engines, and the tools that made their netlists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_by: str
    yosys: str
    engines: tuple[RecordedEngine, ...]


@dataclass(frozen=True)
class ClockEstimate:
    """A clock and its reason.

    Attributes:
        path_ns: the longest path at the part's speed grade.
        path: that path.
        engine: the recorded engine that has it.
    """

    path_ns: float
    path: RecordedPath
    engine: str

    @property
    def estimated_mhz(self) -> float:
        """The clock of the path itself."""
        return 1000.0 / self.path_ns

    @property
    def planned_mhz(self) -> int:
        """The clock to plan with: the estimate divided by `DERATING`, in whole MHz."""
        return max(math.floor(self.estimated_mhz / DERATING), 1)

    @property
    def limit(self) -> str:
        """The path that limits the clock, in words."""
        return f"{self.path_ns:.1f} ns, {self.path.text}, of the recorded engine {self.engine}"

    @property
    def basis(self) -> str:
        """Both figures in words."""
        return f"estimate {self.estimated_mhz:.0f} MHz ÷ {DERATING}, not routed by the vendor's tool"


@cache
def clock_record() -> ClockRecord:
    """Return the recorded paths that come with the toolflow."""
    return ClockRecord.model_validate_json(RECORD_PATH.read_text(encoding="utf-8"))


@cache
def estimate_clock(family: str, part: str, usable: ResourceCount, tile: int) -> ClockEstimate:
    """Return the clock for engines with tiles up to `tile` on a part of which `usable` may be used.

    It is that of the longest path among the recorded engines that fit and whose tile is not larger: what such an engine
    has is in the one that is planned too. If none fits, the smallest counts.

    Raises:
        ToolflowError: the family is ECP5, no fabric fits the part, or its speed grade is not known.
    """
    fabric, grade = part_fabric(family, part)
    key = f"{family}/{fabric.name}"
    known = [engine for engine in clock_record().engines if engine.tile <= tile and key in engine.paths]
    if not known:
        raise ToolflowError(f"no path is recorded for {key}: run benchmarks/clock.py")
    fitting = [engine for engine in known if engine.fits(family, usable)]
    smallest = min(known, key=lambda engine: engine.amounts[family]["luts"])
    worst = max(fitting or [smallest], key=lambda engine: engine.paths[key].ns)
    scale = fabric.scale(grade, part)
    return ClockEstimate(worst.paths[key].ns * scale, worst.paths[key], worst.name)
