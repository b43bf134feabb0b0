"""`toolflow quantise`: from a model and images to integers, and to QONNX files for other tools."""

from __future__ import annotations

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal


@command
def quantise(
    terminal: Terminal,
    model: options.Model,
    calibration: options.Calibration,
    out: options.Out,
    board: options.SearchBoard = None,
    engine: options.Engine = None,
    weights: options.Weights = None,
    pruned: options.Pruned = None,
    input_shape: options.InputShape = None,
    output: options.Output = None,
    low_bits: options.LowBits = 4,
    high_bits: options.HighBits = 8,
    first_last_bits: options.FirstLastBits = 8,
    layer_bits: options.LayerBits = None,
    scales: options.Scales = "multiplier",
    single: options.Single = False,
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
    """Quantise a model to its low- and its high-precision variant, and measure both.

    DIR gets graphs/ (the integers) and qonnx/ (the variants as QONNX). 'toolflow estimate DIR' predicts their speed on
    a board. 'toolflow build' with the same options and DIR reuses the result.

    Examples:

        toolflow quantise resnet20.onnx --calibration cifar.npz --low-bits 4 --out build/resnet20

        toolflow quantise digits.py:digits --weights digits.safetensors --calibration calibration.npz
        --scales fixed-point --layer-bits conv2=5/4 --out build/digits
    """
    with terminal.progress("load the toolflow"):
        from toolflow.cli import parsing
        from toolflow.cli.quantise_tables import quantise_tables
        from toolflow.flow import Precision, Request, Source, Units, quantise

    request = Request(
        Source(
            model,
            calibration,
            weights=weights,
            input_shape=parsing.parse_shape(input_shape),
            output=output,
            mean=parsing.parse_per_channel("--mean", mean),
            std=parsing.parse_per_channel("--std", std),
            pixel_scale=pixel_scale,
            reverse_channels=reverse_channels,
            pruned=pruned,
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
        board,
        parsing.parse_engine(engine),
        units=Units.SINGLE if single else Units.FASTEST,
        search_loss=search_loss,
        finetuning=parsing.parse_finetuning(finetune, finetune_recipe),
    )
    request.search.require_savings()  # a script's request may be for a build too, which needs the board
    made = quantise(request, out, terminal)
    accuracy = {"float": made.float_accuracy, **{str(name): each for name, each in made.accuracy.items()}}
    measured = {"images": made.images, "labelled": made.labelled, "accuracy": accuracy}
    terminal.result(made.record.model_dump(mode="json") | measured, *quantise_tables(made))
    terminal.note(f"quantised into {out}; predict its speed on a board with: toolflow estimate {out} --board B")
