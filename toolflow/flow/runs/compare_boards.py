"""Compare the boards that a network fits: the speed of each design on each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolflow.flow.events import SILENT, Events
from toolflow.flow.request import Request
from toolflow.flow.runs.build import build_through
from toolflow.flow.runs.estimate import estimate
from toolflow.flow.values import as_path, require_kind
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.unit import DesignKind
from toolflow.plan.boards.board import Board, all_boards
from toolflow.plan.explore.objective import Objective


@dataclass(frozen=True)
class BoardSpeed:
    """What a board can do for a network.

    Attributes:
        board: the board.
        images_per_second: of the best engines for each design that fits; empty if none does.
        lacks: what is short if nothing fits, otherwise "".
    """

    board: Board
    images_per_second: Mapping[DesignKind, float]
    lacks: str = ""

    @property
    def best(self) -> float:
        """The fastest design's speed, 0 if none fits."""
        return max(self.images_per_second.values(), default=0.0)

    def document(self) -> dict[str, Any]:
        """Return the figures, as JSON can hold them."""
        return {
            "board": self.board.name,
            "clock_mhz": self.board.clock_mhz,
            "images_per_second": dict(self.images_per_second),
            "lacks": self.lacks,
        }


def compare_boards(
    request: Request, out: str | Path, engine: Mapping[str, int | str] | None = None, events: Events = SILENT
) -> tuple[BoardSpeed, ...]:
    """Quantise a network, and predict the speed of its designs on every board, the fastest board first.

    Args:
        request: what to build, without a board.
        out: the output folder: the integers, which `build` reuses for the board that is chosen.
        engine: fixed parameters of every unit's engine.
        events: receives notes and progress.

    Raises:
        ToolflowError: as `build`.
    """
    require_kind("request", request, Request)
    folder = as_path("--out", out)
    build_through("calibrate", request, folder, events)
    boards = all_boards().values()
    found = []
    with events.progress("compare boards", len(boards)) as progress:
        for board in boards:
            found.append(_speed(folder, board, engine or {}, request.objective, request.clock))
            progress.advance(1, board.name)
    return tuple(sorted(found, key=lambda speed: -speed.best))


def _speed(
    folder: Path, board: Board, engine: Mapping[str, int | str], objective: Objective, clock: int | None
) -> BoardSpeed:
    try:
        designs = estimate(folder, board.name, engine, objective, clock=clock).designs
    except DoesNotFitError as error:
        return BoardSpeed(board, {}, str(error))
    mhz = clock or board.clock_mhz
    return BoardSpeed(board, {each.kind: mhz * 1e6 / each.cycles_per_image for each in designs if each.kind})
