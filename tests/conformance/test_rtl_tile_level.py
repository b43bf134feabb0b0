"""Every engine shape with tiles, as emitted SystemVerilog under the bench, equals the numpy executor in every byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.bench import check_shape
from tests.conformance.engine_shapes import TILE
from tests.conformance.part import Part


@pytest.mark.parametrize("shape", TILE)
def test_engine_equals_executor(shape: str, simulators: Path, request: pytest.FixtureRequest) -> None:
    part = Part("rtl", shape)
    part.cases += check_shape(shape, "rtl", simulators)
    part.end(request)
