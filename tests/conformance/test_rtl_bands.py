"""Engines whose banks are so small that most networks run in bands of rows: RTL equals the executor in every byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.bench import check_bands
from tests.conformance.part import Part

# A direct engine, one with tiles and one whose DSP blocks make several products.
SHORT = ("twelve", "tile_2", "weight_pairs")


@pytest.mark.parametrize("shape", SHORT)
def test_engine_in_bands_equals_executor(shape: str, simulators: Path, request: pytest.FixtureRequest) -> None:
    part = Part("rtl in bands", shape)
    part.cases += check_bands(shape, "rtl", simulators)
    part.end(request)
    assert len(part.cases) >= 10
