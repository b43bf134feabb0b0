"""The schedule of one image over all lanes: every row that a lane reads lies there, or is left out."""

from __future__ import annotations

import pytest

from tests.conformance.casebook import RESULT, NetworkBuilder
from tests.conformance.cases import cases_of
from tests.conformance.engine_shapes import SHAPES
from tests.conformance.matrix import networks
from tests.conformance.smallest_bank import smallest_bank
from tests.unit.plan.row_walk import RowWalk
from toolflow.engine.config import EngineConfig
from toolflow.engine.steps import Compute, Fill, Shift, Spill, are_striped
from toolflow.operators.avg_pool.spec import AvgPool
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


def test_lane_0_gets_the_rows_of_all_lanes_by_shifts() -> None:
    b = NetworkBuilder((2, 12, 4), seed=3)
    source = b.conv("conv", "image", 9, 3, pads=(1, 1, 1, 1))
    graph = b.build(
        b.linear("fc", b.flatten("flat", b.avg_pool("mean", source, AvgPool((12, 4), (1, 1)))), 3, out=RESULT)
    )
    engine = EngineConfig(lanes_k=4, lanes_p=5, sub_row=4, bus_bits=64, stripes=True, external_maps=True)
    whole = fitted(make_schedule(graph, engine))
    gathered = [step for step in whole.steps if isinstance(step, Shift) and step.tensor == "conv"]
    assert [step.out.height for step in gathered] == [3, 3, 3]  # 12 rows in lanes of 3: those of lanes 1, 2 and 3
    assert not any(isinstance(step, Fill | Spill) for step in whole.steps)
    mean = next(step for step in whole.steps if isinstance(step, Compute) and step.tensor == "mean")
    assert (mean.source.height, mean.stripes) == (12, None)
    RowWalk(graph, whole.config).walk(whole)
    # Banks that do not hold the map have it filled by bands, in lane 0 alone.
    small = whole.config.fitted({"bank_depth": smallest_bank(graph, whole.config)})
    filled = [step for step in make_schedule(graph, small, small.bank_depth).steps if isinstance(step, Fill)]
    assert filled
    assert all(step.stripes is None for step in filled if step.tensor == "conv")
