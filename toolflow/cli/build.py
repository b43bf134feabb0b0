"""`toolflow build`: from a model, images and a board to a project folder."""

from __future__ import annotations

import shlex

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal


@command
def build(
    terminal: Terminal,
    board: options.Board,
    calibration: options.Calibration,
    out: options.Out,
    model: options.ModelOrFiles = None,
    low: options.LowFile = None,
    high: options.HighFile = None,
    weights: options.Weights = None,
    pruned: options.Pruned = None,
    input_shape: options.InputShape = None,
    output: options.Output = None,
    low_bits: options.LowBits = 4,
    high_bits: options.HighBits = 8,
    first_last_bits: options.FirstLastBits = 8,
    layer_bits: options.LayerBits = None,
    tolerance: options.Tolerance = 0.01,
    scales: options.Scales = "multiplier",
    single: options.Single = False,
    cascade: options.Cascade = False,
    morphing: options.Morphing = False,
    engine: options.Engine = None,
    clock: options.Clock = None,
    objective: options.ObjectiveGoal = "throughput",
    batch: options.StartBatch = None,
    ranges: options.Ranges = "mse",
    percentile: options.Percentile = 99.99,
    rounding: options.Rounding = "gptq",
    equalise: options.Equalise = False,
    tile: options.Tile = "0",
    pattern: options.Pattern = None,
    search_loss: options.SearchLoss = None,
    finetune: options.Finetune = None,
    finetune_recipe: options.FinetuneRecipe = None,
    mean: options.Mean = None,
    std: options.Std = None,
    pixel_scale: options.PixelScale = None,
    reverse_channels: options.ReverseChannels = False,
) -> None:
    """Build an accelerator: quantise, calibrate, plan and write a project. Check it with 'toolflow verify'.

    Examples:

        toolflow build digits.py:digits --weights digits.safetensors --board ulx3s-85f --low-bits 3
        --calibration calibration.npz --out build/digits

        toolflow build --low resnet20_w4.onnx --high resnet20_w8.onnx --board kv260 --calibration cifar.npz
        --out build/resnet20

        toolflow build resnet20.onnx --board zcu104 --calibration cifar.npz --tolerance 0.005 --out build/resnet20

        toolflow build resnet20.onnx --board auto --calibration images --out build/resnet20
    """
    with terminal.progress("load the toolflow"):
        from toolflow.cli import parsing
        from toolflow.cli.board_tables import board_table
        from toolflow.flow import Precision, Request, Source, build, compare_boards
        from toolflow.plan.explore.objective import Objective
        from toolflow.report.tables import summary_tables

    auto, fixed = board == options.AUTO_BOARD, parsing.parse_engine(engine)
    request = Request(
        Source(
            parsing.parse_model(model, low, high),
            calibration,
            weights=weights,
            input_shape=parsing.parse_shape(input_shape),
            output=output,
            mean=parsing.parse_per_channel("--mean", mean),
            std=parsing.parse_per_channel("--std", std),
            pixel_scale=pixel_scale,
            reverse_channels=reverse_channels,
            pruned=pruned,
            low=low,
        ),
        Precision(
            low_bits=low_bits,
            high_bits=high_bits,
            first_last_bits=first_last_bits,
            layer_bits=parsing.parse_layer_bits(layer_bits),
            scales=scales,
            ranges=ranges,
            percentile=percentile,
            rounding=rounding,
            equalise=equalise,
            tile=parsing.parse_tile(tile),
            pattern=parsing.parse_pattern_option("--pattern", pattern),
        ),
        None if auto else board,
        {} if auto else fixed,
        Objective.of(objective, batch),
        parsing.parse_units(single, cascade, morphing),
        tolerance,
        search_loss,
        parsing.parse_finetuning(finetune, finetune_recipe),
        clock,
    )
    if auto:
        speeds = compare_boards(request, out, fixed, terminal)
        terminal.result({"boards": [speed.document() for speed in speeds]}, board_table(speeds))
        terminal.note(f"quantised into {out}; the same command with one of these boards builds the project")
        return
    summary = build(request, out, terminal)
    terminal.result(summary.model_dump(mode="json"), *summary_tables(summary))
    terminal.note(f"built {out}, report: {out / 'report.html'}; check it with: toolflow verify {shlex.quote(str(out))}")
