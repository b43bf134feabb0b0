"""What a verification shows on a terminal: the verdicts first, then what was measured on the way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from toolflow.emit.ii.delays import CLOCK_UNCERTAINTY
from toolflow.report.summary import LevelCheck, Summary
from toolflow.report.table import Cell, Table, new_table
from toolflow.report.tables import speed_table


def verdict_tables(summary: Summary, ran: Sequence[LevelCheck]) -> tuple[Table | str, ...]:
    """Return what the end of a verification shows, in order.

    Args:
        summary: the project's figures, with the verdicts of this run and those of earlier runs that still hold.
        ran: the verdicts of this run.
    """
    shown: list[Table | str] = [verdict_sentence(ran), verdict_table(summary.verification, ran)]
    if any(run.simulated_cycles is not None for unit in summary.units for run in unit.runs):
        shown.append(speed_table(summary))
    for check in ran:
        shown += loop_sentences(check)
    return tuple(shown)


def verdict_sentence(ran: Collection[LevelCheck]) -> str:
    """Return how many checks of a run are equal, differ, or were not run."""
    equal, different, not_run = (sum(check.equal is value for check in ran) for value in (True, False, None))
    left = [f"{different} DIFFERENT"] * bool(different) + [f"{not_run} not run"] * bool(not_run)
    count = f"all {equal} checks" if not left else f"{equal} of {len(ran)} checks"
    return ", ".join([f"verdict: {count} equal the integer reference", *left])


def verdict_table(checks: Iterable[LevelCheck], ran: Collection[LevelCheck]) -> Table:
    """Each level's verdict on each unit: first those of this run, then those of earlier runs with their time."""
    checks = sorted(checks, key=lambda check: check not in ran)
    columns = ["unit", "level", "images>", "result", "seconds>"]
    if any(check not in ran for check in checks):
        columns.append("run")
    table = new_table("verification against the integer reference", *columns)
    for check in checks:
        verdict = {True: "equal", False: "DIFFERENT", None: "not run"}[check.equal]
        style = {True: "green", False: "red", None: "yellow"}[check.equal]
        text = Cell(f"{verdict}: {check.detail}" if check.detail else verdict, style)
        images = f"{check.images:,}" if check.images and check.equal is not None else ""
        seconds = f"{check.seconds:.1f}" if check.equal is not None else ""
        cells = (check.unit, check.level, images, text, seconds, "this run" if check in ran else _earlier(check))
        table.add_row(*cells[: len(columns)])
    return table


def _earlier(check: LevelCheck) -> str:
    if not check.finished:
        return "earlier"
    return f"earlier, {datetime.fromisoformat(check.finished):%Y-%m-%d %H:%M} UTC"


def loop_sentences(check: LevelCheck) -> Iterable[str]:
    """List the loops of the C++ that do not reach the II of their pragma."""
    slow = [loop for loop in check.loops if 0 < loop.wanted < loop.found]
    if slow:
        yield (
            f"warning: {check.unit} unit: {len(slow)} of {len(check.loops)} pipelined loops of the HLS C++ miss "
            f"the II of their pragmas ({CLOCK_UNCERTAINTY:.0%} of a clock cycle is reserved for uncertainty and "
            "routing). This is an analysis; no vendor tool has confirmed it"
        )
    for loop in slow:
        yield f"  {loop.file}:{loop.line}, {loop.function}: II = {loop.found}, not {loop.wanted}: {loop.why}"
