"""Estimated designs as tables for a terminal; no figure is computed here."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rtl_sim.timing.report import derated_mhz
from toolflow.report.designs import Design, Estimate, UnitEstimate
from toolflow.report.tables import RESOURCE_NAMES, grouped_sentences, layer_table, percent


def estimate_tables(found: Estimate) -> list[RenderableType]:
    """Return the layers of each unit, speeds, amounts, and what bounds each design."""
    shown: list[RenderableType] = []
    for design in found.designs:
        shown += [layer_table(f"{design.name}: {unit.unit}", unit.runs[-1]) for unit in design.units]
    shown += [_speed(found), _amounts(found)]
    for design in found.designs:
        shown += [f"{design.name}, {s}" for unit in design.units for s in grouped_sentences(unit.unit, unit.runs[-1])]
    shown += [f"{design.name}: bounds: {design.bound}" for design in found.designs]
    if found.board.clock_path:
        shown.append(f"clock: the longest path is {found.board.clock_path}")
    shown += [_timing(design, unit) for design in found.designs for unit in design.engines.values() if unit.timing]
    return shown


def _timing(design: Design, unit: UnitEstimate) -> Text:
    """The longest path of an engine's netlist, cell by cell; `Text` keeps the brackets of indices."""
    assert unit.timing is not None
    ns = unit.timing.path_ns
    clock = f"{ns:.2f} ns, {1000 / ns:.0f} MHz, {derated_mhz(ns):.0f} MHz to plan with"
    return Text("\n".join((f"{design.name}, {unit.unit}: its own netlist: {clock}", *unit.timing.lines)))


def _speed(found: Estimate) -> Table:
    board = found.board
    table = Table(title=f"predicted speed on {board.name} at {board.clock}", title_justify="left")
    for column in ("design", "unit", "lanes_k × lanes_p × slots", "batch", "cycles/image", "utilisation", "images/s"):
        table.add_column(column, justify="left" if column in ("design", "unit") else "right")
    for design in found.designs:
        for unit in design.units:
            shape = f"{unit.config.lanes_k} × {unit.config.lanes_p} × {unit.config.slots}"
            for run in unit.runs:
                each = f"{run.cycles / run.images:,.0f}"
                speed = f"{run.images_per_second:,.0f}"
                table.add_row(design.name, unit.unit, shape, f"{run.images}", each, percent(run.utilisation), speed)
        if len(design.units) > 1:
            together = f"{board.clock_mhz * 1e6 / design.cycles_per_image:,.0f}"
            table.add_row(design.name, "both", "", "", f"{design.cycles_per_image:,.0f}", "", together)
    return table


def _amounts(found: Estimate) -> Table:
    board = found.board
    usable = board.usable.by_name()
    names = [name for name in RESOURCE_NAMES if usable[name]]
    table = Table(title=f"predicted resources on {board.name}", title_justify="left")
    for column in ("design", "unit", *(RESOURCE_NAMES[name] for name in names)):
        table.add_column(column, justify="left" if column in ("design", "unit") else "right")
    for design in found.designs:
        for engine, unit in design.engines.items():
            amounts = unit.resources.by_name()
            cells = (f"{amounts[name]:,.10g} ({amounts[name] / usable[name]:.0%})" for name in names)
            table.add_row(design.name, engine, *cells)
    table.add_section()
    table.add_row("usable", "", *(f"{usable[name]:,.10g}" for name in names))
    return table
