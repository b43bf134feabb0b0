"""Every engine shape without tiles, under the bench as RTL and as HLS C++, equals the executor in every byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_sim.simulate.runner import Dut
from tests.conformance.bench import SIMULATED_LEVELS, check_shape, check_shape_at_length, check_sweep
from tests.conformance.engine_shapes import DIRECT, SHAPES, SWEPT
from tests.conformance.part import Part


@pytest.mark.parametrize("dut", SIMULATED_LEVELS)
@pytest.mark.parametrize("shape", DIRECT)
def test_engine_equals_executor(shape: str, dut: Dut, simulators: Path, request: pytest.FixtureRequest) -> None:
    part = Part(SIMULATED_LEVELS[dut], shape)
    part.cases += check_shape(shape, dut, simulators)
    part.end(request)


@pytest.mark.long
@pytest.mark.parametrize("dut", SIMULATED_LEVELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_engine_equals_executor_at_length(shape: str, dut: Dut, simulators: Path) -> None:
    check_shape_at_length(shape, dut, simulators)


@pytest.mark.long
@pytest.mark.parametrize("dut", SIMULATED_LEVELS)
@pytest.mark.parametrize("shape", SWEPT)
def test_swept_modes_equal_executor(shape: str, dut: Dut, simulators: Path) -> None:
    check_sweep(shape, dut, simulators)
