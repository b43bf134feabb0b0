"""The planner's engine with two precisions: its time against the cycle model, its choice, and what it refuses."""

from __future__ import annotations

from itertools import product
from types import MappingProxyType

import pytest

from tests.conformance.cases import ALL_CASES
from tests.unit.plan.test_choose import HIGH, LOW, resnet
from tests.unit.plan.test_two_precisions import network
from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import predict
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards.board import load_board
from toolflow.plan.explore.choose import bounds
from toolflow.plan.explore.morphing import MorphingRequest, best_morphing, morphing_if_any
from toolflow.plan.resources.estimate import estimate_resources
from toolflow.plan.schedule.schedule import make_schedule
from toolflow.plan.schedule.two_precisions import fit_both

SHARE = 0.2
BOARD = load_board("pynq-z2")
FEW: MappingProxyType[str, int | str] = MappingProxyType({"sub_row": 8, "drain_k": 1, "bank_memory": "block"})


def request(low: QuantisedGraph = LOW, high: QuantisedGraph = HIGH, **fixed: int | str) -> MorphingRequest:
    return MorphingRequest(low, high, 4, 8, SHARE, {**FEW, **fixed})


def cycles_per_image(engine: EngineConfig, images: int = 0) -> float:
    """Return t_low + p·t_high by the cycle model, of starts of so many images, or of four full passes."""
    times = []
    for graph, narrow in ((LOW, True), (HIGH, False)):
        seen = engine.of(narrow)
        report = predict(seen, make_schedule(graph, seen).steps, images or 4 * seen.lanes_p)
        times.append(report.total_cycles / (images or 4 * seen.lanes_p))
    return times[0] + SHARE * times[1]


def test_the_engine_is_as_fast_as_the_fastest_of_all_shapes_that_fit() -> None:
    low, high = best_morphing(request(chain=1), BOARD)
    engine = low.config.built
    assert engine == high.config.built
    assert (low.config.narrow, high.config.narrow) == (True, False)
    assert (low.config.lanes_p, high.config.lanes_p) == (engine.lanes_p, engine.lanes_p // 2)
    assert low.resources == estimate_resources(engine, BOARD.family).total
    found = cycles_per_image(engine)
    assert low.cycles_per_image + SHARE * high.cycles_per_image == pytest.approx(found)
    others = []
    for lanes_k, slots, lanes_p in product((8, 16, 32), (1, 2, 4, 8), range(2, 41, 2)):
        shape = EngineConfig(
            lanes_k=lanes_k, slots=slots, lanes_p=lanes_p, narrow_bits=4, dsp_primitive="dsp48e1", pack_k=2,
            gather=False, bus_bits=BOARD.axi_data_bits,
        )  # fmt: skip
        fitted = fit_both(HIGH, LOW, shape)
        if not estimate_resources(fitted, BOARD.family).total.over(BOARD.usable):
            others.append(cycles_per_image(fitted))
    assert found <= 1.03 * min(others)


def test_lanes_are_chosen_for_the_batch() -> None:
    """Of 10 images, 10 lanes hold all, and more lanes gain nothing in narrow programs."""
    fixed: dict[str, int | str] = {"lanes_k": 8, "slots": 2}
    alone = MorphingRequest(LOW, HIGH, 4, 8, 0.0, {**FEW, **fixed}, batch=10)
    low, _ = best_morphing(alone, load_board("zcu104"))
    assert low.config.lanes_p == 10


def test_what_bounds_the_pair_counts_its_engine_once() -> None:
    pair = best_morphing(request(lanes_k=8, lanes_p=4, slots=2), BOARD)
    share = pair[0].resources.dsps / BOARD.usable.dsps
    assert bounds(pair, BOARD).startswith(f"DSPs {share:.0%}, ")


def _tiled() -> QuantisedGraph:
    builder, output = ALL_CASES["winograd/wide modes,F4"].build(4, 4, 1, False)
    return builder.build(output)


@pytest.mark.parametrize(
    ("wanted", "board", "message"),
    [
        (
            request(), "ulx3s-85f",
            "a morphing pair needs a board with dsp48e1 or dsp48e2, and ULX3S-85F has none: take a resident pair "
            "(--cascade) or a single unit",
        ),
        (
            MorphingRequest(resnet(6), HIGH, 6, 8, SHARE, {}), "kv260",
            "a morphing pair needs a low-precision network of at most 4 bits and a high-precision one of 5 to 8 bits, "
            "not 6 and 8: take a resident pair (--cascade) or a single unit",
        ),
        (
            request(low=_tiled()), "kv260",
            "a morphing pair needs layers without Winograd tiles, and 'b' has one (--tile 0): take a resident pair "
            "(--cascade) or a single unit",
        ),
        (
            request(network(4), network(8, channels=24)), "kv260",
            "a morphing pair needs one network at two precisions, and these differ: 'stem' with weights of 12x3x3x3 in "
            "the low-precision one, 'stem' with weights of 24x3x3x3 in the high-precision one: quantise both from one "
            "network, or take a resident pair (--cascade) or a single unit",
        ),
        (
            request(network(4, classes=7), network(8)), "kv260",
            "the two networks of an engine with two precisions must have results of one shape, not 5 ('case-8', "
            "single) and 7 ('case-4', single): quantise both from one network, or give each its own engine",
        ),
        (
            request(lanes_p=3, pack_p=2), "kv260",
            "--engine: in the engine of a morphing pair pack_p must be 1, not 2 and lanes_p must be even, not 3: "
            "take a resident pair (--cascade) or a single unit",
        ),
        (
            request(lanes_k=64, lanes_p=64, slots=8), "kv260",
            "no engine with two precisions for both networks fits KV260: take a larger board",
        ),
    ],
)  # fmt: skip
def test_a_pair_that_cannot_be_is_refused(wanted: MorphingRequest, board: str, message: str) -> None:
    with pytest.raises(ToolflowError) as error:
        best_morphing(wanted, load_board(board))
    assert str(error.value) == message
    assert morphing_if_any(wanted, load_board(board)) is None
