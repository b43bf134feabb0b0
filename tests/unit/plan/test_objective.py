"""What engines are chosen for: which starts are shown, and what a pair takes for throughput and for latency."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest

from quant.cascade.decide import UnitCycles, decide
from tests.unit.plan.test_choose import HIGH, LOW, no_progress
from tests.unit.quant.test_decide import artefacts
from toolflow.engine.config import EngineConfig
from toolflow.engine.weight_port import WeightPort
from toolflow.ir.unit import DesignKind
from toolflow.plan.boards.board import load_board
from toolflow.plan.explore.choose import UnitRequest, best_pair, best_single, candidates, timed_engines
from toolflow.plan.explore.estimate import estimate
from toolflow.plan.explore.objective import Goal, Objective


@pytest.mark.parametrize(
    ("goal", "batch", "shown"),
    [
        ("throughput", None, (1, 8, 32)),
        ("throughput", 3, (1, 8, 3)),
        ("throughput", 8, (1, 8)),
        ("latency", None, (8, 1)),
        ("latency", 4, (1, 8, 4)),
    ],
)
def test_the_start_that_was_planned_for_is_shown_last(goal: Goal, batch: int | None, shown: tuple[int, ...]) -> None:
    assert Objective.of(goal, batch).batches(8) == shown


def test_latency_adds_what_throughput_does_side_by_side() -> None:
    assert Objective("throughput").pair_cycles(100.0, 300.0, 0.5) == 150.0
    assert Objective("throughput").pair_cycles(100.0, 100.0, 0.5) == 100.0
    assert Objective("latency", 1).pair_cycles(100.0, 300.0, 0.5) == 250.0


@pytest.mark.parametrize("shape", [(4, 1, 1), (8, 3, 2), (32, 2, 8), (64, 1, 8)])
@pytest.mark.parametrize("images", [1, 7, 30, 61])
def test_passes_that_are_alike_are_counted_and_not_walked(
    shape: tuple[int, int, int], images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the cycle what walking every pass gives, and as fast for any batch."""
    lanes_k, lanes_p, slots = shape
    config = EngineConfig(lanes_k=lanes_k, lanes_p=lanes_p, slots=slots)
    for graph in (HIGH, LOW):
        _, quick = estimate(graph, config, images)
        with monkeypatch.context() as patch:
            patch.setattr(WeightPort, "state", lambda *_: object())
            _, walked = estimate(graph, config, images)
        assert quick == walked
        _, many = estimate(graph, config, 10**9 * lanes_p)
        _, fewer = estimate(graph, config, (10**9 - 1) * lanes_p)
        assert many.total_cycles - fewer.total_cycles == sum(each.cycles for each in many.instructions)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_engines_for_a_batch_are_the_fastest_of_all_candidates_at_that_batch(batch: int) -> None:
    board = load_board("zcu104")
    timed = timed_engines(HIGH, 8, {}, board, batch=batch)
    best = best_single(timed, board, "it")
    assert best.report.images == batch
    everything = [*timed, *timed_engines(HIGH, 8, {}, board)]
    fitting = [c for c in everything if not c.resources.over(board.usable)]
    fewest = min(estimate(HIGH, c.config, batch)[1].total_cycles for c in fitting)
    assert best.report.total_cycles <= 1.03 * fewest


def test_a_pair_for_latency_has_the_least_time_of_one_unit_after_the_other() -> None:
    board, objective, share = load_board("zcu104"), Objective("latency", 1), 0.3
    low = candidates(UnitRequest(LOW, 4, 4, batch=1), board, no_progress)
    high = candidates(UnitRequest(HIGH, 8, 8, batch=1), board, no_progress)
    pair = best_pair(low, high, board, share, objective)
    assert pair is not None
    times = [
        a.cycles_per_image + share * b.cycles_per_image
        for a in low
        for b in high
        if not (a.resources + b.resources).over(board.usable)
    ]
    assert pair[0].cycles_per_image + share * pair[1].cycles_per_image <= 1.03 * min(times)


def test_a_pair_that_pays_for_throughput_need_not_pay_for_latency() -> None:
    cycles = UnitCycles(single_high=100.0, resident=(80.0, 200.0))
    found = artefacts(90, 30, 90, 30, keeps=False)
    assert decide(*found, cycles, Objective("throughput")).choice == "resident pair"
    decision = decide(*found, cycles, Objective("latency", 1))
    assert decision.choice == "single high"
    pair = decision.alternative(DesignKind.RESIDENT_PAIR)
    assert pair is not None
    assert pair.cycles_per_image == pytest.approx(80.0 + 0.3 * 200.0)


def test_a_network_is_gone_after_its_planning() -> None:
    """The search refuses shapes; no refusal may keep the frames, and so the schedules and weights, of its callers."""
    network = copy.copy(HIGH)
    gone = weakref.ref(network)
    assert timed_engines(network, 8, {}, load_board("ulx3s-85f"))
    del network
    gc.collect()
    assert gone() is None
