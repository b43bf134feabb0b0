"""The stage that chooses the engines and decides whether a cascade pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quant.cascade.artefacts import Calibration
from quant.cascade.decide import Decision, UnitCycles, decide
from quant.cascade.thresholds import ThresholdTable, threshold_table
from toolflow.flow.events import Progress
from toolflow.flow.graphs import Images, held_out_logits, load_graph
from toolflow.flow.project import CALIBRATION, DECISION, PLAN, read_report
from toolflow.flow.records import DecisionRecord, PlannedClock, PlannedUnit, PlanRecord
from toolflow.flow.request import Request, Units
from toolflow.flow.stages.stage import Stage
from toolflow.ir.artefacts import load_record, save_record
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.graph import Graph
from toolflow.ir.unit import DesignKind, UnitName, VariantName
from toolflow.plan.boards.board import Board, board_source
from toolflow.plan.explore.choose import Candidate, best_pair, best_single, bounds, require_room, timed_engines
from toolflow.plan.explore.objective import Objective
from toolflow.plan.explore.shapes import engine_tile

Designed = dict[UnitName, tuple[VariantName, Candidate]]  # the units of a design, with their networks


def require_room_for_one(
    graph: Graph, board: Board, least_bits: Mapping[VariantName, int], fixed: Mapping[str, int | str], dense: bool
) -> None:
    """Refuse a network that the board has room for in no variant, by the layers' sizes alone.

    Args:
        graph: the float network.
        board: that it is to run on.
        least_bits: of any inner layer, by variant; the high one comes last.
        fixed: engine parameters that the user fixes.
        dense: no weights are left out.

    Raises:
        DoesNotFitError: says what is short for the last variant.
    """
    from quant.post_training.outline import outline

    refused = None
    for bits in least_bits.values():
        try:
            require_room(outline(graph, bits), bits, fixed, board, f"the network at {bits} bits", dense)
        except DoesNotFitError as error:
            refused = error
        else:
            return
    if refused is not None:
        raise refused


def plan(folder: Path, request: Request, progress: Progress) -> None:
    """Write plan.json, and decision.json if there are two variants."""
    bits = {name: request.bits(name) for name in request.variants}
    graphs = {name: load_graph(folder, name) for name in bits}
    board = request.board_to_build().with_tile(engine_tile(graphs.values(), request.engine))
    timed = {
        name: timed_engines(
            graphs[name], bits[name], request.engine, board, progress.advance, batch=request.objective.batch
        )
        for name in bits
    }
    if VariantName.LOW not in timed:
        single = best_single(timed[VariantName.HIGH], board, f"the network at {bits[VariantName.HIGH]} bits")
        _write_plan(folder, request, board, {UnitName.SINGLE: (VariantName.HIGH, single)})
        return
    decision, units = _decided(folder, timed, board, request.units is Units.CASCADE, request.objective)
    if UnitName.LOW in units:
        low, high = (units[name][1].cycles_per_image for name in (UnitName.LOW, UnitName.HIGH))
        table = _thresholds(folder, low, high, board, request.objective)
        decision = decision.model_copy(update={"thresholds": table})
    save_record(DecisionRecord(**dict(decision)), folder / DECISION)
    _write_plan(folder, request, board, units)


def _inputs(request: Request) -> dict[str, Any]:
    return {
        "board": board_source(str(request.board)),
        "engine": dict(request.engine),
        "clock": request.clock,
        "objective": asdict(request.objective),
        "units": request.units,
        "variants": request.variants,
        "tolerance": request.tolerance,
    }


STAGE: Stage[Request] = Stage(
    "plan",
    plan,
    outputs=lambda request: (PLAN, DECISION) if VariantName.LOW in request.variants else (PLAN,),
    inputs=_inputs,
    after=("quantise", "calibrate"),
)


def _decided(
    folder: Path, timed: Mapping[VariantName, list[Candidate]], board: Board, cascade: bool, objective: Objective
) -> tuple[Decision, Designed]:
    """Compare the designs that fit and return the decision and its units, by name, with their networks."""
    calibration = load_record(Calibration, folder / CALIBRATION)
    report = read_report(folder)
    share = calibration.measure.forwarded_interval[1]  # what more images may turn out to forward
    pair = best_pair(timed[VariantName.LOW], timed[VariantName.HIGH], board, share, objective)
    low, high = (_single(timed[name], board) for name in VariantName)
    if pair is None and high is None and low is None:
        best_single(timed[VariantName.HIGH], board, "the high-precision network")  # raises with the shortage
    decision = decide(
        calibration,
        report,
        UnitCycles(
            single_high=None if high is None else high.cycles_per_image,
            single_low=None if low is None else low.cycles_per_image,
            resident=None if pair is None else (pair[0].cycles_per_image, pair[1].cycles_per_image),
        ),
        objective,
    )
    if cascade and pair is None:
        raise DoesNotFitError(f"no pair of units fits {board.name}; without --cascade: {decision.reason}")
    if cascade and not decision.cascade_pays:
        decision = _asked_for(decision, (*calibration.warnings, *report.warnings))
    if (decision.cascade_pays or cascade) and pair is not None:
        return decision, {UnitName.LOW: (VariantName.LOW, pair[0]), UnitName.HIGH: (VariantName.HIGH, pair[1])}
    if decision.choice is DesignKind.SINGLE_LOW and low is not None:
        return decision, {UnitName.SINGLE: (VariantName.LOW, low)}
    return decision, {
        UnitName.SINGLE: (VariantName.HIGH, best_single(timed[VariantName.HIGH], board, "the high-precision network"))
    }


def _asked_for(decision: Decision, warnings: tuple[str, ...]) -> Decision:
    """Return the decision for a pair although a single unit would be faster, its figures those of the pair."""
    pair = decision.alternative(DesignKind.RESIDENT_PAIR)
    if pair is None:
        raise ValueError("the pair that was asked for must be among the designs that fit")
    cycles, fastest = pair.cycles_per_image, decision.speedup
    return decision.model_copy(
        update={
            "choice": DesignKind.RESIDENT_PAIR,
            "warnings": warnings,
            "cycles_per_image": cycles,
            "speedup": None if fastest is None else fastest * decision.cycles_per_image / cycles,
            "reason": f"both units, as requested; {decision.reason}",
        }
    )


def _thresholds(folder: Path, low: float, high: float, board: Board, objective: Objective) -> ThresholdTable:
    """Return the table of thresholds of a pair, from the cycles per image of both units."""
    data = Images.read(folder)
    return threshold_table(
        load_record(Calibration, folder / CALIBRATION).rule,
        held_out_logits(folder, VariantName.LOW),
        held_out_logits(folder, VariantName.HIGH),
        data.labels_of(data.split.held_out),
        lambda share: board.clock_mhz * 1e6 / objective.pair_cycles(low, high, share),
    )


def _single(timed: list[Candidate], board: Board) -> Candidate | None:
    fitting = [c for c in timed if not c.resources.over(board.usable)]
    return best_single(fitting, board, "") if fitting else None


def _write_plan(
    folder: Path, request: Request, board: Board, units: Mapping[UnitName, tuple[VariantName, Candidate]]
) -> None:
    planned = {
        name: PlannedUnit(
            engine=candidate.config,
            graph=graph,
            cycles_per_image=candidate.cycles_per_image,
            resources=candidate.resources.by_name(),
        )
        for name, (graph, candidate) in units.items()
    }
    plan = PlanRecord(
        board=str(request.board),
        clock=PlannedClock(mhz=board.clock_mhz, basis=board.clock_basis, path=board.clock_path),
        goal=request.objective.goal,
        batch=request.objective.batch,
        units=planned,
        bound=bounds([candidate for _, candidate in units.values()], board),
    )
    save_record(plan, folder / PLAN)
