"""The memory depths and register ranges that a schedule needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from toolflow.engine.config import EngineConfig, deepest_memories
from toolflow.engine.places import BankPlace
from toolflow.engine.steps import Compute, Fill, SetStripes, Spill, Step
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.requantise import Int64Array
from toolflow.numerics.types import smallest_signed_bits
from toolflow.plan.schedule.schedule import Schedule, make_schedule


def fit_depths(graph: QuantisedGraph, config: EngineConfig) -> EngineConfig:
    """Return `config` with every depth and the accumulator width just large enough for `graph`.

    Raises:
        ToolflowError: the graph holds something that no depth of this engine runs.
    """
    return fitted(make_schedule(graph, config)).config


def fitted(schedule: Schedule) -> Schedule:
    """Return the schedule on the engine with depths and accumulator width just large enough for it.

    Raises:
        DoesNotFitError: a memory would be deeper than an engine's can be.
    """
    found, graph, config = needs(schedule), schedule.graph, schedule.config
    deepest = deepest_memories()
    beyond = [f"{name} of {n:,} (at most {deepest[name]:,})" for name, n in found.items() if n > deepest.get(name, n)]
    if beyond:
        raise DoesNotFitError(
            f"'{graph.name}' ({graph.variant}) fits no engine: with words of {config.sub_row} channels it needs "
            f"{' and '.join(beyond)}: take smaller images or a smaller network"
        )
    return replace(schedule, config=config.fitted(found))


def check_fit(schedule: Schedule) -> None:
    """Refuse an engine that is too small for a schedule.

    Raises:
        DoesNotFitError: every shortage is named with its amounts.
    """
    config, graph = schedule.config, schedule.graph
    shortages = [
        f"{name} must be at least {needed}, not {getattr(config, name)}"
        for name, needed in needs(schedule).items()
        if needed > getattr(config, name)
    ]
    if shortages:
        raise DoesNotFitError(f"'{graph.name}' ({graph.variant}) does not fit the engine: {'; '.join(shortages)}")


def needs(schedule: Schedule) -> Mapping[str, int]:
    """Return the least that each fitted parameter of the engine must be, by name."""
    computes, image = schedule.computes, schedule.load.image
    overrun = max((step.overrun(schedule.config) for step in computes), default=0)
    return {
        "bank_depth": max(max(place.end for step in schedule.steps for place in _in_banks(step)) + overrun, 1),
        "weight_depth": max(step.kept_rows for step in computes),
        "result_depth": schedule.results.source.values,
        "input_lanes": min(image.pixel_bytes, schedule.config.sub_row),
        "table_words": image.words,
        "accumulator_bits": max(8, *(step.accumulator_bits for step in computes)),
        "bias_bits": max(8, *(bias_bits(step.rule.bias) for step in computes)),
        "transform_depth": max(1, *(step.transformed_words for step in computes)),
        "external_maps": any(isinstance(step, Fill | Spill) for step in schedule.steps),
    }


def bias_bits(bias: Int64Array) -> int:
    """Return the width that holds every bias (K,), two's complement."""
    return smallest_signed_bits(int(bias.min(initial=0)), int(bias.max(initial=0)))


def _in_banks(step: Step) -> Iterator[BankPlace]:
    """Yield the places in the banks of what a step reads and writes."""
    if isinstance(step, SetStripes):
        return
    if isinstance(step.source, BankPlace):
        yield step.source
    if isinstance(step.out, BankPlace):
        yield step.out
    if isinstance(step, Compute) and step.residual is not None:
        yield step.residual.source
