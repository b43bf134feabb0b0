"""`toolflow compress`: make a network smaller by published recipes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal

_RECIPE, _DATA, _SEARCH = "Recipe", "Images", "Search and training"

Recipes = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME[,NAME..]",
        help="Recipes in order (see 'toolflow recipes'); also a Python file with a recipe of your own.",
        show_default=False,
        rich_help_panel=_RECIPE,
    ),
]
Settings = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=VALUE,..",
        help="Settings of the recipes, for example epochs=40; 'toolflow recipes' lists them.",
        rich_help_panel=_RECIPE,
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the cycles that may remain, for recipes that take a budget.",
        rich_help_panel=_RECIPE,
    ),
]
CostBoard = Annotated[
    str,
    typer.Option(
        "--board",
        metavar="B",
        help="A board's name or file: the cost of a network is counted on an engine for this board.",
        rich_help_panel=_RECIPE,
    ),
]
Train = Annotated[
    Path,
    typer.Option(
        metavar="IMAGES",
        help="Images to train and to judge on, in the format of a calibration file, with labels if there are any.",
        exists=True,
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Processes that judge candidates, or the address of a Dask scheduler, tcp://HOST:PORT; default: one "
        "process for each processor. The result is the same.",
        rich_help_panel=_SEARCH,
    ),
]
Batch = Annotated[int, typer.Option(min=2, help="Images of an optimiser step.", rich_help_panel=_SEARCH)]
Flip = Annotated[bool, typer.Option("--flip/--no-flip", help="Train on mirrored images too.", rich_help_panel=_SEARCH)]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Seed of all random choices.", rich_help_panel=_SEARCH)]


@command
def compress(
    terminal: Terminal,
    model: options.Model,
    recipe: Recipes,
    train: Train,
    out: options.Out,
    test: options.Test = None,
    settings: Settings = None,
    budget: Budget = None,
    board: CostBoard = "zcu104",
    engine: options.Engine = None,
    workers: Workers = None,
    batch: Batch = 64,
    flip: Flip = False,
    seed: Seed = 0,
    weights: options.Weights = None,
    input_shape: options.InputShape = None,
    output: options.Output = None,
    mean: options.Mean = None,
    std: options.Std = None,
    pixel_scale: options.PixelScale = None,
    reverse_channels: options.ReverseChannels = False,
) -> None:
    """Make a network smaller by published recipes, before it is quantised and built.

    DIR gets compressed.onnx, which 'toolflow build' reads as any other model, compressed.safetensors (its weights under
    the same names), and recipe.json: every step with its accuracy and its cost on the board. An interrupted run
    continues after the last judged candidate and the last trained epoch.

    Examples:

        toolflow compress resnet20.onnx --recipe combine-net --train cifar.npz --flip --out build/smaller

        toolflow compress resnet20.onnx --recipe ./mine.py --train cifar.npz --board kv260 --out build/mine
    """
    with terminal.progress("load the toolflow"):
        from toolflow.cli import parsing
        from toolflow.cli.compress_tables import compress_tables
        from toolflow.flow import CompressRequest, Source
        from toolflow.flow import compress as run
        from toolflow.flow.stages.compress import NETWORK

    request = CompressRequest(
        Source(
            model,
            train,
            weights=weights,
            input_shape=parsing.parse_shape(input_shape),
            output=output,
            mean=parsing.parse_per_channel("--mean", mean),
            std=parsing.parse_per_channel("--std", std),
            pixel_scale=pixel_scale,
            reverse_channels=reverse_channels,
        ),
        parsing.parse_names(recipe) or (),
        board=board,
        engine=parsing.parse_engine(engine),
        budget=budget,
        settings=parsing.parse_settings("--settings", settings),
        test=test,
        workers=len(os.sched_getaffinity(0)) if workers is None else parsing.parse_workers(workers),
        batch=batch,
        flip=flip,
        seed=seed,
    )
    record = run(request, out, terminal)
    terminal.result(record.model_dump(mode="json"), *compress_tables(record))
    refused = [each.name for each in request.steps if not each.builds]
    terminal.note(
        f"compressed into {out / NETWORK}; "
        + (
            f"'toolflow build' does not take the activations of {', '.join(refused)} yet"
            if refused
            else f"build it with: toolflow build {out / NETWORK} --board {board} .."
        )
    )
