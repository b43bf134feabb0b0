"""Estimate the cycles of an engine for a network without packing weights, for the planner and for `estimate`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from toolflow.engine.config import EngineConfig, deepest_memories
from toolflow.engine.cycles import CycleReport, predict
from toolflow.engine.isa import Opcode
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards.board import Board
from toolflow.plan.explore.objective import THROUGHPUT
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.estimate import estimate_resources, read_split_amounts
from toolflow.plan.schedule.needs import fitted
from toolflow.plan.schedule.schedule import Schedule, Scheduler, make_schedule


def estimate(graph: QuantisedGraph, shape: EngineConfig, images: int) -> tuple[EngineConfig, CycleReport]:
    """Return `shape` with the depths that the network needs, and the predicted cycles of `images` images.

    Raises:
        ToolflowError: the network holds something that no such engine runs.
    """
    schedule = fitted(make_schedule(graph, shape))
    return schedule.config, predict(schedule.config, schedule.steps, images)


def amounts_on(config: EngineConfig, board: Board) -> ResourceCount:
    """Return what an engine takes on a board, with what divides its reads between two memory ports."""
    amounts = estimate_resources(config.built, board.family).total
    return amounts + read_split_amounts(config.bus_bits) if config.bus_bits > board.axi_data_bits else amounts


def schedule_on(graph: QuantisedGraph, shape: EngineConfig, board: Board) -> Schedule:
    """Return the schedule of a network on a shape with the depths that it needs.

    All maps lie in the banks if the board has room for them, otherwise as many as the shape's `bank_depth` holds.

    Raises:
        DoesNotFitError: these banks do not hold a band of one layer, or another memory would be too deep.
        ToolflowError: the network holds something that no such engine runs.
    """
    scheduler = Scheduler(graph, shape)
    if scheduler.words <= deepest_memories()["bank_depth"]:
        whole = fitted(scheduler.schedule(None))
        if scheduler.words <= shape.bank_depth or not amounts_on(whole.config, board).over(board.usable):
            return whole
    return fitted(scheduler.schedule(shape.bank_depth))


@dataclass(frozen=True)
class LayerCycles:
    """Predicted cycles of an image with every lane busy, for each layer of the array and for everything else.

    Attributes:
        engine: cycles of the engine for each layer.
        memory: cycles of the external memory for each layer's weights, at the board's sustained bandwidth.
        engine_rest: engine cycles of no layer: movers and starts.
        memory_rest: memory cycles of no layer: images and results.
    """

    engine: Mapping[str, float]
    memory: Mapping[str, float]
    engine_rest: float
    memory_rest: float


def layer_cycles(graph: QuantisedGraph, shape: EngineConfig, board: Board) -> LayerCycles | None:
    """Return the cycles of a network's layers on an engine with the depths that it needs.

    Return None if the engine cannot run the network, or would be too large for the board.
    """
    try:
        schedule = schedule_on(graph, shape, board)
    except DoesNotFitError:
        return None
    config = schedule.config
    if amounts_on(config, board).over(board.usable):
        return None
    report = predict(config, schedule.steps, THROUGHPUT.images(config.lanes_p))
    engine: dict[str, float] = defaultdict(float)  # of all bands of a layer
    memory: dict[str, float] = defaultdict(float)
    for i in report.instructions:
        if i.opcode is Opcode.CONV:
            engine[i.name] += i.cycles / schedule.images_of_pass
    per_cycle = board.sustained_bytes_per_cycle
    for step in schedule.computes:
        memory[step.name] += step.weight_bytes(config) / (schedule.images_of_pass * per_cycle)
    moved = (schedule.moved_bytes + schedule.results.out.pitch_bytes) / per_cycle
    return LayerCycles(engine, memory, report.cycles_per_image - sum(engine.values()), moved)
