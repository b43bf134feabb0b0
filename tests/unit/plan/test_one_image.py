"""The planner's engines with one image in all lanes: what is tried, how it is ranked, and what it gives."""

from __future__ import annotations

import pytest

from tests.unit.plan.test_choose import HIGH
from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import predict
from toolflow.ir.errors import DoesNotFitError
from toolflow.plan.boards.board import load_board
from toolflow.plan.explore.choose import UnitRequest, best_single, timed_engines
from toolflow.plan.explore.estimate import schedule_on
from toolflow.plan.explore.one_image import layouts_tried
from toolflow.plan.explore.ranking import rank_shapes
from toolflow.plan.resources.estimate import estimate_resources, stripes_amounts


def test_stripes_are_tried_where_they_are_asked_for() -> None:
    assert layouts_tried({"stripes": "true"}, None) == (True,)
    assert layouts_tried({"stripes": 0}, 1) == (False,)
    assert layouts_tried({}, 1) == (False, True)
    assert layouts_tried({}, None) == (False,)
    assert layouts_tried({}, 1000) == (False,)


ARRAY: dict[str, int | str] = {"lanes_k": 16, "slots": 4, "drain_k": 2, "multiplier": "dsp"}


def test_one_image_is_faster_in_all_lanes_than_in_one() -> None:
    board = load_board("kv260")
    one, striped = (
        best_single(timed_engines(HIGH, 8, {**ARRAY, "stripes": stripes}, board, alone=True, batch=1), board, "it")
        for stripes in (0, 1)
    )
    assert (one.config.stripes, striped.config.stripes) == (False, True)
    assert 2 * striped.cycles_per_image < one.cycles_per_image


@pytest.mark.parametrize("board_name", ["kv260", "zcu104"])
def test_the_ranking_is_near_the_cycle_model(board_name: str) -> None:
    board = load_board(board_name)
    ranked = rank_shapes(UnitRequest(HIGH, 8, 8, fixed={**ARRAY, "stripes": 1}, batch=1), board)
    assert all(shape.column.stripes for shape in ranked)
    for shape in ranked[:: len(ranked) // 4]:
        schedule = schedule_on(HIGH, shape.config, board)
        cycles = predict(schedule.config, schedule.steps, 1).total_cycles
        assert schedule.config.bank_depth <= shape.config.bank_depth + 1
        assert cycles == pytest.approx(shape.cycles_per_image, rel=0.12)


def test_stripes_take_what_the_estimate_adds() -> None:
    config = EngineConfig(stripes=True, lanes_p=5)
    plain = config.model_copy(update={"stripes": False})
    more = estimate_resources(config, "xcup").total + estimate_resources(plain, "xcup").total * -1
    assert more.luts == pytest.approx(stripes_amounts(config).luts, abs=1)
    assert not stripes_amounts(plain).luts


def test_a_board_without_room_for_stripes_is_named_with_what_lacks() -> None:
    board = load_board("ulx3s-85f")
    fixed = {"lanes_k": 64, "lanes_p": 16, "slots": 8, "stripes": 1}
    with pytest.raises(DoesNotFitError, match="LUTs of 58,547 usable"):
        best_single(timed_engines(HIGH, 8, fixed, board, alone=True, batch=1), board, "it")
