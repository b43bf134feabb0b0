"""Plot the accuracy of a cascade against the forwarded share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quant.cascade.artefacts import Measure
from toolflow.report.summary import Cascade

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_cascade(cascade: Cascade, path: Path) -> None:
    """Draw every threshold of the rule as a curve, and mark the one chosen; the file's ending gives its format.

    Heights are differences to the high-precision unit on the same images, so that two sets of images share one line.
    """
    from matplotlib import rc_context  # slow to load

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "cascade"}):  # text as text, the same file each time
        figure = drawn(cascade)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def drawn(cascade: Cascade) -> Figure:
    """Return the picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    found = cascade.calibration
    share = [100 * point.forwarded_share for point in cascade.curve]
    given_up = [100 * (point.accuracy - found.high_accuracy) for point in cascade.curve]
    axes.plot(share, given_up, label=f"gBvSB<{cascade.m},{cascade.n}>, calibration images")
    axes.axhline(0, linestyle="--", color="grey", label="high-precision unit alone, same images")
    axes.axhline(-100 * cascade.tolerance, linestyle=":", color="grey", label="tolerance")
    marked = [("calibration", found, "o"), *([("held out", cascade.held_out, "s")] if cascade.held_out else [])]
    for name, measure, marker in marked:
        lower, upper = measure.loss_interval
        axes.errorbar(
            100 * measure.forwarded_share,
            -100 * measure.loss,
            yerr=[[100 * (upper - measure.loss)], [100 * (measure.loss - lower)]],
            fmt=marker,
            capsize=3,
            label=f"chosen, {name}: {_of_the_high_unit(measure)}, {measure.images:,} images",
        )
    axes.set_xlabel("images forwarded to the high-precision unit, %")
    what = "accuracy" if found.labelled else "agreement"
    axes.set_ylabel(f"{what} gained (lost below 0), points")
    axes.legend(fontsize="small")
    return figure


def _of_the_high_unit(measure: Measure) -> str:
    """Return both accuracies, which the heights leave out."""
    return f"{100 * measure.cascade_accuracy:.2f} % of {100 * measure.high_accuracy:.2f} %"
