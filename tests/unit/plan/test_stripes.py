"""The schedule of one image over all lanes: every row that a lane reads lies there, or is left out."""

from __future__ import annotations

import pytest

from tests.conformance.cases import cases_of
from tests.conformance.engine_shapes import SHAPES
from tests.conformance.matrix import networks
from tests.conformance.smallest_bank import smallest_bank
from tests.unit.plan.row_walk import RowWalk
from toolflow.engine.steps import Fill, Shift, Spill, are_striped
from toolflow.plan.schedule.needs import fitted
from toolflow.plan.schedule.schedule import make_schedule


@pytest.mark.parametrize(("shape", "lanes_p"), [("odd", 3), ("wide", 5), ("tile_2", 4)])
def test_every_row_is_where_it_is_read(shape: str, lanes_p: int) -> None:
    engine = SHAPES[shape].model_copy(update={"stripes": True, "lanes_p": lanes_p})
    seen = set()
    for network in networks(shape, engine, ((case, "random") for case in cases_of(engine))):
        schedule = fitted(make_schedule(network.graph, engine))
        if not are_striped(schedule.steps):
            continue
        RowWalk(network.graph, schedule.config).walk(schedule)
        seen |= {type(step) for step in schedule.steps}
        depth = smallest_bank(network.graph, schedule.config)
        small = schedule.config.fitted({"bank_depth": depth, "external_maps": True})
        RowWalk(network.graph, small).walk(make_schedule(network.graph, small, depth))
    assert {Fill, Spill, Shift} <= seen
