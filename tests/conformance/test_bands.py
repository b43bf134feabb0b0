"""Networks on engines whose banks do not hold their maps: in bands of rows, every map equals the reference."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.cases import cases_of
from tests.conformance.engine_shapes import SHAPES
from tests.conformance.matrix import Network, compare, networks
from tests.conformance.part import Part
from tests.conformance.smallest_bank import smallest_bank
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.engine.steps import Fill, Load, Spill
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.schedule.needs import fit_depths, needs
from toolflow.plan.schedule.schedule import Schedule, make_schedule

SHORT = ("odd", "tile_4_slots", "narrow")  # whole words, tiles and slots, digits


def execute_on(engine: EngineConfig) -> Callable[[CompiledProgram, bytes, int], bytes]:
    def execute(compiled: CompiledProgram, images: bytes, count: int) -> bytes:
        return run_program(engine.built, compiled.program, compiled.weights, images, count)

    return execute


def depths_of(network: Network, engine: EngineConfig) -> list[EngineConfig]:
    """Return the engine with the smallest banks, and with banks between them and those that hold all maps."""
    fitted = fit_depths(network.graph, engine)
    least = smallest_bank(network.graph, fitted)
    depths = {least, (2 * least + fitted.bank_depth) // 3, (least + 2 * fitted.bank_depth) // 3} - {fitted.bank_depth}
    return [fitted.fitted({"bank_depth": depth, "external_maps": True}) for depth in sorted(depths)]


@pytest.mark.parametrize(
    "shape",
    [*SHORT, *(pytest.param(s, marks=pytest.mark.long) for s in SHAPES if s not in SHORT)],
)
def test_bands_equal_reference(shape: str, request: pytest.FixtureRequest) -> None:
    part, engine = Part("bands", shape), SHAPES[shape].precisions[-1]
    moved = 0
    for network in networks(shape, engine, ((case, "random") for case in cases_of(engine))):
        for small in depths_of(network, engine):
            with part.cell(network.case, f"banks of {small.bank_depth}"):
                schedule = make_schedule(network.graph, small, small.bank_depth)
                assert needs(schedule)["bank_depth"] <= small.bank_depth
                moved += movers(schedule) > 1
                compare(network, small, execute_on(small))
    part.end(request)
    assert moved > 100


def movers(schedule: Schedule) -> int:
    return sum(isinstance(step, Load | Fill | Spill) for step in schedule.steps)
