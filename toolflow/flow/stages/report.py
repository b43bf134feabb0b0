"""The stage that writes summary.json and report.html from the artefacts of the others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quant.cascade.artefacts import Measure
from toolflow import __version__
from toolflow.engine.cycles import predict
from toolflow.flow.events import Progress
from toolflow.flow.graphs import Images, held_out_logits
from toolflow.flow.manifest import content_digest
from toolflow.flow.page import write_project_page
from toolflow.flow.project import (
    QUANTISED,
    SUMMARY,
    BinaryPaths,
    Project,
    open_project,
    read_decision,
    read_quantised,
    read_report,
)
from toolflow.flow.records import QuantiseRecord
from toolflow.flow.request import Request
from toolflow.flow.source import Source
from toolflow.flow.stages.stage import Stage
from toolflow.ir.artefacts import save_record
from toolflow.ir.store import digest
from toolflow.ir.unit import UnitName
from toolflow.plan.schedule.schedule import schedule_of
from toolflow.report.from_artefacts import (
    cascade_section,
    installed_versions,
    layer_sections,
    resources_section,
    run_section,
)
from toolflow.report.page.page import PAGE
from toolflow.report.summary import Board as BoardSection
from toolflow.report.summary import LevelAccuracy, Model, Run, Summary, Unit, Variant


def report(folder: Path, request: Request, _progress: Progress) -> None:
    """Write summary.json and report.html."""
    source = request.source
    project = open_project(folder)
    quantised, decision = read_quantised(folder), read_decision(folder)
    data = Images.read(folder)
    units = tuple(_unit(project, name) for name in project.plan.units)
    cascade = None
    if project.calibration is not None:
        cascade = cascade_section(project.calibration, read_report(folder))
    share = decision.forwarded_share if decision is not None and cascade is not None else 0.0
    cycles = cycles_per_image(project, units, share)
    summary = Summary(
        made_by=f"cascade-toolflow {__version__}",
        versions=dict(installed_versions()),
        hashes=_hashes(source, folder),
        model=_model(source, quantised, project),
        board=_board(project),
        variants=tuple(_variant(project, quantised, name) for name in project.plan.units),
        accuracy=_accuracies(project, quantised, data, folder),
        cascade=cascade,
        decision=decision,
        units=units,
        objective=project.plan.goal,
        batch=project.plan.batch,
        cycles_per_image=cycles,
        images_per_second=project.board.clock_mhz * 1e6 / cycles,
        warnings=quantised.warnings,
        notes=_notes(project, quantised),
    )
    save_record(summary, folder / SUMMARY)
    write_project_page(project, summary)


STAGE: Stage[Request] = Stage(
    "report",
    report,
    outputs=lambda _: (SUMMARY, PAGE),
    inputs=lambda request: {"model": request.source.model},
    after=("quantise", "calibrate", "plan", "emit"),
)


def _unit(project: Project, name: UnitName) -> Unit:
    planned = project.plan.units[name]
    config = project.plan.seen(name)
    schedule = schedule_of(project.graph(planned.graph), config)
    runs: list[Run] = []
    for images in project.plan.objective.batches(config.lanes_p):
        report = predict(config, schedule.steps, images)
        runs.append(run_section(report, config.multipliers, project.board.clock_mhz))
    files = BinaryPaths.of(project.folder, name)
    program, weights = files.program.read_bytes(), files.weights.read_bytes()
    return Unit(
        unit=name,
        engine=config.built,
        signature=f"{config.signature:016x}",
        multipliers=config.multipliers,
        program_sha256=hashlib.sha256(program).hexdigest(),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        program_bytes=len(program),
        weight_bytes=len(weights),
        runs=tuple(runs),
        predicted=resources_section(planned.amounts),
    )


def cycles_per_image(project: Project, units: Sequence[Unit], forwarded_share: float) -> float:
    """Return the design's cycles per image at the batch planned for, counted if they were simulated.

    Where the board's memory bounds a unit, its
    planned cycles count, as the simulated memory is faster.
    """
    found = {}
    for unit in units:
        planned, run = project.plan.units[unit.unit].cycles_per_image, unit.runs[-1]
        bounded_by_memory = planned > run.predicted_cycles / run.images
        found[unit.unit] = max(planned, run.cycles / run.images) if bounded_by_memory else run.cycles / run.images
    if UnitName.LOW not in found:
        return found[UnitName.SINGLE]
    return project.plan.cycles_per_image(found[UnitName.LOW], found[UnitName.HIGH], forwarded_share)


def _model(source: Source, quantised: QuantiseRecord, project: Project) -> Model:
    name, planned = next(iter(project.plan.units.items()))
    schedule = schedule_of(project.graph(planned.graph), project.plan.seen(name))
    return Model(
        name=quantised.name,
        source=source.model,
        sha256=_file_hash(source.weights),
        input_shape=quantised.input_shape,
        classes=schedule.results.source.values,
        binary=quantised.binary,
        parameters=quantised.parameters,
        macs=sum(step.direct_macs for step in schedule.computes),
        pruning=quantised.pruning,
    )


def _board(project: Project) -> BoardSection:
    board = project.board
    return BoardSection(
        name=board.name,
        part=board.part,
        clock_mhz=board.clock_mhz,
        clock_basis=board.clock_basis,
        sustained_bytes_per_s=board.sustained_bytes_per_s,
        usable=resources_section(board.usable),
    )


def _variant(project: Project, quantised: QuantiseRecord, unit: UnitName) -> Variant:
    planned = project.plan.units[unit]
    made = quantised.variants[planned.graph]
    config = made.config
    graph, engine = project.graph(planned.graph), project.plan.seen(unit)
    return Variant(
        unit=unit,
        weight_bits=config.weight_bits,
        activation_bits=config.activation_bits,
        first_last_bits=config.first_last_bits,
        overrides=config.overrides,
        family=config.family,
        sha256=digest(graph),
        layers=layer_sections(graph, engine, schedule_of(graph, engine).computes),
        search=made.search,
        finetuned=made.finetuned,
    )


def _accuracies(project: Project, quantised: QuantiseRecord, data: Images, folder: Path) -> tuple[LevelAccuracy, ...]:
    """Accuracy on held-out images: float, Brevitas, reference, and the cascade."""
    held_out = data.split.held_out
    images, labels, floats = data.images[held_out], data.labels_of(held_out), data.float_classes[held_out]
    truth = floats if labels is None else labels
    labelled = labels is not None
    rows = []
    if labels is not None and not quantised.is_taken_over:
        share = float((floats == labels).mean())
        rows.append(LevelAccuracy(level="float", unit="model", images=len(images), accuracy=share, labelled=True))
    for unit, planned in project.plan.units.items():
        brevitas = quantised.variants[planned.graph].brevitas
        if brevitas.accuracy is not None:
            rows.append(
                LevelAccuracy(
                    level="brevitas", unit=unit, images=brevitas.images, accuracy=brevitas.accuracy, labelled=True
                )
            )
        klass = held_out_logits(folder, planned.graph).argmax(axis=1)
        right = float(np.mean(klass == truth))
        rows.append(LevelAccuracy(level="reference", unit=unit, images=len(images), accuracy=right, labelled=labelled))
    if UnitName.LOW in project.plan.units:
        measure: Measure = read_report(folder).measure
        rows.append(
            LevelAccuracy(
                level="reference",
                unit="cascade",
                images=measure.images,
                accuracy=measure.cascade_accuracy,
                labelled=measure.labelled,
            )
        )
    return tuple(rows)


def _notes(project: Project, quantised: QuantiseRecord) -> tuple[str, ...]:
    notes = [f"bounds: {project.plan.bound}"]
    notes += quantised.notes
    for planned in project.plan.units.values():
        notes += quantised.variants[planned.graph].notes
    return tuple(dict.fromkeys(notes))


def _hashes(source: Source, folder: Path) -> dict[str, str]:
    paths = {"weights": source.weights, "calibration": source.calibration, "pruned": source.pruned}
    hashes = {name: _file_hash(path) for name, path in paths.items() if path is not None}
    return {**hashes, "graphs": _file_hash(folder / QUANTISED)}


def _file_hash(path: Path | None) -> str:
    return "" if path is None else content_digest(path)
