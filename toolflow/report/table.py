"""A table as data, which the terminal and the page draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as TerminalTable


@dataclass(frozen=True)
class Cell:
    """A text with a style: "green", "red" or "yellow", "" for none."""

    text: str
    style: str = ""


@dataclass
class Column:
    """A column; `numeric` ones are aligned to the right."""

    header: str
    numeric: bool
    cells: list[Cell] = field(default_factory=list)


@dataclass
class Table:
    """Columns of equal length.

    Attributes:
        title: what stands above it.
        columns: the columns.
        ends: rows that a line follows.
    """

    title: str
    columns: list[Column]
    ends: set[int] = field(default_factory=set)

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        """The cells row by row."""
        return list(zip(*(column.cells for column in self.columns), strict=True))

    def add_row(self, *cells: str | Cell) -> None:
        """Add a row; cells that are not given are empty."""
        for index, column in enumerate(self.columns):
            cell = cells[index] if index < len(cells) else ""
            column.cells.append(cell if isinstance(cell, Cell) else Cell(cell))

    def add_section(self) -> None:
        """Draw a line below the rows so far."""
        self.ends.add(len(self.columns[0].cells) - 1)

    def __rich__(self) -> TerminalTable:
        """Return the table as the terminal draws it."""
        from rich.table import Table as TerminalTable
        from rich.text import Text

        table = TerminalTable(title=Text(self.title), title_justify="left", title_style="bold")
        for column in self.columns:
            table.add_column(column.header, justify="right" if column.numeric else "left")
        for index, row in enumerate(self.rows):
            cells = (Text(cell.text, style=_STYLES.get(cell.style, cell.style)) for cell in row)
            table.add_row(*cells, end_section=index in self.ends)
        return table


_STYLES = {"red": "bold red"}


def new_table(title: str, *columns: str) -> Table:
    """Return an empty table; a column whose name ends in '>' is aligned to the right."""
    return Table(title, [Column(name.removesuffix(">"), name.endswith(">")) for name in columns])
