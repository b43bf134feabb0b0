"""`toolflow estimate`: cycles, utilisation and resources of quantised networks on a board, in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal
from toolflow.plan.explore.objective import Goal

_PANEL = "Board and engine"

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="A folder made by 'toolflow quantise' or 'toolflow build'.", exists=True, file_okay=False
    ),
]
OtherBoard = Annotated[
    str | None,
    typer.Option("--board", metavar="B", help="A board's name or file; default: the build's.", rich_help_panel=_PANEL),
]
OtherGoal = Annotated[
    Goal | None,
    typer.Option(
        "--objective",
        help="Objective of the engines, as in 'toolflow build'; default: the build's, or throughput.",
        rich_help_panel=_PANEL,
    ),
]
Forwarded = Annotated[
    float | None,
    typer.Option(
        "--forwarded",
        metavar="SHARE",
        min=0.0,
        max=1.0,
        help="Share of images that the low unit forwards, to estimate both units together; default: the build's.",
        rich_help_panel=_PANEL,
    ),
]


Netlist = Annotated[
    bool,
    typer.Option(
        "--netlist",
        help="Also synthesise each engine (pyosys, minutes) and show the longest path of its own netlist.",
        rich_help_panel=_PANEL,
    ),
]


@command
def estimate(
    terminal: Terminal,
    folder: Folder,
    board: OtherBoard = None,
    engine: options.Engine = None,
    objective: OtherGoal = None,
    batch: options.StartBatch = None,
    forwarded: Forwarded = None,
    clock: options.Clock = None,
    netlist: Netlist = False,
) -> None:
    """Predict cycles of each layer, utilisation, resources and bottlenecks.

    For a build without another board, engine or objective, the engines of the build are estimated. Otherwise the best
    engines are searched for each quantised network alone and, if the forwarded share is known, for both together.

    Examples:

        toolflow estimate build/resnet20

        toolflow estimate build/resnet20 --board kv260 --engine lanes_k=16,lanes_p=8,slots=2 --forwarded 0.2
    """
    with terminal.progress("load the toolflow"):
        from toolflow.cli.parsing import parse_engine
        from toolflow.flow import estimate as predict
        from toolflow.report.design_tables import estimate_tables

    found = predict(folder, board, parse_engine(engine), objective, batch, forwarded, terminal, clock, netlist)
    terminal.result(found.document(), *estimate_tables(found))
