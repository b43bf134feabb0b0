"""The stage that finds the cascade's rule, and tries it on held-out images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quant.cascade.artefacts import save_artefact
from quant.cascade.calibrate import CalibrationOptions, calibrate
from quant.cascade.measure import evaluate_cascade
from toolflow.flow.events import Progress
from toolflow.flow.graphs import Images, held_out_logits, load_graph
from toolflow.flow.project import CALIBRATION, CURVE, REPORT
from toolflow.interpreter.run import logits_of
from toolflow.report.from_artefacts import cascade_section
from toolflow.report.plot import plot_cascade


def calibrate_stage(tolerance: float) -> Callable[[Path, Progress], None]:
    """Return the stage that writes the cascade's rule, and its report on held-out images."""

    def make(folder: Path, progress: Progress) -> None:
        data = Images.read(folder)
        low, high = (load_graph(folder, name) for name in ("low", "high"))
        progress.expect(2 * len(data.split.rule))
        of_low, of_high = (logits_of(graph, data.part("rule"), progress.advance) for graph in (low, high))
        scale = low.types[low.output].scale
        found = calibrate(of_low, of_high, data.labels_of("rule"), scale, CalibrationOptions(tolerance))
        report = evaluate_cascade(
            found,
            held_out_logits(folder, "low"),
            held_out_logits(folder, "high"),
            data.labels_of("held_out"),
            data.float_classes[data.split.held_out],
        )
        save_artefact(found, folder / CALIBRATION)
        save_artefact(report, folder / REPORT)
        plot_cascade(cascade_section(found, report), folder / CURVE)

    return make
