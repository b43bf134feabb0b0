"""The charts of the page as Vega-Lite specifications. Colours are CSS variables: one chart suits both themes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from quant.cascade.thresholds import ThresholdRow
from toolflow.report.page.roofline import Roofline, roofline_of
from toolflow.report.summary import Cascade, Run, Summary
from toolflow.report.tables import RESOURCE_NAMES, threshold_text

Spec = dict[str, Any]

BOUNDS = {
    "array": "the multipliers compute in every cycle",
    "drain": "requantisation and writing take longer than the products",
    "transform": "the input transform of the Winograd tiles takes longer than the products",
    "weights": "the array waits for weights from memory",
    "memory": "images or maps are moved",
    "control": "start, decoding and results",
}

_UNIT_COLOURS = {"low": "var(--low)", "high": "var(--high)", "single": "var(--high)"}
_BOUND_SCALE = {"domain": list(BOUNDS), "range": [f"var(--{name})" for name in BOUNDS]}
_ROW = 22  # pixels of a bar's row
_CONFIG: Spec = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "titleFontWeight": "normal",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelLimit": 160,
    },
    "legend": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "orient": "top",
        "direction": "vertical",  # two entries below each other fit a narrow screen
    },
    "text": {"color": "var(--ink)", "fontSize": 12},
}


def charts(summary: Summary) -> dict[str, Spec]:
    """Return the specifications by the name of their place on the page."""
    found = {"accuracy": accuracy_chart(summary), "resources": resource_chart(summary)}
    if summary.cascade is not None:
        found["cascade"] = cascade_chart(summary, summary.cascade)
    for unit in summary.units:
        if not unit.runs:
            continue
        found[f"cycles-{unit.unit}"] = cycle_chart(unit.runs[-1])
        variant = next(each for each in summary.variants if each.unit == unit.unit)
        roofline = roofline_of(unit, variant, summary.board)
        if roofline is not None:
            found[f"roofline-{unit.unit}"] = roofline_chart(roofline)
    return found


def chart(height: int, **parts: Any) -> Spec:
    """Return a chart as wide as its place, its plot so many pixels high."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "height": height,  # of the plot alone; a step for each row would be fitted to the place too, with a warning
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": _CONFIG,
        **parts,
    }


def accuracy_chart(summary: Summary) -> Spec:
    """Each level's accuracy, with the interval that its number of images allows."""
    rows = [
        {
            "name": f"{row.unit}, {row.level}",
            "unit": row.unit,
            "accuracy": row.accuracy,
            "lower": row.interval[0],
            "upper": row.interval[1],
            "images": row.images,
        }
        for row in summary.accuracy
    ]
    axis = {"format": "%", "title": "accuracy, with its 95 % interval", "tickCount": 8}
    colour = {
        "field": "unit", "type": "nominal", "legend": None,
        "scale": {
            "domain": ["model", "cascade", "low", "high", "single"],
            "range": ["var(--muted)", "var(--accent)", *_UNIT_COLOURS.values()],
        },
    }  # fmt: skip
    y = {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 190}}
    tooltip = [
        {"field": "name", "title": "network, level"},
        {"field": "accuracy", "format": ".2%"},
        {"field": "lower", "format": ".2%"},
        {"field": "upper", "format": ".2%"},
        {"field": "images", "format": ","},
    ]
    return chart(
        _ROW * len(rows),
        data={"values": rows},
        encoding={"y": y, "color": colour, "tooltip": tooltip},
        layer=[
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.55},
                "encoding": {
                    "x": {
                        "field": "lower",
                        "type": "quantitative",
                        "axis": axis,
                        "scale": {"zero": False, "nice": True},
                    },
                    "x2": {"field": "upper"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {"x": {"field": "accuracy", "type": "quantitative"}},
            },
        ],
    )


def cascade_chart(summary: Summary, cascade: Cascade) -> Spec:
    """Accuracy against forwarded share; the parameter `at` is the row of the threshold that the slider shows."""
    x = {
        "field": "share", "type": "quantitative", "axis": {"format": "%", "title": "images forwarded", "tickCount": 6},
        "scale": {"domain": [0, 1]},
    }  # fmt: skip
    y = {
        "field": "accuracy",
        "type": "quantitative",
        "axis": {
            "format": ".1%",
            "title": "accuracy" if cascade.calibration.labelled else "agreement with the high unit",
            "tickCount": 6,
        },
        "scale": {"zero": False},
    }
    colour = {
        "field": "images", "type": "nominal", "title": None,
        "scale": {"domain": ["held-out images", "calibration images"], "range": ["var(--accent)", "var(--muted)"]},
    }  # fmt: skip
    calibration = [
        {"share": point.forwarded_share, "accuracy": point.accuracy, "images": "calibration images"}
        for point in cascade.curve
    ]
    layers: list[Spec] = [
        _limits(cascade, y),
        {
            "data": {"values": calibration},
            "mark": {"type": "line", "opacity": 0.7, "strokeWidth": 1.5},
            "encoding": {"x": x, "y": y, "color": colour},
        },
    ]
    table = None if summary.decision is None else summary.decision.thresholds
    rows = table.rows if table else ()
    if not rows:
        return chart(280, layer=layers)
    start = next((index for index, row in enumerate(rows) if row.chosen), 0)
    return chart(280, params=[{"name": "at", "value": start}], layer=layers + _thresholds(rows, x, y, colour))


def _limits(cascade: Cascade, y: Spec) -> Spec:
    """Rules at the accuracy of the high unit alone, and at the least that the tolerance allows."""
    measure = cascade.held_out or cascade.calibration
    rules = [
        {"accuracy": measure.high_accuracy, "what": "high unit alone"},
        {"accuracy": measure.high_accuracy - cascade.tolerance, "what": "tolerance"},
    ]
    dash = {
        "field": "what",
        "type": "nominal",
        "title": None,
        "scale": {"domain": ["high unit alone", "tolerance"], "range": [[6, 4], [2, 3]]},
    }
    return {
        "data": {"values": rules},
        "mark": {"type": "rule", "color": "var(--muted)"},
        "encoding": {"y": y, "strokeDash": dash},
    }


def _thresholds(rows: Sequence[ThresholdRow], x: Spec, y: Spec, colour: Spec) -> list[Spec]:
    """The line through the thresholds on held-out images, and a mark at the one that the slider shows."""
    held_out = [
        {
            "row": index,
            "share": row.forwarded_share,
            "accuracy": row.accuracy,
            "threshold": threshold_text(row.threshold),
            "speed": row.images_per_second,
            "images": "held-out images",
        }
        for index, row in enumerate(rows)
    ]
    tooltip = [
        {"field": "threshold"},
        {"field": "share", "format": ".2%", "title": "forwarded"},
        {"field": "accuracy", "format": ".2%"},
        {"field": "speed", "format": ",.0f", "title": "images/s"},
    ]
    return [
        {
            "data": {"values": held_out},
            "mark": {"type": "line", "point": {"filled": True, "size": 40, "color": "var(--accent)"}},
            "encoding": {"x": x, "y": y, "color": colour, "tooltip": tooltip},
        },
        {
            "data": {"values": held_out},
            "transform": [{"filter": "datum.row == at"}],
            "mark": {"type": "point", "size": 260, "strokeWidth": 3, "color": "var(--accent)"},
            "encoding": {"x": x, "y": y},
        },
    ]


def cycle_chart(run: Run) -> Spec:
    """Cycles of each instruction: a bar for the prediction, a tick for the simulation."""
    rows = [
        {
            "name": layer.name,
            "predicted": layer.predicted_cycles,
            "simulated": layer.simulated_cycles,
            "bound": layer.bound,
            "utilisation": layer.utilisation if layer.macs else None,
        }
        for layer in run.layers
    ]
    y = {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 150}}
    tooltip = [
        {"field": "name", "title": "instruction"},
        {"field": "predicted", "format": ",", "title": "predicted cycles"},
        {"field": "simulated", "format": ",", "title": "simulated cycles"},
        {"field": "bound", "title": "bound by"},
        {"field": "utilisation", "format": ".2%"},
    ]
    axis = {"title": "cycles", "format": "~s", "tickCount": 5}
    colour = {"field": "bound", "type": "nominal", "scale": _BOUND_SCALE, "legend": None}
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "height": {"band": 0.62}, "cornerRadiusEnd": 2},
            "encoding": {"x": {"field": "predicted", "type": "quantitative", "axis": axis}, "color": colour},
        }
    ]
    if any(layer.simulated_cycles is not None for layer in run.layers):
        tick = {"type": "tick", "thickness": 2, "color": "var(--ink)", "height": {"band": 0.9}}
        layers.append({"mark": tick, "encoding": {"x": {"field": "simulated", "type": "quantitative"}}})
    return chart(_ROW * len(rows), data={"values": rows}, encoding={"y": y, "tooltip": tooltip}, layer=layers)


def resource_chart(summary: Summary) -> Spec:
    """Each resource as a share of what the board lets a design use, the engines side by side in one bar."""
    usable = summary.board.usable
    rows = [
        {
            "resource": label,
            "unit": engine,
            "share": getattr(unit.predicted, name) / getattr(usable, name),
            "amount": getattr(unit.predicted, name),
            "usable": getattr(usable, name),
        }
        for name, label in RESOURCE_NAMES.items()
        if getattr(usable, name)
        for engine, unit in summary.engines.items()
    ]
    tooltip: list[Spec] = [
        {"field": "unit"},
        {"field": "resource"},
        {"field": "amount", "format": ",.0f"},
        {"field": "usable", "format": ",.0f"},
        {"field": "share", "format": ".1%", "title": "share of usable"},
    ]
    return chart(
        30 * len({row["resource"] for row in rows}),
        layer=[
            {
                "data": {"values": rows},
                "mark": {"type": "bar", "height": {"band": 0.6}},
                "encoding": {
                    "y": {"field": "resource", "type": "nominal", "sort": None, "title": None},
                    "x": {
                        "field": "share",
                        "type": "quantitative",
                        "axis": {"format": "%", "title": "share of what a design may use", "tickCount": 6},
                        "scale": {"domainMin": 0, "domainMax": 1.0 if _fits(rows) else None},
                    },
                    "color": {
                        "field": "unit",
                        "type": "nominal",
                        "title": None,
                        "scale": {
                            "domain": list(summary.engines),
                            "range": [_UNIT_COLOURS[unit.unit] for unit in summary.engines.values()],
                        },
                    },
                    "tooltip": tooltip,
                },
            },
            {
                "data": {"values": [{"share": 1}]},
                "mark": {"type": "rule", "color": "var(--muted)", "strokeDash": [3, 3]},
                "encoding": {"x": {"field": "share", "type": "quantitative"}},
            },
        ],
    )


def _fits(rows: list[Spec]) -> bool:
    """Return whether no resource needs more than there is."""
    total: dict[str, float] = {}
    for row in rows:
        total[row["resource"]] = total.get(row["resource"], 0.0) + row["share"]
    return max(total.values(), default=0.0) <= 1


def roofline_chart(roofline: Roofline) -> Spec:
    """Multiply-accumulates per cycle against those per byte of weights, on logarithmic axes."""
    x = _log("intensity", "MACs per byte of the weight stream", roofline.intensities)
    y = _log("rate", "MACs per cycle", roofline.rates)
    names = [name for name, _ in roofline.roofs]
    roofs = [
        {"intensity": intensity, "rate": rate, "roof": name}
        for name, ends in roofline.roofs
        for intensity, rate in ends
    ]
    dash = {
        "field": "roof",
        "type": "nominal",
        "title": None,
        "sort": None,
        "scale": {"domain": names, "range": [[5, 4], [1, 0]]},
        "legend": {"labelLimit": 300},
    }
    tooltip = [
        {"field": "name", "title": "layer"},
        {"field": "rate", "format": ",.1f", "title": "MACs per cycle"},
        {"field": "utilisation", "format": ".2%"},
        {"field": "cycles", "format": ","},
        {"field": "bound", "title": "bound by"},
    ]
    colour = {"field": "bound", "type": "nominal", "scale": _BOUND_SCALE, "legend": None}
    size = {"field": "cycles", "type": "quantitative", "legend": None, "scale": {"range": [40, 320]}}
    return chart(
        260,
        layer=[
            {
                "data": {"values": roofs},
                "mark": {"type": "line", "color": "var(--muted)"},
                "encoding": {"x": x, "y": y, "strokeDash": dash},
            },
            {
                "data": {"values": [asdict(point) for point in roofline.points]},
                "mark": {"type": "point", "filled": True, "opacity": 0.85},
                "encoding": {"x": x, "y": y, "color": colour, "size": size, "tooltip": tooltip},
            },
        ],
    )


def _log(field: str, title: str, domain: tuple[float, float]) -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "axis": {"title": title, "format": "~s", "tickCount": 6},
        "scale": {"type": "log", "domain": list(domain), "nice": False},
    }
