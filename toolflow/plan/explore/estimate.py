"""What an engine would take for a network, without packing a single weight: for planners and for `estimate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import CycleReport, predict
from toolflow.engine.isa import Opcode
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards.board import Board
from toolflow.plan.explore.demand import weight_bytes
from toolflow.plan.lower.lower import Lowering, fit_depths
from toolflow.plan.resources.estimate import estimate_resources


def estimate(graph: QuantisedGraph, shape: EngineConfig, images: int) -> tuple[EngineConfig, CycleReport]:
    """Return `shape` with the depths that the network needs, and the predicted cycles of `images` images.

    Raises:
        ToolflowError: the network holds something that no such engine runs.
    """
    config = fit_depths(graph, shape)
    lowering = Lowering(graph, config)
    header, instructions = lowering.outline()
    return config, predict(config, header, instructions, lowering.macs(), images)


@dataclass(frozen=True)
class LayerCycles:
    """Predicted cycles of an image, every lane busy, by layer that the array computes, and of everything else.

    Attributes:
        engine: that the engine works; movers and starts are the rest.
        memory: that the external memory works, at the bandwidth that the board sustains: weights; images and results
            are the rest.
        engine_rest, memory_rest: of no layer.
    """

    engine: Mapping[str, float]
    memory: Mapping[str, float]
    engine_rest: float
    memory_rest: float


def layer_cycles(graph: QuantisedGraph, shape: EngineConfig, board: Board) -> LayerCycles | None:
    """Return the cycles of a network's layers on an engine with the depths that it needs.

    None where that engine cannot run it, or is then too large for the board.
    """
    try:
        config = fit_depths(graph, shape)
    except DoesNotFitError:
        return None
    if estimate_resources(config, board.family).total.over(board.usable):
        return None
    lowering = Lowering(graph, config)
    header, instructions = lowering.outline()
    report = predict(config, header, instructions, lowering.macs(), config.lanes_p)
    engine = {i.name: i.cycles / report.images for i in report.instructions if i.opcode is Opcode.CONV}
    per_cycle = board.sustained_bytes_per_cycle
    memory = {
        i.name: weight_bytes(config, [i]) / (report.images * per_cycle) for i in instructions if i.opcode is Opcode.CONV
    }
    moved = (header.image_pitch_bytes + header.result_pitch_bytes) / per_cycle
    return LayerCycles(engine, memory, report.cycles_per_image - sum(engine.values()), moved)
