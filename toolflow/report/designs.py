"""The predictions of `estimate`: designs, their engines, speeds and resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolflow.engine.config import EngineConfig
from toolflow.plan.boards.board import Board
from toolflow.plan.resources.count import ResourceCount
from toolflow.report.summary import Run


@dataclass(frozen=True)
class UnitEstimate:
    """One engine: its parameters, starts by batch, predicted amounts, and cycles per image of the last of them."""

    unit: str
    config: EngineConfig
    runs: tuple[Run, ...]
    resources: ResourceCount
    cycles_per_image: float


@dataclass(frozen=True)
class Design:
    """Engines that share a device.

    Attributes:
        name: "single low", "single high", "resident pair", or "as built".
        units: the engines.
        cycles_per_image: at the batch planned for, over both units and the forwarded share.
        bound: the resource that is used most.
    """

    name: str
    units: tuple[UnitEstimate, ...]
    cycles_per_image: float
    bound: str


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
                        }
                        for unit in design.units
                    ],
                }
                for design in self.designs
            ],
        }
