"""The same as `test_simulated_levels.py`, for engine shapes with tiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_sim.simulate.runner import Dut
from tests.conformance.bench import SIMULATED_LEVELS, check_shape
from tests.conformance.engine_shapes import TILE
from tests.conformance.part import Part


@pytest.mark.parametrize("dut", SIMULATED_LEVELS)
@pytest.mark.parametrize("shape", TILE)
def test_engine_equals_executor(shape: str, dut: Dut, simulators: Path, request: pytest.FixtureRequest) -> None:
    part = Part(SIMULATED_LEVELS[dut], shape)
    part.cases += check_shape(shape, dut, simulators)
    part.end(request)
