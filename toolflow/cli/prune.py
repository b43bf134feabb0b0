"""`toolflow prune`: sparse weights of direct and Winograd layers, with or without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal

DEFAULT_EPOCHS = 12

_PANEL, _DATA, _TRAINING = "Pattern", "Images", "Training"

PatternText = Annotated[
    str,
    typer.Option(
        "--pattern",
        metavar="n:S[xG]",
        help="Keep n of every S input channels, at the same places in each G output channels.",
        rich_help_panel=_PANEL,
    ),
]
Tile = Annotated[
    Literal["0", "2", "4", "auto"],
    typer.Option(
        "--tile",
        help="Winograd tile of the 3x3 layers of stride 1, 0 for direct convolution, auto to search it for each layer.",
        rich_help_panel=_PANEL,
    ),
]
LayerPatterns = Annotated[
    str | None,
    typer.Option(
        "--layer-pattern",
        metavar="NAME=n:S[xG],..",
        help="Patterns of single layers, also of 1x1 and strided layers; 'dense' for none.",
        rich_help_panel=_PANEL,
    ),
]
LayerTiles = Annotated[
    str | None,
    typer.Option(
        "--layer-tile",
        metavar="NAME=TILE,..",
        help="Tiles of single layers, 0 for direct convolution; a search does not change them.",
        rich_help_panel=_PANEL,
    ),
]
Train = Annotated[
    Path | None,
    typer.Option(
        metavar="IMAGES",
        help="Images to train on, in the format of a calibration file; labels improve the result.",
        exists=True,
        rich_help_panel=_DATA,
    ),
]
Unlabelled = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="IMAGES",
        help="Images to prune on without training.",
        exists=True,
        rich_help_panel=_DATA,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1, help=f"Number of passes over the images; default: {DEFAULT_EPOCHS}.", rich_help_panel=_TRAINING
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(min=2, help="Images of an optimiser step; default: 64.", rich_help_panel=_TRAINING),
]
Rate = Annotated[
    float | None,
    typer.Option(help="Learning rate at the start; default: 0.002.", rich_help_panel=_TRAINING),
]
Flip = Annotated[
    bool | None,
    typer.Option("--flip/--no-flip", help="Train on mirrored images too; default: flip.", rich_help_panel=_TRAINING),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Seed of all random choices.", rich_help_panel=_TRAINING)]


@command
def prune(
    terminal: Terminal,
    model: options.Model,
    pattern: PatternText,
    tile: Tile,
    out: options.Out,
    train: Train = None,
    calibration: Unlabelled = None,
    test: options.Test = None,
    layer_pattern: LayerPatterns = None,
    layer_tile: LayerTiles = None,
    search_loss: options.SearchLoss = None,
    board: options.SearchBoard = None,
    engine: options.Engine = None,
    epochs: Epochs = None,
    batch: Batch = None,
    rate: Rate = None,
    flip: Flip = None,
    seed: Seed = 0,
    weights: options.Weights = None,
    input_shape: options.InputShape = None,
    output: options.Output = None,
    mean: options.Mean = None,
    std: options.Std = None,
    pixel_scale: options.PixelScale = None,
    reverse_channels: options.ReverseChannels = False,
) -> None:
    """Prune a model's convolutions to n of every S channels, in the Winograd domain if they have a tile.

    With --calibration each layer is solved on the images, without training. With --train the network is pruned and
    trained, in several steps if there are enough epochs (16 for 3:16). An interrupted run continues after its last
    finished epoch. DIR gets pruned.safetensors (the weights) and prune.json (the accuracy after each step, and the
    multiplications that each layer saves). --tile auto chooses tiles with networks that are not trained.

    Examples:

        toolflow prune resnet20.onnx --pattern 8:16 --tile 4 --calibration cifar.npz --out build/half

        toolflow prune resnet20.onnx --pattern 3:16 --tile 2 --train cifar.npz --epochs 30 --out build/sparse
    """
    training = {"epochs": epochs, "batch": batch, "rate": rate, "flip": flip}
    given_for_training = {name: value for name, value in training.items() if value is not None}
    with terminal.progress("load the toolflow"):
        from quant.training.recipe import Recipe
        from toolflow.cli import parsing
        from toolflow.cli.prune_tables import prune_tables
        from toolflow.flow import PruneRequest, Source
        from toolflow.flow import prune as run
        from toolflow.flow.precision import read_pattern
        from toolflow.flow.stages.prune import PRUNED

    asked = {"epochs": DEFAULT_EPOCHS, "seed": seed, **given_for_training}
    request = PruneRequest(
        Source(
            model,
            parsing.images_to_prune_on(train, calibration, given_for_training),
            weights=weights,
            input_shape=parsing.parse_shape(input_shape),
            output=output,
            mean=parsing.parse_per_channel("--mean", mean),
            std=parsing.parse_per_channel("--std", std),
            pixel_scale=pixel_scale,
            reverse_channels=reverse_channels,
        ),
        read_pattern("--pattern", pattern),
        parsing.parse_tile(tile),
        parsing.parse_layer_patterns(layer_pattern),
        parsing.parse_layer_tiles(layer_tile),
        recipe=Recipe(**asked) if train is not None else None,  # type: ignore[arg-type]  # by name
        test=test,
        search_loss=search_loss,
        board=board,
        engine=parsing.parse_engine(engine),
        seed=seed,
    )
    record = run(request, out, terminal)
    terminal.result(record.model_dump(mode="json"), *prune_tables(record))
    terminal.note(f"pruned into {out / PRUNED}")
