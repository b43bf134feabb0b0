"""Networks with one image in all lanes, as the planner schedules them, on the RTL in the bench: every byte is equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.bench import check_runs
from tests.conformance.cases import cases_of
from tests.conformance.engine_shapes import SHAPES
from tests.conformance.part import Part
from tests.conformance.test_planned_stripes import LANES, slow_layers  # noqa: F401
from tests.rtl.units import build_unit, fitted, make_run
from toolflow.engine.steps import are_striped

SHAPE = "tile_2"
LONG_RECORD = "add/few_rows,12ch"  # 168 results: the model takes the time of their record for shorter than it is


@pytest.mark.usefixtures("slow_layers")
def test_planned_stripes_in_rtl_equal_the_executor(
    simulators: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, name = Part("rtl in stripes", SHAPE), f"{SHAPE}_planned_stripes"
    engine = SHAPES[SHAPE].model_copy(update={"lanes_p": LANES[SHAPE], "stripes": True, "external_maps": True})
    monkeypatch.setitem(SHAPES, name, engine)
    config = fitted(name)
    runs = [
        make_run(config, case, count=2, seed=n, extreme=n % 3 == 2, trace=n % 4 == 1)
        for n, case in enumerate(cases_of(config))
        if case != LONG_RECORD
    ]
    striped = [run for run in runs if are_striped(run.compiled.schedule.steps)]
    check_runs(build_unit(config, "rtl", simulators / f"rtl_{name}"), config, striped)
    part.cases += [run.name for run in striped]
    part.end(request)
    assert len(striped) > 40
