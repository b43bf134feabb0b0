"""The emitted C++, built by g++, equals the reference bit for bit: every operator's cases on every engine shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.cases import cases_of
from tests.conformance.engine_shapes import SHAPES
from tests.conformance.matrix import compare, networks
from tests.conformance.part import Part
from toolflow.emit.hls_native import build_native, run_native
from toolflow.engine.config import FITTED
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.schedule.needs import fit_depths


@pytest.mark.parametrize("shape", SHAPES)
def test_hls_equals_reference(shape: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Run all cases on one engine that is large enough for each; every second case has extreme data."""
    cases = [(case, ("extreme", "random")[number % 2]) for number, case in enumerate(cases_of(SHAPES[shape]))]
    made = [(network, seen) for seen in SHAPES[shape].precisions for network in networks(shape, seen, cases)]
    fitted = [fit_depths(network.graph, seen) for network, seen in made]
    config = SHAPES[shape].fitted({field: max(getattr(fit, field) for fit in fitted) for field in FITTED})
    binary = build_native(tmp_path, config, "single")

    def execute(compiled: CompiledProgram, images: bytes, count: int) -> bytes:
        size = compiled.result_bytes(count)
        error, raw = run_native(binary, compiled.program, compiled.weights, images, count, size)
        assert error == 0
        return raw

    part = Part("hls", shape)
    for network, seen in made:
        with part.cell(network.case, network.data):
            compare(network, config.of(seen.narrow), execute)
    part.end(request)
