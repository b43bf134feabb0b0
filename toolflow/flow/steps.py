"""The stages as functions on typed objects, for scripts and notebooks: `import toolflow` gives them.

    import toolflow

    network = toolflow.load("resnet20.onnx", "cifar.npz")
    quantised = toolflow.quantise(network, "build/resnet20", low_bits=4)
    planned = toolflow.plan(toolflow.calibrate(quantised, tolerance=0.005), "zcu104")
    project = toolflow.emit(planned)
    toolflow.verify(project, levels=("program", "hls"))
    toolflow.report(project)

Each function runs the stages of `toolflow.flow.build` up to its own, in one folder; what has not changed is reused. An
object holds the request so far, reads its figures from the folder, and shows itself in Jupyter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from toolflow.flow.events import SILENT, Events
from toolflow.flow.precision import Precision
from toolflow.flow.project import CALIBRATION, PLAN, SUMMARY, read_decision, read_report
from toolflow.flow.records import DecisionRecord, PlanRecord
from toolflow.flow.request import Request, Units
from toolflow.flow.runs.build import build, build_through
from toolflow.flow.runs.check import ModelCheck, check
from toolflow.flow.runs.quantise import Quantised, measured
from toolflow.flow.runs.report import report as write_report
from toolflow.flow.runs.verify import Verification
from toolflow.flow.runs.verify import verify as run_levels
from toolflow.flow.source import Source
from toolflow.flow.values import as_path, require_kind
from toolflow.ir.artefacts import load_record
from toolflow.plan.explore.objective import Goal, Objective
from toolflow.report.page.notebook import object_html
from toolflow.report.summary import Cascade, Summary, read_summary
from toolflow.report.table import Table, new_table
from toolflow.report.tables import cascade_table, decision_table, percent, summary_tables, threshold_table
from toolflow.report.verdicts import verdict_tables


@dataclass(frozen=True)
class Network:
    """A model that was imported, with its images.

    Attributes:
        source: where both come from.
        nodes: what becomes of each node.
    """

    source: Source
    nodes: ModelCheck

    def _repr_html_(self) -> str:
        table = new_table("", "node", "operator", "", "how, or why not")
        for node in self.nodes.nodes:
            table.add_row(node.node, node.operator, node.status.value, node.reason)
        shape = " × ".join(map(str, self.nodes.input_shape))
        return object_html(f"{self.nodes.model}: input {shape}", [f"images: {self.source.calibration}"], [table])


@dataclass(frozen=True)
class QuantisedNetwork:
    """The integers of each variant.

    Attributes:
        request: what was asked so far.
        folder: holds `graphs/`.
    """

    request: Request
    folder: Path

    @cached_property
    def figures(self) -> Quantised:
        """Each variant's accuracy on held-out images, and the record of the quantisation."""
        return measured(self.folder)

    def _repr_html_(self) -> str:
        found = self.figures
        table = new_table("", "network", "weights / activations>", "accuracy>" if found.labelled else "agreement>")
        table.add_row("float", "", percent(found.float_accuracy))
        for name, variant in found.record.variants.items():
            widths = f"{variant.config.weight_bits} / {variant.config.activation_bits} bits"
            table.add_row(name, widths, percent(found.accuracy[name]))
        return object_html(f"{found.record.name}: {found.images:,} held-out images", found.record.warnings, [table])


@dataclass(frozen=True)
class CalibratedNetwork:
    """A quantised network with the cascade's rule.

    Attributes:
        request, folder: as in `QuantisedNetwork`; the folder also holds `calibration.json` and `cascade.json`.
    """

    request: Request
    folder: Path

    @cached_property
    def cascade(self) -> Cascade | None:
        """The rule, on the images that chose it and on others; None for a network of one variant."""
        from quant.cascade.artefacts import Calibration
        from toolflow.report.from_artefacts import cascade_section

        path = self.folder / CALIBRATION
        return cascade_section(load_record(Calibration, path), read_report(self.folder)) if path.exists() else None

    def _repr_html_(self) -> str:
        if self.cascade is None:
            return object_html("one variant: there is no cascade to calibrate", (), ())
        return object_html("calibrated cascade", self.cascade.warnings, [cascade_table(self.cascade)])


@dataclass(frozen=True)
class PlannedDesign:
    """The engines of a design.

    Attributes:
        request, folder: as in `QuantisedNetwork`; the folder also holds `plan.json` and `decision.json`.
    """

    request: Request
    folder: Path

    @cached_property
    def record(self) -> PlanRecord:
        """The engines, their predicted cycles and resources."""
        return load_record(PlanRecord, self.folder / PLAN)

    @cached_property
    def decision(self) -> DecisionRecord | None:
        """The designs that were compared; None for a network of one variant."""
        return read_decision(self.folder)

    def _repr_html_(self) -> str:
        table = new_table("engines", "unit", "lanes_k × lanes_p × slots>", "cycles/image>", "LUTs>", "DSPs>")
        for name, unit in self.record.units.items():
            engine, amounts = unit.engine, unit.amounts
            shape = f"{engine.lanes_k} × {engine.lanes_p} × {engine.slots}"
            cells = (f"{value:,.0f}" for value in (unit.cycles_per_image, amounts.luts, amounts.dsps))
            table.add_row(name, shape, *cells)
        shown: list[Table | str] = [table]
        sentences = [f"bounds: {self.record.bound}"]
        if self.decision is not None:
            sentences.insert(0, f"{self.decision.choice}: {self.decision.reason}")
            clock = self.record.clock.mhz if self.record.clock else self.request.board_to_build().clock_mhz
            shown.append(decision_table(self.decision, clock))
            if self.decision.thresholds is not None:
                shown.append(threshold_table(self.decision.thresholds))
        return object_html(f"design for {self.record.board}", sentences, shown)


@dataclass(frozen=True)
class BuiltProject:
    """A project: sources, binaries, scripts and host code.

    Attributes:
        folder: of the project.
    """

    folder: Path

    @property
    def summary(self) -> Summary:
        """Every figure, as the folder has it now."""
        return read_summary(self.folder / SUMMARY)

    def _repr_html_(self) -> str:
        summary = self.summary
        return object_html(f"{summary.model.name} on {summary.board.name}", [str(self.folder)], summary_tables(summary))


@dataclass(frozen=True)
class Verdicts:
    """What the levels found.

    Attributes:
        verification: the verdicts of this run, and those of earlier runs that still hold.
    """

    verification: Verification

    @property
    def equal(self) -> bool:
        """Whether every level that was asked for ran and equals the reference."""
        return all(check.equal for check in self.verification.checks) and not self.verification.not_run

    def _repr_html_(self) -> str:
        return object_html("verification", (), verdict_tables(self.verification.summary, self.verification.checks))


@dataclass(frozen=True)
class Report:
    """The page of a project.

    Attributes:
        path: of `report.html`.
    """

    path: Path

    def _repr_html_(self) -> str:
        return f'<a href="{escape(str(self.path))}" target="_blank">{escape(str(self.path))}</a>'


def load(
    model: str | Path,
    images: str | Path,
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int, int, int] | None = None,
    output: str | None = None,
    events: Events = SILENT,
    **normalisation: Any,
) -> Network:
    """Import a model.

    Args:
        model: an ONNX file, or a PyTorch module: "package.module:factory" or "file.py:factory".
        images: a folder of JPEG or PNG files with a subfolder for each class, or an `.npz` of `x` and labels `y`.
        weights: state dict of a PyTorch module.
        input_shape: (C, H, W), or None if the model or the images say it.
        output: which of the model's outputs, None if it has one.
        events: receives progress.
        **normalisation: `mean`, `std`, `pixel_scale` and `reverse_channels` of `Source`.

    Raises:
        ToolflowError: the model cannot be imported, or a node of it does not run on the engine.
    """
    source = Source(str(model), as_path("images", images), weights, input_shape, output, **normalisation)  # type: ignore[arg-type]  # checked there
    nodes = check(source.model, source.weights, source.input_shape, output, events)
    nodes.require_supported()
    return Network(source, nodes)


def quantise(
    network: Network,
    out: str | Path,
    *,
    units: Units | str = Units.FASTEST,
    request: Mapping[str, Any] | None = None,
    events: Events = SILENT,
    **precision: Any,
) -> QuantisedNetwork:
    """Quantise a network to its variants.

    Args:
        network: what `load` returned.
        out: the folder of this and of all later stages; an earlier build there is replaced.
        units: "fastest" or "cascade" for two variants, "single" for the high-precision one alone.
        request: further fields of `Request`: `search_loss`, `finetuning`, or the `board` that a search saves cycles on.
        events: receives notes and progress.
        **precision: fields of `Precision`, for example `low_bits=4`.

    Raises:
        ToolflowError: the request cannot be met, or `out` holds something else.
    """
    require_kind("network", network, Network)
    asked = Request(network.source, Precision(**precision), units=Units(units), **(request or {}))
    folder = as_path("out", out)
    build_through("quantise", asked, folder, events)
    return QuantisedNetwork(asked, folder)


def calibrate(quantised: QuantisedNetwork, *, tolerance: float = 0.01, events: Events = SILENT) -> CalibratedNetwork:
    """Choose the cascade's rule, and measure it on held-out images; nothing to do for one variant.

    Args:
        quantised: what `quantise` returned.
        tolerance: accuracy that the cascade may lose: 0.01 is one point.
        events: receives notes and progress.

    Raises:
        ToolflowError: a value is out of its range.
    """
    require_kind("quantised", quantised, QuantisedNetwork)
    asked = replace(quantised.request, tolerance=tolerance)
    build_through("calibrate", asked, quantised.folder, events)
    return CalibratedNetwork(asked, quantised.folder)


def plan(
    calibrated: CalibratedNetwork,
    board: str | Path,
    *,
    engine: Mapping[str, int | str] | None = None,
    objective: Objective | Goal = "throughput",
    clock: int | None = None,
    events: Events = SILENT,
) -> PlannedDesign:
    """Choose the engines for a board, and decide whether the cascade pays.

    Args:
        calibrated: what `calibrate` returned.
        board: name or file of the board.
        engine: fixed parameters of every unit's engine.
        objective: what the engines are chosen for, or its goal alone.
        clock: in MHz; None for the board's own, or the estimate.
        events: receives notes and progress.

    Raises:
        ToolflowError: a value is wrong.
        DoesNotFitError: the board is too small.
    """
    require_kind("calibrated", calibrated, CalibratedNetwork)
    goal = objective if isinstance(objective, Objective) else Objective.of(objective, None)
    asked = replace(calibrated.request, board=board, engine=dict(engine or {}), objective=goal, clock=clock)
    build_through("plan", asked, calibrated.folder, events)
    return PlannedDesign(asked, calibrated.folder)


def emit(planned: PlannedDesign, *, events: Events = SILENT) -> BuiltProject:
    """Write the project of a design: binaries, HLS C++, SystemVerilog, scripts, host code, summary and report.

    Raises:
        ToolflowError: the project cannot be written.
    """
    require_kind("planned", planned, PlannedDesign)
    build(planned.request, planned.folder, events)
    return BuiltProject(planned.folder)


def verify(
    project: BuiltProject | str | Path,
    levels: Sequence[str] | None = None,
    *,
    images: int | None = None,
    seed: int = 1,
    events: Events = SILENT,
) -> Verdicts:
    """Run a project on levels, and compare each integer with the reference.

    Args:
        project: what `emit` returned, or the folder of a project.
        levels: names of levels; None for all.
        images: number of the project's images for each level; None for 16.
        seed: of the random pauses of the benches.
        events: receives notes and progress.

    Raises:
        ToolflowError: the folder is no complete build, or a file of it is damaged.
    """
    return Verdicts(run_levels(_folder(project), levels, images, seed, events))


def report(project: BuiltProject | str | Path, *, events: Events = SILENT) -> Report:
    """Write `report.html` of a project, and return where it is.

    Raises:
        ToolflowError: the folder is no complete build, or a file of it is damaged.
    """
    return Report(write_report(_folder(project), events))


def _folder(project: BuiltProject | str | Path) -> Path:
    return project.folder if isinstance(project, BuiltProject) else as_path("project", project)
