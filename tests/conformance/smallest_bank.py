"""The fewest words of the banks on which a network runs: what makes bands of rows of small networks."""

from __future__ import annotations

from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.schedule.schedule import make_schedule


def smallest_bank(graph: QuantisedGraph, engine: EngineConfig) -> int:
    """Return the fewest words of the banks on which a network runs."""
    low, high = 0, engine.bank_depth
    while high - low > 1:
        middle = (low + high) // 2
        try:
            make_schedule(graph, engine, middle)
            high = middle
        except DoesNotFitError:
            low = middle
    return high
