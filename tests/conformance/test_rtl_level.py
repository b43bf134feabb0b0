"""Every engine shape without tiles, as emitted SystemVerilog, equals the numpy executor in every byte it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.bench import check_shape, check_shape_at_length, check_sweep
from tests.conformance.engine_shapes import DIRECT, SHAPES, SWEPT
from tests.conformance.part import Part


@pytest.mark.parametrize("shape", DIRECT)
def test_engine_equals_executor(shape: str, simulators: Path, request: pytest.FixtureRequest) -> None:
    part = Part("rtl", shape)
    part.cases += check_shape(shape, "rtl", simulators)
    part.end(request)


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_engine_equals_executor_at_length(shape: str, simulators: Path) -> None:
    check_shape_at_length(shape, "rtl", simulators)


@pytest.mark.long
@pytest.mark.parametrize("shape", SWEPT)
def test_swept_modes_equal_executor(shape: str, simulators: Path) -> None:
    check_sweep(shape, "rtl", simulators)
