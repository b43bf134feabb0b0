"""`toolflow disassemble`: a program binary as text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal
from toolflow.ir.errors import ToolflowError


@command
def disassemble(
    terminal: Terminal,
    program: Annotated[Path, typer.Argument(metavar="PROGRAM", help="The binary.", exists=True, dir_okay=False)],
) -> None:
    """Print the instructions of a program binary.

    Examples:

        toolflow disassemble out/weights/low.program.bin

        toolflow disassemble program.bin --json
    """
    from toolflow.engine.disassemble import disassemble as listing
    from toolflow.engine.disassemble import program_document
    from toolflow.engine.program import is_program

    binary = program.read_bytes()
    if not is_program(binary):
        raise ToolflowError(f"{program} is not a program; programs are weights/*.program.bin")
    terminal.result(program_document(binary), listing(binary))
