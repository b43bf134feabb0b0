"""The options that several commands share; `parsing` makes values of their texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from toolflow.flow.precision import RangeMethod, RoundingMethod, ScaleFamily
from toolflow.plan.explore.objective import Goal

_MODEL, _BOARD, _PRECISION, _DATA = "Model", "Board and engine", "Precision and accuracy", "Images"
_CHECKS = "Verification"

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="An ONNX file, or a PyTorch module: package.module:factory or file.py:factory.",
        show_default=False,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="State dict of a PyTorch module: safetensors, or a file that torch.save wrote of tensors only.",
        rich_help_panel=_MODEL,
    ),
]
Pruned = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Weights of this model that 'toolflow prune' wrote (pruned.safetensors), with their tiles and patterns, "
        "which --tile and --pattern then only check; they take the place of --weights, which then are --finetune's "
        "teacher alone.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_MODEL,
    ),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        metavar="C,H,W",
        help="Shape of one image, where the model does not say it.",
        rich_help_panel=_MODEL,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The output to take, where the model has several: its name in ONNX, or its key or position in what a "
        "PyTorch module returns (out, 1, aux.0).",
        rich_help_panel=_MODEL,
    ),
]
Board = Annotated[
    str,
    typer.Option(
        metavar="B",
        help="A board's name (see 'toolflow boards'), or the path of a board file.",
        show_default=False,
        rich_help_panel=_BOARD,
    ),
]
SearchBoard = Annotated[
    str | None,
    typer.Option(
        "--board",
        metavar="B",
        help="A board's name or file: searches save its engines' cycles, where they can; else operations.",
        rich_help_panel=_BOARD,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=VALUE,..",
        help="Parameters of the engine to fix instead of choosing them, for example lanes_k=16,lanes_p=8,slots=2.",
        rich_help_panel=_BOARD,
    ),
]
Calibration = Annotated[
    Path,
    typer.Option(
        metavar="FILE.npz",
        help="Images x (N,H,W,C uint8, or N,C,H,W float32) and, where there are any, labels y.",
        exists=True,
        dir_okay=False,
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="M,M,M",
        help="What is subtracted from pixel x scale, one value or one per channel; else the file's own 'mean', or 0.",
        rich_help_panel=_DATA,
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        metavar="S,S,S",
        help="What the difference is divided by, one value or one per channel; else the file's own 'std', or 1.",
        rich_help_panel=_DATA,
    ),
]
PixelScale = Annotated[
    float | None,
    typer.Option(
        "--pixel-scale",
        help="Factor of a pixel; else the file's own 'scale', or 1/255.",
        rich_help_panel=_DATA,
    ),
]
ReverseChannels = Annotated[
    bool,
    typer.Option(
        "--reverse-channels",
        help="The file's channels are in the reverse of the model's order (RGB and BGR).",
        rich_help_panel=_DATA,
    ),
]
LowBits = Annotated[
    int,
    typer.Option(
        min=2, max=8, help="Bits of weights and activations in the low-precision unit.", rich_help_panel=_PRECISION
    ),
]
HighBits = Annotated[
    int,
    typer.Option(
        min=2, max=8, help="Bits of weights and activations in the high-precision unit.", rich_help_panel=_PRECISION
    ),
]
FirstLastBits = Annotated[
    int,
    typer.Option(
        min=2, max=8, help="Bits of the first and the last layer's weights, in both units.", rich_help_panel=_PRECISION
    ),
]
LayerBits = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=W/A,..",
        help="Bits of single layers, weights/activations, in the low-precision unit, for example layer1.conv1=6/4; or "
        "auto, to search the bits of each layer in the high-precision unit (for an array's cycles, where --engine "
        "fixes its weight_bits).",
        rich_help_panel=_PRECISION,
    ),
]
Ranges = Annotated[
    RangeMethod,
    typer.Option(help="Activation ranges by least squared error, or by a percentile.", rich_help_panel=_PRECISION),
]
Percentile = Annotated[
    float,
    typer.Option(
        min=50.0, max=100.0, help="Share of activations inside the range, in per cent.", rich_help_panel=_PRECISION
    ),
]
Rounding = Annotated[
    RoundingMethod,
    typer.Option(
        help="Weights rounded for the nearest output of each layer, or each on its own.", rich_help_panel=_PRECISION
    ),
]
Tile = Annotated[
    Literal["0", "2", "4", "auto"],
    typer.Option(
        help="Winograd tile of the 3x3 layers of stride 1, outputs in each direction; 0 for direct convolution; auto "
        "to search each layer's.",
        rich_help_panel=_PRECISION,
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        metavar="n:S",
        help="Keep n of every S input channels of each tap, for example 3:16, where a layer has S channels; auto to "
        "search each layer's.",
        rich_help_panel=_PRECISION,
    ),
]
Finetune = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz",
        help="Images to train the integers of narrow units on, as in a calibration file but others; labels help.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_PRECISION,
    ),
]
FinetuneRecipe = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=VALUE,..",
        help="How --finetune trains: epochs=2, rate=0.0003 at the start, batch=64 images, flip=no (yes: on mirrored "
        "images too).",
        rich_help_panel=_PRECISION,
    ),
]
SearchLoss = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Accuracy that a search of tiles, patterns or bits may lose against dense direct layers of full width; "
        "0.003 if not given.",
        rich_help_panel=_PRECISION,
    ),
]
Equalise = Annotated[
    bool,
    typer.Option(
        "--equalise", help="Balance channel ranges between consecutive layers first.", rich_help_panel=_PRECISION
    ),
]
Tolerance = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Accuracy that the cascade may lose against its high-precision unit: 0.01 is one point.",
        rich_help_panel=_PRECISION,
    ),
]
Scales = Annotated[
    ScaleFamily,
    typer.Option(help="Free scales, or powers of two only.", rich_help_panel=_PRECISION),
]
Single = Annotated[
    bool,
    typer.Option("--single", help="Build the high-precision unit alone, no cascade.", rich_help_panel=_PRECISION),
]
Cascade = Annotated[
    bool,
    typer.Option(
        "--cascade", help="Build both units even where one alone would be faster.", rich_help_panel=_PRECISION
    ),
]
ObjectiveGoal = Annotated[
    Goal,
    typer.Option(
        "--objective",
        help="What the engines are to be fast at: images a second, or the time from a start to its last result, of one "
        "image where --batch gives no other number.",
        rich_help_panel=_BOARD,
    ),
]
StartBatch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        metavar="N",
        min=1,
        help="Images of a start that the engines are chosen or timed for; else one in every lane.",
        rich_help_panel=_BOARD,
    ),
]
Levels = Annotated[
    str | None,
    typer.Option(
        metavar="LEVEL,..",
        help="The levels to compare with the reference; all that are installed, where none is named.",
        rich_help_panel=_CHECKS,
    ),
]
ImageCount = Annotated[
    int | None,
    typer.Option("--images", metavar="N", min=1, help="How many images each level runs.", rich_help_panel=_CHECKS),
]
Seed = Annotated[
    int,
    typer.Option(metavar="N", min=0, help="Seed of the random stalls and faults.", rich_help_panel=_CHECKS),
]
Build = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="A folder that 'toolflow build' made.", exists=True, file_okay=False),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="The folder to make; an earlier build there is replaced, stage by stage where something changed.",
        show_default=False,
    ),
]
