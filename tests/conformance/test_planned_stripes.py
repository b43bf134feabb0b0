"""Networks on engines with one image in all lanes, as the planner schedules them: every map equals the reference.

Layers are taken to be so slow that nearly all of them run in stripes, whatever a change of layout costs. Then banks
hold fewer and fewer maps, so that the rows of stripes come and go in bands.
"""

from __future__ import annotations

import pytest

from tests.conformance.cases import cases_of
from tests.conformance.engine_shapes import SHAPES
from tests.conformance.matrix import compare, networks
from tests.conformance.part import Part
from tests.conformance.smallest_bank import smallest_bank
from tests.conformance.test_bands import execute_on
from tests.oracles.engine import Oracle
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.engine.positions import row_cycles
from toolflow.engine.steps import Compute, Pool, are_striped
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule import schedule
from toolflow.plan.schedule.needs import fit_depths, needs
from toolflow.plan.schedule.schedule import make_schedule

LANES = {"odd": 3, "tile_2": 4, "narrow": 7, "tile_4_slots": 5, "shared_pairs": 14}
SHORT = ("odd", "tile_2")


@pytest.fixture(autouse=True)
def slow_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take layers to be so slow that changes of layout cost nothing beside them."""

    def slow(config: EngineConfig, step: Compute | Pool) -> float:
        return 1e6 * row_cycles(config, step)

    monkeypatch.setattr(schedule, "row_cycles", slow)


@pytest.mark.parametrize("shape", [*SHORT, *(pytest.param(s, marks=pytest.mark.long) for s in LANES if s not in SHORT)])
def test_stripes_and_their_bands_equal_the_reference(shape: str, request: pytest.FixtureRequest) -> None:
    part = Part("stripes", shape)
    engine = SHAPES[shape].model_copy(update={"lanes_p": LANES[shape], "stripes": True})
    striped = 0
    for network in networks(shape, engine, ((case, "random") for case in cases_of(engine))):
        fitted = fit_depths(network.graph, engine)
        if not are_striped(make_schedule(network.graph, engine).steps):
            continue
        striped += 1
        least = smallest_bank(network.graph, fitted)
        for depth in sorted({least, (least + fitted.bank_depth) // 2, fitted.bank_depth}):
            small = fitted.fitted({"bank_depth": depth, "external_maps": True})
            with part.cell(network.case, f"banks of {depth}"):
                assert needs(make_schedule(network.graph, small, depth))["bank_depth"] <= depth
                compare(network, small, execute_on(small))
    part.end(request)
    assert striped > 40


def test_no_result_depends_on_an_undefined_word() -> None:
    """In the oracle rows outside the map are undefined, and what is computed from them."""
    engine = SHAPES["odd"].model_copy(update={"lanes_p": LANES["odd"], "stripes": True})
    cases = [case for case in cases_of(engine) if case.startswith(("add/", "max_pool/", "conv/"))][::6]
    striped = 0
    for network in networks("odd", engine, ((case, "random") for case in cases)):
        compiled = compile_program(network.graph, fit_depths(network.graph, engine))
        striped += compiled.header.striped
        images = compiled.pack_images(network.images[:1])
        expected = Oracle(compiled.config).run(compiled.program, compiled.weights, images, 1)
        raw = run_program(compiled.config, compiled.program, compiled.weights, images, 1)
        assert not [at for at, byte in expected.items() if byte is not None and byte != raw[at]], network.case
    assert striped > 3
