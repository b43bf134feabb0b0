"""What an engine would take for a network, without packing a single weight: for planners and for `estimate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import CycleReport, predict
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards import Board
from toolflow.plan.lower import Lowering, fit_depths
from toolflow.plan.resources import estimate_resources


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
    """Predicted cycles of an image, every lane busy.

    Attributes:
        layers: by layer that the array computes.
        rest: of everything else, movers and starts.
    """

    layers: Mapping[str, float]
    rest: float


def layer_cycles(graph: QuantisedGraph, shape: EngineConfig, board: Board) -> LayerCycles | None:
    """Return the cycles of a network's layers on an engine with the depths that it needs.

    None where that engine cannot run it, or is then too large for the board.
    """
    try:
        config, report = estimate(graph, shape, shape.lanes_p)
    except DoesNotFitError:
        return None
    if estimate_resources(config, board.family).total.over(board.usable):
        return None
    layers = {i.name: i.cycles / report.images for i in report.instructions if i.macs}
    return LayerCycles(layers, report.cycles_per_image - sum(layers.values()))
