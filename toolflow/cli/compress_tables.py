"""A compression as tables for a terminal; no figure is computed here."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from toolflow.flow.records import CompressionRecord
from toolflow.report.tables import percent


def compress_tables(record: CompressionRecord) -> list[RenderableType]:
    """Return the steps, and the network before and after."""
    images = record.images
    steps = Table(title=f"steps, judged on {images.judged:,} images", title_justify="left")
    for column in ("recipe", "step", "accuracy", "cycles/image", "parameters"):
        steps.add_column(column, justify="left" if column in ("recipe", "step") else "right")
    for step in record.steps:
        cycles, parameters = f"{step.cost.cycles:,.0f}", f"{step.cost.parameters:,}"
        steps.add_row(escape(step.recipe), escape(step.what), percent(step.accuracy), cycles, parameters)
    what = "accuracy" if images.labelled else "agreement with the float model"
    title = f"{escape(record.name)} on {record.board}: {images.tested:,} unseen images"
    whole = Table(title=title, title_justify="left")
    for column in ("network", what, "cycles/image", "DSP", "block RAM", "bytes/image", "parameters", "stored bits"):
        whole.add_column(column, justify="left" if column == "network" else "right")
    for name, cost in record.cost.items():
        accuracy = record.accuracy["before" if name == "before" else "after"]
        whole.add_row(
            name,
            percent(accuracy),
            f"{cost.cycles:,.0f}",
            f"{cost.dsps:,.0f}",
            f"{cost.block_rams:,.1f}",
            f"{cost.traffic_bytes:,.0f}",
            f"{cost.parameters:,}",
            f"{cost.stored_bits:,}",
        )
    return [steps, whole]
