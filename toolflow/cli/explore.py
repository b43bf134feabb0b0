"""`toolflow explore`: the Pareto front of networks on boards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL..",
        help="ONNX files, PyTorch factories, or folders that 'toolflow quantise' or 'toolflow build' made.",
        show_default=False,
    ),
]
Boards = Annotated[
    str,
    typer.Option(
        "--board", metavar="B[,B..]", help="Names or files of boards; all for every board.", show_default=False
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="IMAGES",
        help="Images, as for 'toolflow quantise': to quantise models and to measure their accuracy.",
        exists=True,
    ),
]
Widths = Annotated[
    str, typer.Option("--bits", metavar="N[,N..]", help="Bits of weights and activations to quantise models to.")
]
Workers = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Processes that plan, or the address of a Dask scheduler, tcp://HOST:PORT; default: one process for each "
        "processor.",
    ),
]
Folder = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", help="Output folder, new or of an earlier exploration.", show_default=False),
]


@command
def explore(
    terminal: Terminal,
    models: Models,
    board: Boards,
    out: Folder,
    calibration: Images = None,
    bits: Widths = "8,4",
    engine: options.Engine = None,
    objective: options.ObjectiveGoal = "throughput",
    batch: options.StartBatch = None,
    workers: Workers = None,
) -> None:
    """Compare networks on boards by accuracy, images/s and area, and draw the Pareto front.

    DIR gets explore.html, explore.csv and explore.json. Plans that are finished are kept: the same command goes on from
    there after an interruption. A worker that dies costs its own plan a retry.

    Examples:

        toolflow explore resnet8.onnx resnet20.onnx --calibration cifar.npz --board pynq-z2,kv260 --out build/front

        toolflow explore build/resnet20 --board all --workers tcp://10.0.0.1:8786 --out build/front
    """
    with terminal.progress("load the toolflow"):
        from toolflow.cli import parsing
        from toolflow.flow import ExploreRequest, Objective
        from toolflow.flow import explore as run
        from toolflow.plan.boards.board import all_boards
        from toolflow.report.page.front import front_table

    request = ExploreRequest(
        models,
        tuple(all_boards()) if board == "all" else parsing.parse_names(board) or (),
        calibration,
        parsing.parse_bits(bits),
        parsing.parse_engine(engine),
        Objective.of(objective, batch),
        len(os.sched_getaffinity(0)) if workers is None else parsing.parse_workers(workers),
    )
    found = run(request, out, terminal)
    lacks = [f"{network} does not fit {name}: {why}" for network, name, why in found.lacks]
    terminal.result(found.document(), front_table(found.points, "accuracy"), *lacks)
    terminal.note(f"{len(found.front)} of {len(found.points)} engines are on the front: {out / 'explore.html'}")
