"""What an engine would take for a network, without packing a single weight: for planners and for `estimate`."""

from __future__ import annotations

from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import CycleReport, predict
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.lower import Lowering, fit_depths


def estimate(graph: QuantisedGraph, shape: EngineConfig, images: int) -> tuple[EngineConfig, CycleReport]:
    """Return `shape` with the depths that the network needs, and the predicted cycles of `images` images.

    Raises:
        ToolflowError: the network holds something that no such engine runs.
    """
    config = fit_depths(graph, shape)
    lowering = Lowering(graph, config)
    header, instructions = lowering.outline()
    return config, predict(config, header, instructions, lowering.macs(), images)
