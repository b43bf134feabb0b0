"""The application `toolflow` and its commands.

A command is a module with a function that `toolflow.cli.command.command` wraps; it is registered
below. A module imports typer, rich and the standard library when it is loaded, and everything else
inside the function: `toolflow --help` loads every module.
"""

from __future__ import annotations

from typing import Annotated

import typer

from toolflow import __version__
from toolflow.cli.boards import boards
from toolflow.cli.build import build
from toolflow.cli.check import check
from toolflow.cli.command import Application
from toolflow.cli.compress import compress
from toolflow.cli.disassemble import disassemble
from toolflow.cli.doctor import doctor
from toolflow.cli.estimate import estimate
from toolflow.cli.explore import explore
from toolflow.cli.prune import prune
from toolflow.cli.quantise import quantise
from toolflow.cli.recipes import recipes
from toolflow.cli.report import report
from toolflow.cli.verify import verify

FORMER_NAMES = {"sparsity": "pattern"}  # of options; accepted, and left out of the help

app = typer.Typer(
    name="toolflow",
    cls=Application,
    context_settings={"token_normalize_func": lambda name: FORMER_NAMES.get(name, name)},
    help="Turn a trained CNN and an FPGA board into a bit-exact accelerator.",
    epilog="Exit codes: 0 done, 1 a defect of the toolflow, 2 invalid input or damaged files, 3 does not fit, "
    "4 verification found a difference, 5 a level could not be run, 130 interrupted, 143 terminated.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(build)
app.command()(prune)
app.command()(compress)
app.command()(quantise)
app.command()(estimate)
app.command()(explore)
app.command()(verify)
app.command()(report)
app.command()(boards)
app.command()(recipes)
app.command()(check)
app.command()(disassemble)
app.command()(doctor)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"cascade-toolflow {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> int:
    """Run the command line on this process's arguments.

    Returns:
        The exit code (see `toolflow.cli.command`).
    """
    try:
        app(prog_name="toolflow")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0
