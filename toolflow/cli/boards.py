"""`toolflow boards`: the boards and their resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal

if TYPE_CHECKING:
    from toolflow.plan.boards.board import Board


@command
def boards(
    terminal: Terminal,
    name: Annotated[str | None, typer.Argument(metavar="BOARD", help="A board's name, or the path of a file.")] = None,
) -> None:
    """List the boards, with the resources that a design may use.

    Examples:

        toolflow boards

        toolflow boards zcu104 --json
    """
    from toolflow.plan.boards.board import all_boards, load_board
    from toolflow.plan.boards.checks import unchecked_amounts

    shown = list(all_boards().values()) if name is None else [load_board(name)]
    table = Table(title="Boards: usable / available")
    for column in ("board", "part", "clock", "LUT", "flip-flop", "DSP", "block RAM", "URAM", "memory"):
        table.add_column(column, justify="left" if column in ("board", "part") else "right")
    for board in shown:
        usable, available = board.usable.by_name(), board.available.by_name()
        amounts = [f"{usable[resource]:,} / {available[resource]:,}" for resource in available]
        bandwidth = f"{board.sustained_bytes_per_s / 1e9:.2f} GB/s"
        table.add_row(board.name, board.part, f"{board.clock_mhz} MHz", *amounts, bandwidth)
    documents = [
        {
            **board.model_dump(exclude={"own_clock_mhz", "own_clock_basis"}),
            "clock_mhz": board.clock_mhz,
            "clock_basis": board.clock_basis,
            "clock_path": board.clock_path,
            "usable": board.usable.by_name(),
            "available": board.available.by_name(),
            "sustained_bytes_per_s": board.sustained_bytes_per_s,
        }
        for board in shown
    ]
    clocks = [line for board in shown for line in _clock_lines(board)]
    notes = [f"note: {note}" for board in shown if (note := unchecked_amounts(board.part))]
    terminal.result({"boards": documents}, table, *clocks, *notes)


def _clock_lines(board: Board) -> list[str]:
    """Return where a board's clock comes from, and those of engines with tiles."""
    if board.clock_estimate is None:
        return [f"clock of {board.name}: {board.clock_basis}"] if board.clock_basis else []
    tiled = ", ".join(f"{board.with_tile(tile).clock_mhz} MHz with tile {tile}" for tile in (2, 4))
    return [f"clock of {board.name}: {board.clock_basis}; {tiled}"]
