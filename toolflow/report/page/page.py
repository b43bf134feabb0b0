"""Write `report.html` from a summary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolflow.emit.render import environment, resource, write_if_changed
from toolflow.ir.unit import UnitName
from toolflow.report.page.charts import BOUNDS, charts
from toolflow.report.page.content import (
    ROW_HEIGHT,
    drawn_network,
    figures,
    form_table,
    interval_table,
    next_commands,
    split_warnings,
    verdict,
)
from toolflow.report.page.network import NetworkNode
from toolflow.report.page.vega import vega_script
from toolflow.report.summary import Summary, Variant
from toolflow.report.table import Table
from toolflow.report.tables import (
    cascade_table,
    decision_table,
    percent,
    remarks,
    resource_table,
    rule_sentence,
    speed_table,
    threshold_table,
    threshold_text,
)
from toolflow.report.verdicts import verdict_table

PAGE = "report.html"
PACKAGE = "toolflow.report.page"


def write_page(summary: Summary, networks: Mapping[UnitName, Sequence[NetworkNode]], flow: str, path: Path) -> None:
    """Write the page of a project.

    Args:
        summary: every figure of the page.
        networks: the nodes of each unit's network (`network.network_nodes`).
        flow: of the board, "zynq" or "nextpnr": which commands come next.
        path: of the page.

    Raises:
        ToolflowError: the page cannot be written.
    """
    write_if_changed(path, page_text(summary, networks, flow, vega_script()))


def page_text(summary: Summary, networks: Mapping[UnitName, Sequence[NetworkNode]], flow: str, vega: str) -> str:
    """Return the page.

    Args:
        summary: every figure of the page.
        networks: the nodes of each unit's network.
        flow: of the board.
        vega: the script that draws the charts.
    """
    variants = {variant.unit: variant for variant in summary.variants}
    warnings, notes = split_warnings(remarks(summary))
    state, sentence = verdict(summary)
    units = [unit for unit in summary.units if unit.runs]
    drawn = [drawn_network(unit, variants[unit.unit], networks[unit.unit]) for unit in units]
    bounds = set[str]().union(*(network.bounds for network in drawn))
    template = environment(PACKAGE, autoescape=True).get_template("report.html.j2")
    return template.render(
        summary=summary,
        title=f"{summary.model.name} on {summary.board.name}",
        state=state,
        verdict=sentence,
        figures=figures(summary),
        warnings=dict.fromkeys(warnings),
        notes=dict.fromkeys(notes),
        networks=drawn,
        network_bounds=[(name, text) for name, text in BOUNDS.items() if name in bounds],
        row_height=ROW_HEIGHT,
        bounds=BOUNDS,
        rule=None if summary.cascade is None else rule_sentence(summary.cascade),
        thresholds=_thresholds(summary),
        tables=_tables(summary, variants),
        layers={unit.unit: form_table(unit, variants[unit.unit]) for unit in units},
        charts={name: as_script(spec) for name, spec in charts(summary).items()},
        commands=next_commands(summary, flow),
        style=package_text("report.css"),
        script=package_text("report.js"),
        licences=package_text("vega_licences.txt"),
        vega=vega,
        percent=percent,
        json=as_script,
    )


def _tables(summary: Summary, variants: Mapping[UnitName, Variant]) -> dict[str, Table]:
    """Return the tables of the terminal that the page shows, by section."""
    found = {
        "accuracy": interval_table(summary),
        "speed": speed_table(summary),
        "resources": resource_table(summary),
        "verification": verdict_table(summary.verification, summary.verification),
    }
    if summary.cascade is not None:
        found["cascade"] = cascade_table(summary.cascade, built=len(summary.units) > 1)
    if summary.decision is not None:
        found["designs"] = decision_table(summary.decision, summary.board.clock_mhz)
        if summary.decision.thresholds is not None:
            found["thresholds"] = threshold_table(summary.decision.thresholds)
    return found


def _thresholds(summary: Summary) -> list[dict[str, object]]:
    """Return what the slider reads off at each of its places."""
    if summary.decision is None or summary.decision.thresholds is None:
        return []
    return [
        {
            "threshold": threshold_text(row.threshold),
            "forwarded": percent(row.forwarded_share),
            "accuracy": percent(row.accuracy),
            "speed": f"{row.images_per_second:,.0f}",
            "chosen": row.chosen,
        }
        for row in summary.decision.thresholds.rows
    ]


def as_script(value: object) -> str:
    """Return JSON that may stand in a script element."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def package_text(name: str) -> str:
    """Return a file that lies beside the templates."""
    return resource(PACKAGE, name).read_text(encoding="utf-8")
