"""How the planner feeds weights: ahead as far as the board's memory allows, and through two ports, where it pays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.rtl.test_rows_ahead import PLAIN, network
from toolflow.engine.cycles import predict
from toolflow.plan.boards.board import Board, load_board
from toolflow.plan.explore.choose import Candidate, UnitRequest, best_pair, candidates
from toolflow.plan.explore.estimate import amounts_on
from toolflow.plan.explore.weights_ahead import ROWS, with_weights_ahead
from toolflow.plan.resources.estimate import estimate_resources
from toolflow.plan.schedule.needs import fitted
from toolflow.plan.schedule.schedule import Schedule, make_schedule


def schedule() -> Schedule:
    return fitted(make_schedule(network()[1], PLAIN))


def cycles(planned: Schedule) -> int:
    return predict(planned.config, planned.steps, 1).total_cycles


def with_memory(board: Board, block_rams: int, urams: int) -> Board:
    """Return a board with so much memory more than the engine takes."""
    taken = estimate_resources(schedule().config, board.family).total
    shares = board.usable_shares.model_copy(update={"block_rams": 1.0, "urams": 1.0})
    held = {"bram36": int(taken.block_rams) + block_rams, "uram": int(taken.urams) + urams}
    return board.model_copy(update={"usable_shares": shares, "resources": board.resources.model_copy(update=held)})


def test_all_weights_run_ahead_if_they_fit() -> None:
    before = schedule()
    in_blocks, in_ultra = with_weights_ahead(before, load_board("kv260"), 1)
    assert (in_blocks.config.weight_memory, in_ultra.config.weight_memory) == ("block", "ultra")
    rows = sum(step.rows * len([*step.groups(before.config.lanes_k)]) for step in before.computes)
    assert in_blocks.config.ring_rows == in_ultra.config.ring_rows == rows
    assert in_blocks.config.parameter_sets == 64  # for 45 groups
    assert cycles(in_blocks) * 1.02 < cycles(before)
    assert in_blocks.steps == before.steps
    assert in_blocks.config.signature == before.config.signature


@pytest.mark.parametrize("left", [4, 8])
def test_as_many_as_the_memory_holds(left: int) -> None:
    board = with_memory(load_board("pynq-z2"), left, 0)
    (found,) = with_weights_ahead(schedule(), board, 1)
    assert not estimate_resources(found.config, board.family).total.over(board.usable)
    more = found.config.model_copy(update={"rows_ahead": found.config.rows_ahead + ROWS})
    whole = found.config.ring_rows == sum(
        step.rows * len([*step.groups(found.config.lanes_k)]) for step in found.computes
    )
    assert whole or estimate_resources(more, board.family).total.over(board.usable)


def test_none_where_the_weights_are_not_waited_for() -> None:
    slow = schedule()
    wide = fitted(replace(slow, config=slow.config.model_copy(update={"rows_ahead": 1 << 12, "parameter_sets": 64})))
    assert [*with_weights_ahead(wide, load_board("kv260"), 1)] == []


@pytest.mark.parametrize(
    ("board", "fixed", "widths"),
    [
        ("zcu104", {}, {128, 256}),
        ("pynq-z2", {}, {64, 128}),
        ("zcu104", {"bus_bits": 128}, {128}),
        ("ulx3s-85f", {}, {64}),  # no processing system
    ],
)
def test_weights_through_two_ports_are_tried(board: str, fixed: dict[str, int | str], widths: set[int]) -> None:
    assert {each.config.bus_bits for each in timed(board, fixed)} == widths


def test_a_pair_has_two_ports_for_each_unit() -> None:
    board, found = load_board("zcu104"), timed("zcu104", {})
    assert {each.config.bus_bits for each in best_pair(found, found, board, 0.1) or ()} == {128}
    wide = [each for each in found if each.config.bus_bits == 256]
    assert best_pair(wide, found, board, 0.1)  # a width that the user fixed


def timed(board: str, fixed: dict[str, int | str]) -> list[Candidate]:
    shape: dict[str, int | str] = {"lanes_k": 8, "lanes_p": 2, "slots": 2, "drain_k": 2, "sub_row": 8, "stripes": 0}
    return candidates(UnitRequest(network()[1], 8, 8, fixed={**shape, **fixed}), load_board(board), lambda _: None)


def test_what_divides_the_reads_is_counted() -> None:
    board = load_board("zcu104")
    wide, narrow = (PLAIN.model_copy(update={"bus_bits": bits}) for bits in (256, 128))
    more = amounts_on(wide, board) + estimate_resources(wide, board.family).total * -1
    assert (more.luts, more.flip_flops, more.block_rams) == (386, 470, 8)
    assert amounts_on(narrow, board) == estimate_resources(narrow, board.family).total


def test_no_more_rows_are_ahead_than_an_engine_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for VGG-16 on few lanes, which has more rows."""
    monkeypatch.setattr("toolflow.plan.explore.weights_ahead.MOST_ROWS_AHEAD", most := ROWS)
    found = [*with_weights_ahead(schedule(), load_board("kv260"), 1)]
    assert found
    assert all(each.config.rows_ahead <= most for each in found)
