"""The planner's engines with one image in all lanes: what is tried, how it is ranked, and what it gives."""

from __future__ import annotations

import pytest

from tests.conformance.casebook import RESULT, NetworkBuilder
from tests.unit.plan.test_choose import HIGH
from toolflow.engine.cycles import predict
from toolflow.engine.places import align
from toolflow.ir.errors import DoesNotFitError
from toolflow.numerics.types import IntegerType
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.plan.boards.board import load_board
from toolflow.plan.explore.choose import UnitRequest, best_single, bounds, timed_engines
from toolflow.plan.explore.estimate import schedule_on
from toolflow.plan.explore.one_image import layouts_tried
from toolflow.plan.explore.ranking import rank_shapes
from toolflow.plan.explore.weights_ahead import with_weights_ahead
from toolflow.plan.schedule.bands import BLOCK_WORDS


def test_stripes_are_tried_unless_they_are_fixed() -> None:
    assert layouts_tried({"stripes": "true"}) == (True,)
    assert layouts_tried({"stripes": 0}) == (False,)
    assert layouts_tried({}) == (False, True)


START = 600  # cycles of a start: the program is read, and the tables are filled; all shapes take them
ARRAY: dict[str, int | str] = {"lanes_k": 16, "slots": 4, "drain_k": 2, "multiplier": "dsp"}


def test_one_image_is_faster_in_all_lanes_than_in_one() -> None:
    board = load_board("kv260")
    one, striped = (
        best_single(timed_engines(HIGH, 8, {**ARRAY, "stripes": stripes}, board, alone=True, batch=1), board, "it")
        for stripes in (0, 1)
    )
    assert (one.config.stripes, striped.config.stripes) == (False, True)
    assert 2 * striped.cycles_per_image < one.cycles_per_image


def test_throughput_is_planned_in_both_layouts() -> None:
    """Maps that take several times the banks, in image layout, go through memory there and not in stripes."""
    b = NetworkBuilder((16, 48, 48), seed=1)
    source, byte = "image", IntegerType(8, signed=False)
    for name, channels in (("a", 96), ("b", 32), ("c", 96), ("d", 32)):
        source = b.conv(name, source, channels, 1, out=byte)
    mean = b.avg_pool("mean", source, AvgPool((48, 48), (1, 1)))
    graph = b.build(b.linear("fc", b.flatten("flat", mean), 4, out=RESULT))
    board = load_board("pynq-z2")
    timed = timed_engines(graph, 8, {"lanes_k": 16, "slots": 4, "drain_k": 2}, board, alone=True)
    best = best_single(timed, board, "it")
    other = best_single([c for c in timed if not c.config.stripes], board, "it")
    assert best.config.stripes
    text = bounds([best], board, timed)
    here, there = (board.clock_mhz * 1e6 / each.cycles_per_image for each in (best, other))
    assert here > there
    assert f"; the rows of one image lie in all lanes: {here:,.0f} images/s, " in text
    assert text.endswith(" where an image lies in each lane")
    assert bounds([best], board).endswith("; the rows of one image lie in all lanes")


@pytest.mark.parametrize("board_name", ["kv260", "zcu104"])
def test_the_ranking_is_near_the_cycle_model(board_name: str) -> None:
    board = load_board(board_name)
    ranked = rank_shapes(UnitRequest(HIGH, 8, 8, fixed={**ARRAY, "stripes": 1}, batch=1), board)
    assert all(shape.column.stripes for shape in ranked)
    fitting = [(shape, sized.config) for shape in ranked if (sized := shape.within(board.usable))]
    for shape, config in fitting[:: len(fitting) // 4]:
        schedule = schedule_on(HIGH, config, board)
        ahead = schedule, *with_weights_ahead(schedule, board, 1)
        cycles = min(predict(each.config, each.steps, 1).total_cycles for each in ahead)
        block = BLOCK_WORDS[shape.config.bank_memory]
        assert schedule.config.bank_depth <= align(shape.config.bank_depth, block) + 1
        assert cycles == pytest.approx(shape.cycles_per_image + START, rel=0.12)


def test_a_board_without_room_for_stripes_is_named_with_what_lacks() -> None:
    board = load_board("ulx3s-85f")
    fixed = {"lanes_k": 64, "lanes_p": 16, "slots": 8, "stripes": 1}
    with pytest.raises(DoesNotFitError, match="LUTs of 58,547 usable"):
        best_single(timed_engines(HIGH, 8, fixed, board, alone=True, batch=1), board, "it")
