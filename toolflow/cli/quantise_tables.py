"""A quantisation as tables for a terminal; no figure is computed here."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from quant.post_training.quality import LayerQuality
from toolflow.flow.records import QuantisedVariant
from toolflow.flow.runs.quantise import Quantised
from toolflow.ir.unit import VariantName
from toolflow.report.tables import finetuned_sentence, percent, search_sentence


def quantise_tables(made: Quantised) -> list[RenderableType]:
    """Return the accuracies, the layers, and what the user must know."""
    record, variants = made.record, made.record.variants
    what = "accuracy" if made.labelled else "agreement with the float model"
    accuracy = Table(title=f"{escape(record.name)}: {made.images:,} unseen images", title_justify="left")
    for column in ("network", "weights / activations", what):
        accuracy.add_column(column, justify="left" if column == "network" else "right")
    accuracy.add_row("float", "", percent(made.float_accuracy))
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
