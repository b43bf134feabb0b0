"""The stage that chooses the cascade's rule and measures it on held-out images."""

from __future__ import annotations

from pathlib import Path

from quant.cascade.calibrate import CalibrationOptions, calibrate
from quant.cascade.measure import evaluate_cascade
from toolflow.flow.events import Progress
from toolflow.flow.graphs import Images, held_out_logits, load_graph
from toolflow.flow.project import CALIBRATION, CURVE, REPORT
from toolflow.flow.request import Request
from toolflow.flow.stages.stage import Stage
from toolflow.interpreter.run import logits_of
from toolflow.ir.artefacts import save_record
from toolflow.ir.unit import VariantName
from toolflow.report.from_artefacts import cascade_section
from toolflow.report.plot import plot_cascade


def calibrate_cascade(folder: Path, request: Request, progress: Progress) -> None:
    """Write the cascade's rule, its report on held-out images, and its curve."""
    data = Images.read(folder)
    low, high = (load_graph(folder, name) for name in VariantName)
    progress.expect(2 * len(data.split.rule))
    of_low, of_high = (logits_of(graph, data.images[data.split.rule], progress.advance) for graph in (low, high))
    scale = low.types[low.output].scale
    found = calibrate(of_low, of_high, data.labels_of(data.split.rule), scale, CalibrationOptions(request.tolerance))
    report = evaluate_cascade(
        found,
        held_out_logits(folder, VariantName.LOW),
        held_out_logits(folder, VariantName.HIGH),
        data.labels_of(data.split.held_out),
        data.float_classes[data.split.held_out],
    )
    save_record(found, folder / CALIBRATION)
    save_record(report, folder / REPORT)
    plot_cascade(cascade_section(found, report), folder / CURVE)


STAGE: Stage[Request] = Stage(
    "calibrate",
    calibrate_cascade,
    outputs=lambda _: (CALIBRATION, REPORT, CURVE),
    inputs=lambda request: {"tolerance": request.tolerance},
    after=("quantise",),
    wanted=lambda request: VariantName.LOW in request.variants,
)
