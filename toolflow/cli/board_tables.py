"""The boards that a network fits as a table for a terminal; no figure is computed here."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.flow.runs.compare_boards import BoardSpeed
from toolflow.ir.unit import DesignKind
from toolflow.report.table import Table, new_table

_SHOWN = (DesignKind.SINGLE_HIGH, DesignKind.RESIDENT_PAIR, DesignKind.MORPHING_PAIR, DesignKind.SINGLE_LOW)


def board_table(speeds: Sequence[BoardSpeed]) -> Table:
    """Return the speed of every design on every board; boards on which nothing fits come last, with what is short."""
    kinds = [kind for kind in _SHOWN if any(kind in speed.images_per_second for speed in speeds)]
    lacks = [""] if any(speed.lacks for speed in speeds) else []
    columns = ("board", "part", *(f"{kind}>" for kind in kinds), *lacks)
    table = new_table("predicted images/s of the best engines", *columns)
    for speed in speeds:
        cells = (f"{speed.images_per_second[kind]:,.0f}" if kind in speed.images_per_second else "" for kind in kinds)
        table.add_row(speed.board.name, speed.board.part, *cells, *([speed.lacks] if lacks else []))
    return table
