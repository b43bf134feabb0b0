"""The stage that chooses the engines and decides whether a cascade pays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quant.cascade.artefacts import Calibration
from quant.cascade.decide import Decision, UnitCycles, decide
from quant.cascade.thresholds import ThresholdTable, threshold_table
from toolflow.flow.events import Progress
from toolflow.flow.graphs import Images, held_out_logits, load_graph
from toolflow.flow.project import CALIBRATION, DECISION, PLAN, read_quantised, read_report
from toolflow.flow.records import DecisionRecord, PlannedClock, PlannedUnit, PlanRecord
from toolflow.flow.request import Request, Units
from toolflow.flow.stages.stage import Stage
from toolflow.ir.artefacts import load_record, save_record
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.unit import DesignKind, UnitName, VariantName
from toolflow.plan.boards.board import Board, board_source
from toolflow.plan.explore.choose import Candidate, best_pair, best_single, bounds, require_room, timed_engines
from toolflow.plan.explore.morphing import MorphingRequest, Pair, best_morphing, morphing_if_any
from toolflow.plan.explore.objective import Objective
from toolflow.plan.explore.shapes import engine_tile

Designed = dict[UnitName, tuple[VariantName, Candidate]]  # the units of a design, with their networks
# What of the designs that fit is built; otherwise the fastest.
_ASKED_FOR = {
    Units.CASCADE: (DesignKind.RESIDENT_PAIR, DesignKind.MORPHING_PAIR),
    Units.MORPHING: (DesignKind.MORPHING_PAIR,),
}


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
    bits = _bits(folder, request)
    graphs = {name: load_graph(folder, name) for name in bits}
    board = request.board_to_build().with_tile(engine_tile(graphs.values(), request.engine))
    alone, batch = len(bits) == 1, request.objective.batch
    timed = {
        name: timed_engines(graphs[name], bits[name], request.engine, board, progress.advance, alone, batch)
        for name in bits
    }
    if VariantName.LOW not in timed:
        single = best_single(timed[VariantName.HIGH], board, f"the network at {bits[VariantName.HIGH]} bits")
        _write_plan(folder, request, board, {UnitName.SINGLE: (VariantName.HIGH, single)}, timed[VariantName.HIGH])
        return
    calibration = load_record(Calibration, folder / CALIBRATION)
    share = calibration.measure.forwarded_interval[1]  # what more images may turn out to forward
    morphing = _morphing(request, graphs, bits, board, share, progress)
    designs = _designs(timed, board, share, request.objective, morphing)
    decision = _decided(folder, calibration, designs, board, request)
    units = designs[decision.choice]
    record = _write_plan(folder, request, board, units)
    if UnitName.LOW in units:
        low, high = (units[name][1].cycles_per_image for name in (UnitName.LOW, UnitName.HIGH))
        table = _thresholds(folder, board, lambda share: record.cycles_per_image(low, high, share))
        decision = decision.model_copy(update={"thresholds": table})
    save_record(DecisionRecord(**dict(decision)), folder / DECISION)


def _bits(folder: Path, request: Request) -> dict[VariantName, int]:
    """Return the width of each variant's inner layers: as asked for, or as a quantised file has it."""
    if not request.source.is_quantised:
        return {name: request.bits(name) for name in request.variants}
    held = read_quantised(folder).variants
    return {name: max(held[name].config.weight_bits, held[name].config.activation_bits) for name in request.variants}


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


def _morphing(
    request: Request,
    graphs: Mapping[VariantName, QuantisedGraph],
    bits: Mapping[VariantName, int],
    board: Board,
    share: float,
    progress: Progress,
) -> Pair | None:
    """Return the fastest engine with two precisions; None if there is none, unless the user asks for it."""
    low, high = VariantName.LOW, VariantName.HIGH
    wanted = MorphingRequest(
        graphs[low], graphs[high], bits[low], bits[high], share, request.engine, request.objective.batch
    )
    search = best_morphing if request.units is Units.MORPHING else morphing_if_any
    return search(wanted, board, progress.advance)


def _designs(
    timed: Mapping[VariantName, list[Candidate]],
    board: Board,
    share: float,
    objective: Objective,
    morphing: Pair | None,
) -> dict[DesignKind, Designed]:
    """Return the fastest design of every kind that fits: its units by name, with their networks."""
    resident = best_pair(timed[VariantName.LOW], timed[VariantName.HIGH], board, share, objective)
    designs: dict[DesignKind, Designed] = {}
    for kind, pair in ((DesignKind.RESIDENT_PAIR, resident), (DesignKind.MORPHING_PAIR, morphing)):
        if pair is not None:
            designs[kind] = {
                UnitName.LOW: (VariantName.LOW, pair[0]),
                UnitName.HIGH: (VariantName.HIGH, pair[1]),
            }
    for kind, name in ((DesignKind.SINGLE_LOW, VariantName.LOW), (DesignKind.SINGLE_HIGH, VariantName.HIGH)):
        if single := _single(timed[name], board):
            designs[kind] = {UnitName.SINGLE: (name, single)}
    if not designs:
        best_single(timed[VariantName.HIGH], board, "the high-precision network")  # raises with the shortage
    return designs


def _decided(
    folder: Path, calibration: Calibration, designs: Mapping[DesignKind, Designed], board: Board, request: Request
) -> Decision:
    """Compare the designs and return the fastest, or the fastest of those that the user asks for."""
    report = read_report(folder)
    cycles = {kind: [found.cycles_per_image for _, found in units.values()] for kind, units in designs.items()}
    resident, morphing = (cycles.get(kind) for kind in (DesignKind.RESIDENT_PAIR, DesignKind.MORPHING_PAIR))
    decision = decide(
        calibration,
        report,
        UnitCycles(
            single_high=cycles.get(DesignKind.SINGLE_HIGH, [None])[0],
            single_low=cycles.get(DesignKind.SINGLE_LOW, [None])[0],
            resident=None if resident is None else (resident[0], resident[1]),
            morphing=None if morphing is None else (morphing[0], morphing[1]),
        ),
        request.objective,
    )
    asked = _ASKED_FOR.get(request.units, ())
    if not asked or decision.choice in asked:
        return decision
    fitting = [each.design for each in decision.alternatives if each.design in asked]  # fastest first
    if not fitting:
        raise DoesNotFitError(f"no pair of units fits {board.name}; without --cascade: {decision.reason}")
    return _asked_for(decision, fitting[0], (*calibration.warnings, *report.warnings))


def _asked_for(decision: Decision, design: DesignKind, warnings: tuple[str, ...]) -> Decision:
    """Return the decision for a pair although another design would be faster, its figures those of the pair."""
    pair = decision.alternative(design)
    if pair is None:
        raise ValueError("the pair that was asked for must be among the designs that fit")
    cycles, fastest = pair.cycles_per_image, decision.speedup
    what = "one engine of two precisions" if design is DesignKind.MORPHING_PAIR else "both units"
    return decision.model_copy(
        update={
            "choice": design,
            "requested": True,
            "warnings": warnings,
            "cycles_per_image": cycles,
            "speedup": None if fastest is None else fastest * decision.cycles_per_image / cycles,
            "reason": f"{what}, as requested; {decision.reason}",
        }
    )


def _thresholds(folder: Path, board: Board, cycles_per_image: Callable[[float], float]) -> ThresholdTable:
    """Return the table of thresholds of a pair, from its cycles per image at a forwarded share."""
    data = Images.read(folder)
    return threshold_table(
        load_record(Calibration, folder / CALIBRATION).rule,
        held_out_logits(folder, VariantName.LOW),
        held_out_logits(folder, VariantName.HIGH),
        data.labels_of(data.split.held_out),
        lambda share: board.clock_mhz * 1e6 / cycles_per_image(share),
    )


def _single(timed: list[Candidate], board: Board) -> Candidate | None:
    fitting = [c for c in timed if not c.resources.over(board.usable)]
    return best_single(fitting, board, "") if fitting else None


def _write_plan(
    folder: Path,
    request: Request,
    board: Board,
    units: Mapping[UnitName, tuple[VariantName, Candidate]],
    timed: Sequence[Candidate] = (),
) -> PlanRecord:
    """Write plan.json and return it; `timed` are the engines that were compared, if there is one unit."""
    planned = {
        name: PlannedUnit(
            engine=candidate.config.built,
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
        bound=bounds([candidate for _, candidate in units.values()], board, timed),
    )
    save_record(plan, folder / PLAN)
    return plan
