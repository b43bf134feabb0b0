"""`toolflow doctor`: check that this machine has what the toolflow needs, and say what to install."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal
from toolflow.ir.errors import ToolflowError


class UnfitMachineError(ToolflowError):
    """Something that the toolflow needs is missing or of a wrong version."""


@command
def doctor(terminal: Terminal) -> None:
    """Check this machine: Python, compilers, package versions, the simulator, packages with the same name.

    Examples:

        toolflow doctor

        toolflow doctor --json
    """
    from toolflow.flow.machine import examine

    with terminal.progress("examine this machine"):
        findings = tuple(examine())
    table = Table()
    for column in ("", "what", "found", "what to do"):
        table.add_column(column, overflow="fold")
    marks = {"ok": "[green]ok[/]", "problem": "[red]problem[/]", "optional": "[dim]optional[/]"}
    for finding in findings:
        table.add_row(marks[finding.state], *map(escape, (finding.what, finding.found, finding.advice)))
    terminal.result({"findings": [asdict(finding) for finding in findings]}, table)
    problems = [finding.what for finding in findings if finding.state == "problem"]
    if problems:
        raise UnfitMachineError(f"{len(problems)} problem(s): {', '.join(problems)}")
