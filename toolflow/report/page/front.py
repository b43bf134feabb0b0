"""Write `explore.html`: the engines of an exploration, and the front of those that no other surpasses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolflow import __version__
from toolflow.emit.render import environment, write_if_changed
from toolflow.report.page.charts import Spec, chart
from toolflow.report.page.page import PACKAGE, as_script, package_text
from toolflow.report.page.vega import vega_script
from toolflow.report.table import Table, new_table
from toolflow.report.tables import percent


@dataclass(frozen=True)
class FrontPoint:
    """An engine for a network on a board.

    Attributes:
        network, board: their names.
        accuracy: of the network.
        images_per_second: of the engine.
        latency_ms: from a start of `batch` images to its last result.
        batch: images of a start.
        area: the largest of `shares`.
        shares: of each of the board's resources that a design may use.
        engine: the parameters.
        on_front: whether no other point surpasses it.
    """

    network: str
    board: str
    accuracy: float
    images_per_second: float
    latency_ms: float
    batch: int
    area: float
    shares: Mapping[str, float]
    engine: Mapping[str, Any]
    on_front: bool = False


def write_front_page(
    points: Sequence[FrontPoint], lacks: Sequence[tuple[str, str, str]], labelled: bool, path: Path
) -> None:
    """Write the page, which loads nothing.

    Args:
        points: all engines.
        lacks: (network, board, why) where none fits.
        labelled: whether accuracy was measured on labels; otherwise it is agreement with the float networks.
        path: of the page.
    """
    what = "accuracy" if labelled else "agreement with the float network"
    text = (
        environment(PACKAGE, autoescape=True)
        .get_template("front.html.j2")
        .render(
            what=what,
            front=front_table(points, what),
            points=len(points),
            lacks=lacks,
            chart=as_script(front_chart(points, what)),
            made_by=f"cascade-toolflow {__version__}",
            style=package_text("report.css"),
            script=package_text("report.js"),
            licences=package_text("vega_licences.txt"),
            vega=vega_script(),
        )
    )
    write_if_changed(path, text)


def front_table(points: Sequence[FrontPoint], what: str) -> Table:
    """Return the points on the front, the fastest first."""
    table = new_table("Pareto front", "network", "board", f"{what}>", "images/s>", "latency, ms>", "batch>", "area>")
    for point in sorted(points, key=lambda point: -point.images_per_second):
        if point.on_front:
            speed, latency = f"{point.images_per_second:,.0f}", f"{point.latency_ms:.3g}"
            accuracy, area = percent(point.accuracy), f"{point.area:.0%}"
            table.add_row(point.network, point.board, accuracy, speed, latency, str(point.batch), area)
    return table


def front_chart(points: Sequence[FrontPoint], what: str) -> Spec:
    """Images/s against accuracy of every engine; those on the front are filled, and larger where the area is."""
    names = ("network", "board", "accuracy", "images_per_second", "latency_ms", "area", "on_front")
    values = [{name: getattr(point, name) for name in names} for point in points]
    return chart(
        360,
        data={"values": values},
        mark={"type": "point", "strokeWidth": 1.5},
        encoding={
            "x": {
                "field": "images_per_second", "type": "quantitative", "title": "images/s", "scale": {"type": "log"},
            },
            "y": {
                "field": "accuracy", "type": "quantitative", "title": what, "scale": {"zero": False},
                "axis": {"format": "%"},
            },
            "color": {"field": "board", "type": "nominal", "title": "board"},
            "fill": {
                "condition": {"test": "datum.on_front", "field": "board", "type": "nominal", "legend": None},
                "value": "transparent",
            },
            "size": {
                "field": "area", "type": "quantitative", "title": "area, share of the board",
                "scale": {"domain": [0, 1], "range": [20, 260]}, "legend": {"format": "%", "values": [0.25, 1]},
            },
            "tooltip": [
                {"field": "network"},
                {"field": "board"},
                {"field": "accuracy", "format": ".2%"},
                {"field": "images_per_second", "format": ",.0f", "title": "images/s"},
                {"field": "latency_ms", "format": ".3~g", "title": "latency, ms"},
                {"field": "area", "format": ".0%"},
            ],
        },
    )  # fmt: skip
