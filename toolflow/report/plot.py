"""Accuracy against forwarded share, as a picture; matplotlib is imported only here and only when asked for."""

from __future__ import annotations

from pathlib import Path

from toolflow.ir.errors import ToolflowError
from toolflow.report.summary import Cascade


def plot_cascade(cascade: Cascade, path: Path) -> None:
    """Draw every threshold of the rule as a curve, and mark the one chosen; the file's ending gives its format.

    Raises:
        ToolflowError: matplotlib is not installed, or the ending is not one that it writes.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolflowError(
            "a plot needs matplotlib, which is not installed: pip install 'cascade-toolflow[plot]'"
        ) from error
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
    try:
        figure.savefig(path)
    except ValueError as error:
        raise ToolflowError(f"{path} must end like an image file, for example .png or .svg: {error}") from error
