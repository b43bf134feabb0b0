"""The numpy executor of the compiled program equals the reference, bit for bit, in every map."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest

from tests.conformance.cases import cases_of, sweep_of
from tests.conformance.engine_shapes import SHAPES, SWEPT
from tests.conformance.matrix import DATA, compare, networks
from tests.conformance.part import Part
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.schedule.needs import fit_depths


@pytest.mark.parametrize("shape", SHAPES)
def test_program_equals_reference(shape: str, request: pytest.FixtureRequest) -> None:
    check(shape, SHAPES[shape], cases_of(SHAPES[shape]), request)


@pytest.mark.long
@pytest.mark.parametrize("shape", SWEPT)
def test_swept_modes_equal_reference(shape: str, request: pytest.FixtureRequest) -> None:
    """Every mode × n × S × width of weights × width of multipliers."""
    check(shape, SWEPT[shape], sweep_of(SWEPT[shape]), request)


def check(
    shape: str,
    config: EngineConfig,
    cases: Iterable[str],
    request: pytest.FixtureRequest,
) -> None:
    """Compare each case with both kinds of data, on an engine with exactly the depths that the network needs."""
    part = Part("program", shape)
    for seen in config.precisions:
        for network in networks(shape, seen, product(cases, DATA)):
            with part.cell(network.case, network.data):
                fitted = fit_depths(network.graph, seen)

                def execute(
                    compiled: CompiledProgram, images: bytes, count: int, engine: EngineConfig = fitted
                ) -> bytes:
                    return run_program(engine.built, compiled.program, compiled.weights, images, count)

                compare(network, fitted, execute)
    part.end(request)
