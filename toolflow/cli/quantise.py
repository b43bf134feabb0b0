"""`toolflow quantise`: from a model and images to integers, and to QONNX files for other tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import VariantName

if TYPE_CHECKING:
    from quant.post_training.quality import LayerQuality
    from toolflow.flow.records import QuantisedVariant
    from toolflow.flow.runs.quantise import Quantised


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
        from toolflow.flow import Precision, Request, Source, Units, quantise

    parsed_tile, parsed_bits = parsing.parse_tile(tile), parsing.parse_layer_bits(layer_bits)
    parsed_pattern = parsing.parse_pattern_option("--pattern", pattern)
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
            layer_bits=parsed_bits,
            scales=scales,
            ranges=ranges,
            percentile=percentile,
            rounding=rounding,
            equalise=equalise,
            tile=parsed_tile,
            pattern=parsed_pattern,
        ),
        board,
        parsing.parse_search_engine(board, engine, parsed_tile, parsed_pattern, parsed_bits),
        units=Units.SINGLE if single else Units.FASTEST,
        search_loss=search_loss,
        finetuning=parsing.parse_finetuning(finetune, finetune_recipe),
    )
    if board is not None and not request.search.saves_any_cycles:
        raise ToolflowError(
            "--board must come with a search that saves cycles: --tile auto, --pattern auto, or --layer-bits auto "
            "with --engine weight_bits=N"
        )
    made = quantise(request, out, terminal)
    measured = {"images": made.images, "labelled": made.labelled, "accuracy": made.accuracy}
    terminal.result(made.record.model_dump(mode="json") | measured, *_tables(made))
    terminal.note(f"quantised into {out}; predict its speed on a board with: toolflow estimate {out} --board B")


def _tables(made: Quantised) -> list[RenderableType]:
    """Return the accuracies, the layers, and what the user must know."""
    from toolflow.report.tables import finetuned_sentence, percent, search_sentence

    record, variants = made.record, made.record.variants
    what = "accuracy" if made.labelled else "agreement with the float model"
    accuracy = Table(title=f"{escape(record.name)}: {made.images:,} unseen images", title_justify="left")
    for column in ("network", "weights / activations", what):
        accuracy.add_column(column, justify="left" if column == "network" else "right")
    accuracy.add_row("float", "", percent(made.accuracy["float"]))
    for name, variant in variants.items():
        widths = f"{variant.config.weight_bits} / {variant.config.activation_bits} bits"
        accuracy.add_row(name, widths, percent(made.accuracy[name]))
    notes = [*record.notes, *(note for variant in variants.values() for note in variant.notes)]
    sentences = [f"warning: {warning}" for warning in record.warnings]
    sentences += [f"note: {note}" for note in dict.fromkeys(notes)]
    chosen = [search_sentence(f"{name} unit", each.search) for name, each in variants.items() if each.search]
    trained = [finetuned_sentence(f"{name} unit", each.finetuned) for name, each in variants.items() if each.finetuned]
    return [accuracy, _layers(variants), *chosen, *trained, *sentences]


def _layers(variants: Mapping[VariantName, QuantisedVariant]) -> Table:
    """Bits of every layer's weights and outputs, and the relative error of its output."""
    table = Table(title="layers: weights / outputs, error energy / signal energy", title_justify="left")
    table.add_column("layer")
    for name in variants:
        table.add_column(f"{name} bits", justify="right")
        table.add_column(f"{name} error", justify="right")
    rows: dict[str, list[str]] = {}
    for column, variant in enumerate(variants.values()):
        for layer in variant.layers:
            cells = rows.setdefault(layer.name, [""] * (2 * len(variants)))
            weights = f"{layer.weight_bits} / " if layer.weight_bits else ""
            cells[2 * column] = " ".join([*_form(layer), f"{weights}{layer.output.integer.bits}"])
            cells[2 * column + 1] = f"{layer.relative_error:.2e}"
    for label, cells in rows.items():
        table.add_row(escape(label), *cells)
    return table


def _form(layer: LayerQuality) -> list[str]:
    """Return a layer's tile and pattern as words, if it has any."""
    tile = [f"F({layer.tile},3)"] if layer.tile else []
    return [*tile, *([str(layer.pattern)] if layer.pattern else [])]
