"""Options that several commands share; `parsing` turns their texts into values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from toolflow.flow.precision import RangeMethod, RoundingMethod, ScaleFamily
from toolflow.plan.explore.objective import Goal

_MODEL, _BOARD, _PRECISION, _DATA = "Model", "Board and engine", "Precision and accuracy", "Images"
_CHECKS = "Verification"

AUTO_BOARD = "auto"


def complete_board(incomplete: str) -> list[str]:
    """Return the boards' names that begin so, for the completion of a shell."""
    from toolflow.plan.boards.board import all_boards

    names = [*(name.lower() for name in all_boards()), AUTO_BOARD]
    return [name for name in names if name.startswith(incomplete.lower())]


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="An ONNX file, or a PyTorch factory: package.module:factory or file.py:factory.",
        show_default=False,
    ),
]
ModelOrFiles = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="An ONNX file, also one that is quantised already, or a PyTorch factory: package.module:factory or "
        "file.py:factory. Leave it out with --high.",
        show_default=False,
    ),
]
HighFile = Annotated[
    Path | None,
    typer.Option(
        "--high",
        metavar="FILE",
        help="ONNX file that is quantised already, for the high-precision unit (with --low).",
        exists=True,
        dir_okay=False,
        rich_help_panel=_MODEL,
    ),
]
LowFile = Annotated[
    Path | None,
    typer.Option(
        "--low",
        metavar="FILE",
        help="The same network quantised with fewer bits, for the low-precision unit.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_MODEL,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="State dict of a PyTorch module: a safetensors file, or a torch.save file that contains only tensors.",
        rich_help_panel=_MODEL,
    ),
]
Pruned = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Pruned weights of this model (pruned.safetensors from 'toolflow prune'), with their tiles and patterns. "
        "They replace --weights: --weights is then used only as the teacher of --finetune. --tile and --pattern must "
        "agree with them.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_MODEL,
    ),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        metavar="C,H,W",
        help="Shape of one image, if the model does not define it.",
        rich_help_panel=_MODEL,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The output to use, if the model has several: its name in ONNX, or its key or position in the result of a "
        "PyTorch module (out, 1, aux.0).",
        rich_help_panel=_MODEL,
    ),
]
Board = Annotated[
    str,
    typer.Option(
        metavar="B",
        help="A board's name (see 'toolflow boards'), or the path of a board file; auto to quantise only and list the "
        "boards that fit, with images/s.",
        show_default=False,
        autocompletion=complete_board,
        rich_help_panel=_BOARD,
    ),
]
SearchBoard = Annotated[
    str | None,
    typer.Option(
        "--board",
        metavar="B",
        help="A board's name or file. Searches then save cycles of an engine for this board, otherwise operations.",
        rich_help_panel=_BOARD,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=VALUE,..",
        help="Fixed parameters of the engine, for example lanes_k=16,lanes_p=8,slots=2; the others are chosen.",
        rich_help_panel=_BOARD,
    ),
]
Clock = Annotated[
    int | None,
    typer.Option(
        "--clock",
        metavar="MHZ",
        help="Clock to plan for, as routed or as wanted; default: the board file's, or the estimate.",
        rich_help_panel=_BOARD,
    ),
]
Calibration = Annotated[
    Path,
    typer.Option(
        metavar="IMAGES",
        help="Images: a folder of JPEG or PNG files with a subfolder for each class, or an .npz with x "
        "(N,H,W,C uint8, or N,C,H,W float32) and optional labels y.",
        exists=True,
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Test = Annotated[
    Path | None,
    typer.Option(
        metavar="IMAGES",
        help="Images to measure the accuracy on; default: a part of the other images is held out.",
        exists=True,
        rich_help_panel=_DATA,
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="M,M,M",
        help="Mean to subtract from pixel x scale, one value or one per channel; default: 'mean' of the file, or 0.",
        rich_help_panel=_DATA,
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        metavar="S,S,S",
        help="Divisor of the difference, one value or one per channel; default: 'std' of the file, or 1.",
        rich_help_panel=_DATA,
    ),
]
PixelScale = Annotated[
    float | None,
    typer.Option(
        "--pixel-scale",
        help="Scale of a pixel; default: 'scale' of the file, or 1/255.",
        rich_help_panel=_DATA,
    ),
]
ReverseChannels = Annotated[
    bool,
    typer.Option(
        "--reverse-channels",
        help="Reverse the file's channels to get the model's order (RGB and BGR).",
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
        min=2, max=8, help="Weight bits of the first and the last layer, in both units.", rich_help_panel=_PRECISION
    ),
]
LayerBits = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=W/A,..",
        help="Weight/activation bits of single layers in the low-precision unit, for example layer1.conv1=6/4; or auto "
        "to search the bits of each layer in the high-precision unit. The search saves bit-operations, or cycles if "
        "--engine fixes weight_bits.",
        rich_help_panel=_PRECISION,
    ),
]
Ranges = Annotated[
    RangeMethod,
    typer.Option(
        help="Choose activation ranges by least squared error or by a percentile.", rich_help_panel=_PRECISION
    ),
]
Percentile = Annotated[
    float,
    typer.Option(
        min=50.0,
        max=100.0,
        help="Activations inside the range, in per cent (--ranges).",
        rich_help_panel=_PRECISION,
    ),
]
Rounding = Annotated[
    RoundingMethod,
    typer.Option(
        help="gptq keeps each layer's output; nearest rounds each weight alone.",
        rich_help_panel=_PRECISION,
    ),
]
Tile = Annotated[
    Literal["0", "2", "4", "auto"],
    typer.Option(
        help="Winograd tile of the 3x3 layers of stride 1: outputs in each direction, 0 for direct convolution, auto "
        "to search it for each layer.",
        rich_help_panel=_PRECISION,
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        metavar="n:S[xG]",
        help="Keep n of every S input channels at each tap, for example 3:16, in layers with at least S channels; with "
        "xG, at the same places in each G = 2 or 4 output channels. auto to search it for each layer.",
        rich_help_panel=_PRECISION,
    ),
]
Finetune = Annotated[
    Path | None,
    typer.Option(
        metavar="IMAGES",
        help="Images to train the integers of units below 8 bits on: like the calibration file, with other images. "
        "Labels improve the result.",
        exists=True,
        rich_help_panel=_PRECISION,
    ),
]
FinetuneRecipe = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=VALUE,..",
        help="Settings of --finetune; defaults: epochs=2, rate=0.0003 at the start, batch=64 images, flip=no (yes: on "
        "mirrored images too).",
        rich_help_panel=_PRECISION,
    ),
]
SearchLoss = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Accuracy that a search of tiles, patterns or bits may lose against dense direct layers of full width; "
        "default: 0.003, which is 0.3 points.",
        rich_help_panel=_PRECISION,
    ),
]
Equalise = Annotated[
    bool,
    typer.Option(
        "--equalise", help="Equalise channel ranges between consecutive layers first.", rich_help_panel=_PRECISION
    ),
]
Tolerance = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Accuracy that the cascade may lose against the high-precision unit, above 0 and below 1: 0.01 is one "
        "point.",
        rich_help_panel=_PRECISION,
    ),
]
Scales = Annotated[
    ScaleFamily,
    typer.Option(help="Free scales (multiplier), or powers of two only (fixed-point).", rich_help_panel=_PRECISION),
]
Single = Annotated[
    bool,
    typer.Option("--single", help="Build the high-precision unit alone, no cascade.", rich_help_panel=_PRECISION),
]
Cascade = Annotated[
    bool,
    typer.Option("--cascade", help="Build both units even if one alone is faster.", rich_help_panel=_PRECISION),
]
Morphing = Annotated[
    bool,
    typer.Option(
        "--morphing",
        help="Build both units as programs of one engine with two precisions even if another design is faster.",
        rich_help_panel=_PRECISION,
    ),
]
ObjectiveGoal = Annotated[
    Goal,
    typer.Option(
        "--objective",
        help="Choose engines for images a second, or for the time from a start to its last result (of one image, or of "
        "--batch images).",
        rich_help_panel=_BOARD,
    ),
]
StartBatch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        metavar="N",
        min=1,
        help="Images of a start that the engines are chosen for; default: four full passes.",
        rich_help_panel=_BOARD,
    ),
]
Levels = Annotated[
    str | None,
    typer.Option(
        metavar="LEVEL,..",
        help="Levels to compare with the reference; default: all.",
        rich_help_panel=_CHECKS,
    ),
]
ImageCount = Annotated[
    int | None,
    typer.Option("--images", metavar="N", min=1, help="Number of images for each level.", rich_help_panel=_CHECKS),
]
Seed = Annotated[
    int,
    typer.Option(metavar="N", min=0, help="Seed of the random stalls.", rich_help_panel=_CHECKS),
]
Build = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="A folder that 'toolflow build' made.", exists=True, file_okay=False),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Output folder. An earlier build there is replaced; stages whose inputs did not change are reused.",
        show_default=False,
    ),
]
