"""The predictions of `estimate`: designs, their engines, speeds and resources."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rtl_sim.timing.report import UnitTiming
from toolflow.engine.config import EngineConfig
from toolflow.ir.unit import DesignKind
from toolflow.plan.boards.board import Board
from toolflow.plan.resources.count import ResourceCount
from toolflow.report.summary import Run


@dataclass(frozen=True)
class UnitEstimate:
    """One engine.

    Attributes:
        unit, config: its name and parameters.
        runs: starts by batch.
        resources: predicted amounts.
        cycles_per_image: of the last run.
        timing: the longest path of its own netlist; None if it was not synthesised.
    """

    unit: str
    config: EngineConfig
    runs: tuple[Run, ...]
    resources: ResourceCount
    cycles_per_image: float
    timing: UnitTiming | None = None


@dataclass(frozen=True)
class Design:
    """Engines that share a device.

    Attributes:
        kind: of design; None for the design that was built.
        forwarded_share: share of images that a pair's low unit forwards; None for a single unit.
        units: the networks with their engines.
        cycles_per_image: at the batch planned for, over both units and the forwarded share.
        bound: shares of DSPs, LUTs, block RAM and others, the clock, and how busy the ports to the memory are.
    """

    kind: DesignKind | None
    forwarded_share: float | None
    units: tuple[UnitEstimate, ...]
    cycles_per_image: float
    bound: str

    @property
    def name(self) -> str:
        """The design in words."""
        if self.kind is None:
            return "as built"
        return self.kind if self.forwarded_share is None else f"{self.kind}, {self.forwarded_share:.1%} forwarded"

    @property
    def engines(self) -> dict[str, UnitEstimate]:
        """A unit of each engine, by its name: a morphing pair has one engine for both units."""
        if self.units[0].config.narrow_bits:
            return {"both": self.units[0]}
        return {unit.unit: unit for unit in self.units}


@dataclass(frozen=True)
class Estimate:
    """The designs that a board can hold."""

    board: Board
    designs: tuple[Design, ...]

    def document(self) -> dict[str, Any]:
        """Return every figure, as JSON can hold it."""
        board = self.board
        return {
            "board": board.name,
            "clock_mhz": board.clock_mhz,
            "clock_basis": board.clock_basis,
            "clock_path": board.clock_path,
            "usable": board.usable.by_name(),
            "designs": [
                {
                    "design": design.name,
                    "cycles_per_image": design.cycles_per_image,
                    "images_per_second": board.clock_mhz * 1e6 / design.cycles_per_image,
                    "bound": design.bound,
                    "units": [
                        {
                            "unit": unit.unit,
                            "engine": unit.config.model_dump(),
                            "resources": unit.resources.by_name(),
                            "runs": [run.model_dump(mode="json") for run in unit.runs],
                            "timing": None if unit.timing is None else asdict(unit.timing),
                        }
                        for unit in design.units
                    ],
                }
                for design in self.designs
            ],
        }
