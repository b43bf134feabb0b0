"""A pruning as tables for a terminal; no figure is computed here."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from toolflow.flow.records import PruneRecord
from toolflow.report.tables import percent, search_sentence


def prune_tables(record: PruneRecord) -> list[RenderableType]:
    """Return the accuracies, the layers, the search, and what the user must know."""
    images = record.images
    what = "accuracy" if images.labelled else "agreement with the float model"
    title = f"{escape(record.name)}: {images.tested:,} unseen images"
    steps = Table(title=title, title_justify="left")
    for column in ("network", "epochs", "loss", what):
        steps.add_column(column, justify="left" if column == "network" else "right")
    steps.add_row("float", "", "", percent(record.accuracy["float"]))
    for event in record.steps:
        loss = "" if event.loss is None else f"{event.loss:.3f}"
        made = "trained" if event.epochs else "pruned"
        steps.add_row(f"{made} {event.pattern}", str(event.epochs or ""), loss, percent(event.accuracy))
    layers = Table(title="layers: multiplications for one image, against direct convolution", title_justify="left")
    for column in ("layer", "tile", "pattern", "density", "multiplications", "saved"):
        layers.add_column(column, justify="left" if column == "layer" else "right")
    for layer in record.layers:
        layers.add_row(
            escape(layer.name),
            f"F({layer.tile},3)" if layer.tile else "direct",
            "dense" if layer.pattern is None else str(layer.pattern),
            f"{layer.density:.3f}",
            f"{layer.multiplications:,}",
            percent(layer.saved),
        )
    searched = [search_sentence("network", record.search)] if record.search else []
    return [steps, layers, *searched, *(f"note: {note}" for note in record.notes)]
