"""Accuracy against forwarded share, as a picture."""

from __future__ import annotations

from pathlib import Path

from toolflow.report.summary import Cascade


def plot_cascade(cascade: Cascade, path: Path) -> None:
    """Draw every threshold of the rule as a curve, and mark the one chosen; the file's ending gives its format."""
    from matplotlib import rc_context  # slow to load

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "cascade"}):  # text as text, the same file each time
        _draw(cascade, path)


def _draw(cascade: Cascade, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    share = [100 * point.forwarded_share for point in cascade.curve]
    right = [100 * point.accuracy for point in cascade.curve]
    axes.plot(share, right, label=f"gBvSB<{cascade.m},{cascade.n}>, calibration images")
    found = cascade.calibration
    axes.axhline(100 * found.high_accuracy, linestyle="--", color="grey", label="high-precision unit alone")
    allowed = 100 * (found.high_accuracy - cascade.tolerance)
    axes.axhline(allowed, linestyle=":", color="grey", label="tolerance")
    marked = [("calibration", found, "o"), *([("held out", cascade.held_out, "s")] if cascade.held_out else [])]
    for name, measure, marker in marked:
        axes.plot(100 * measure.forwarded_share, 100 * measure.cascade_accuracy, marker, label=f"chosen, {name}")
    axes.set_xlabel("images forwarded to the high-precision unit, %")
    axes.set_ylabel("accuracy, %" if found.labelled else "agreement with the high-precision unit, %")
    axes.legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
