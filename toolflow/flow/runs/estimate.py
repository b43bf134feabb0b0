"""Predict the speed and resources of quantised networks or of a project on a board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from quant.cascade.artefacts import Calibration
from rtl_sim.timing.report import unit_timing
from toolflow.engine.config import EngineConfig
from toolflow.flow.engine_parameters import require_engine
from toolflow.flow.events import SILENT, Events, Progress
from toolflow.flow.graphs import load_graph
from toolflow.flow.project import (
    CALIBRATION,
    DECISION,
    PLAN,
    QUANTISED,
    REPORT,
    Project,
    open_project,
    read_quantised,
    read_report,
)
from toolflow.flow.records import DecisionRecord
from toolflow.flow.values import as_path, as_share, as_whole, require_board_name
from toolflow.ir.artefacts import load_record
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.unit import DesignKind, VariantName
from toolflow.plan.boards.board import CLOCK_GIVEN, MAX_CLOCK_MHZ, Board, load_board
from toolflow.plan.explore.choose import Candidate, best_pair, best_single, bounds, timed_engines
from toolflow.plan.explore.estimate import estimate as predict
from toolflow.plan.explore.morphing import MorphingRequest, morphing_if_any
from toolflow.plan.explore.objective import Goal, Objective, in_turn_cycles
from toolflow.plan.explore.shapes import engine_tile
from toolflow.plan.resources.count import ResourceCount
from toolflow.report.designs import Design, Estimate, UnitEstimate
from toolflow.report.from_artefacts import run_section

_ALONE = {VariantName.LOW: DesignKind.SINGLE_LOW, VariantName.HIGH: DesignKind.SINGLE_HIGH}


def estimate(
    folder: str | Path,
    board: str | Path | None = None,
    engine: Mapping[str, int | str] | None = None,
    objective: Objective | Goal | None = None,
    batch: int | None = None,
    forwarded_share: float | None = None,
    events: Events = SILENT,
    clock: int | None = None,
    netlist: bool = False,
) -> Estimate:
    """Predict cycles of each layer, utilisation, resources and bottlenecks.

    For a build without another board, engine, objective or share, the engines of the build are estimated. Otherwise the
    best engines are searched for each quantised network alone and, if the forwarded share is known, for both together.

    Args:
        folder: a folder that `quantise` or `build` made.
        board: a board's name or file; None for the build's.
        engine: fixed parameters of every unit's engine.
        objective: the objective of the search, or its goal alone; None for the build's, or throughput.
        batch: images of a start; None for those of the objective.
        forwarded_share: share of images that the low unit forwards; None for the build's.
        events: receives notes and progress.
        clock: the clock in MHz; None for the build's, the board's own, or the estimate.
        netlist: whether to synthesise each engine with pyosys, for the longest path of its own netlist: minutes.

    Raises:
        ToolflowError: the folder holds no quantised networks, no board is known, or timing cannot be estimated.
        DoesNotFitError: no engine fits the board.
    """
    folder = as_path("folder", folder)
    require_engine({} if engine is None else engine)
    require_board_name(board)
    if forwarded_share is not None:
        as_share("--forwarded", forwarded_share)
    if objective is not None and not isinstance(objective, Objective):
        objective = Objective.of(objective, None)
    if batch is not None:
        as_whole("--batch", batch, 1)
    if clock is not None:
        as_whole("--clock", clock, 1, MAX_CLOCK_MHZ)
    with events.progress("open the project"):
        built = open_project(folder) if (folder / PLAN).exists() else None
    if not (folder / QUANTISED).exists():
        raise ToolflowError(f"{folder} was not made by 'toolflow quantise' or 'toolflow build'")
    if board is None and built is None:
        raise ToolflowError(f"--board must be given: {folder} holds no plan for a board")
    target = built.board if built is not None and board is None else load_board(str(board))
    if clock is not None:
        target = target.at_clock(clock, CLOCK_GIVEN)
    own = Objective() if built is None else built.plan.objective
    if objective is not None:
        own = objective
    wanted = own if batch is None else Objective(own.goal, batch)
    if built is not None and board is None and not engine and forwarded_share is None and objective is None:
        designs = [_as_built(built, target, wanted)]
    else:
        bits = {name: variant.config.weight_bits for name, variant in read_quantised(folder).variants.items()}
        graphs = {name: load_graph(folder, name) for name in bits}
        target = target.with_tile(engine_tile(graphs.values(), engine or {}))
        with events.progress(f"search engines for {target.name}") as progress:
            timed = {
                name: timed_engines(graph, bits[name], engine or {}, target, progress.advance, batch=wanted.batch)
                for name, graph in graphs.items()
            }
            designs = _best(folder, graphs, bits, engine or {}, timed, target, wanted, forwarded_share, progress)
    if netlist:
        designs = [_with_paths(design, target, events) for design in designs]
    return Estimate(target, tuple(designs))


def _with_paths(design: Design, board: Board, events: Events) -> Design:
    """Return a design with the longest path of each engine's own netlist."""
    units = []
    for unit in design.units:
        with events.progress(f"synthesise the engine of {design.name}: {unit.unit}"):
            units.append(replace(unit, timing=unit_timing(unit.config, board.family, board.part)))
    return replace(design, units=tuple(units))


def _as_built(project: Project, board: Board, objective: Objective) -> Design:
    units = tuple(
        _unit(name, project.graph(unit.graph), project.plan.seen(name), unit.amounts, board, objective)
        for name, unit in project.plan.units.items()
    )
    share = None
    if len(units) > 1:
        share = load_record(DecisionRecord, project.folder / DECISION).forwarded_share
    cycles = _cycles(units, share, objective, project.plan.is_morphing)
    return Design(None, share, units, cycles, project.plan.bound)


def _best(
    folder: Path,
    graphs: Mapping[VariantName, QuantisedGraph],
    bits: Mapping[VariantName, int],
    engine: Mapping[str, int | str],
    timed: Mapping[VariantName, list[Candidate]],
    board: Board,
    objective: Objective,
    forwarded_share: float | None,
    progress: Progress,
) -> list[Design]:
    """Return the fastest design of every kind that fits; report what the others lack."""
    designs: list[Design] = []
    refused: list[DoesNotFitError] = []
    for name, found in timed.items():
        try:
            best = best_single(found, board, f"the {name}-precision network alone")
        except DoesNotFitError as error:
            refused.append(error)
            continue
        unit = _unit(name, graphs[name], best.config, best.resources, board, objective)
        designs.append(Design(_ALONE[name], None, (unit,), unit.cycles_per_image, bounds([best], board)))
    if not designs:
        raise refused[-1]
    for shortage in refused:
        progress.note(str(shortage))
    shares = _shares(folder, forwarded_share)
    if shares is None or len(timed) < 2:
        return designs
    share, planned_share = shares
    low, high = VariantName.LOW, VariantName.HIGH
    two_programs = MorphingRequest(
        graphs[low], graphs[high], bits[low], bits[high], planned_share, engine, objective.batch
    )
    pairs = {
        DesignKind.RESIDENT_PAIR: best_pair(timed[low], timed[high], board, planned_share, objective),
        DesignKind.MORPHING_PAIR: morphing_if_any(two_programs, board),
    }
    for kind, pair in pairs.items():
        if pair is None:
            continue
        units = tuple(
            _unit(name, graphs[name], found.config, found.resources, board, objective)
            for name, found in zip(VariantName, pair, strict=True)
        )
        cycles = _cycles(units, share, objective, kind is DesignKind.MORPHING_PAIR)
        designs.append(Design(kind, share, units, cycles, bounds(pair, board)))
    if not any(pairs.values()):
        progress.note(f"no pair of units fits {board.name}")
    return designs


def _shares(folder: Path, given: float | None) -> tuple[float, float] | None:
    """Return the forwarded share to report and the one to plan with, None if neither is known."""
    if given is not None:
        return given, given
    if not (folder / REPORT).exists():
        return None
    calibration = load_record(Calibration, folder / CALIBRATION)
    return read_report(folder).measure.forwarded_share, calibration.measure.forwarded_interval[1]  # as a build plans


def _cycles(units: Sequence[UnitEstimate], forwarded_share: float | None, objective: Objective, in_turn: bool) -> float:
    """Return the expected cycles an image of one unit, or of a pair, whose units may run in turn."""
    first, *second = (unit.cycles_per_image for unit in units)
    if forwarded_share is None:
        return first
    return (in_turn_cycles if in_turn else objective.pair_cycles)(first, second[0], forwarded_share)


def _unit(
    name: str, graph: QuantisedGraph, config: EngineConfig, amounts: ResourceCount, board: Board, objective: Objective
) -> UnitEstimate:
    batches = objective.batches(config.lanes_p) if objective.batch is None else (objective.batch,)
    reports = [predict(graph, config, images)[1] for images in batches]
    runs = tuple(run_section(report, config.multipliers, board.clock_mhz) for report in reports)
    return UnitEstimate(name, config.built, runs, amounts, reports[-1].cycles_per_image)
