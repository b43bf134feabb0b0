"""The planner: its ranking against the cycle model, its choice against an exhaustive search, its messages."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tests.conformance.casebook import RESULT, NetworkBuilder
from tests.conformance.cases import ALL_CASES
from toolflow.engine.config import FITTED, EngineConfig
from toolflow.engine.cycles import predict
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.packing import longest_chains
from toolflow.numerics.srbs import Pattern
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.max_pool.spec import MaxPool
from toolflow.operators.shortcut.spec import Shortcut
from toolflow.plan.boards.board import Board, UsableShares, load_board
from toolflow.plan.explore.choose import (
    UnitRequest,
    best_pair,
    best_single,
    candidates,
    explain,
    require_room,
    timed_engines,
)
from toolflow.plan.explore.demand import demand
from toolflow.plan.explore.estimate import estimate
from toolflow.plan.explore.ranking import rank_shapes
from toolflow.plan.explore.shapes import allowed_shapes, smallest_engines
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.resources.estimate import estimate_resources
from toolflow.plan.schedule.needs import fit_depths, needs
from toolflow.plan.schedule.schedule import make_schedule


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"lanes_k": 4096, "lanes_p": 64}, "lanes_k must be 1 to 512, not 4096"),
        ({"lanes_k": -4}, "lanes_k must be 1 to 512, not -4"),
        ({"lanes_p": 16, "slots": 0}, "slots must be at least 1, not 0"),
        ({"weight_bits": 13}, "weight_bits must be 2 to 12, not 13"),
        ({"multiplier": "carry"}, "multiplier must be dsp or lut, not 'carry'"),
        ({"slots": 3}, "slots must be a power of two, not 3"),
        ({"stripes": "maybe"}, "stripes must be true or false, not 'maybe'"),
    ],
)
def test_a_fixed_parameter_out_of_range_is_named_with_its_range(fixed: dict[str, int | str], message: str) -> None:
    with pytest.raises(ToolflowError, match=f"^--engine: {message}$"):
        allowed_shapes(4, 4, ("dsp",), fixed, load_board("zcu104"))


def resnet(bits: int, size: int = 16) -> QuantisedGraph:
    """Return two stages of residual blocks with a padded shortcut between them."""
    b = NetworkBuilder((3, size, size), bits, bits, 8, 3)
    x = b.conv("stem", "image", 16, 3, pads=(1, 1, 1, 1), weight_bits=8)
    y = b.conv("a1", x, 16, 3, pads=(1, 1, 1, 1))
    x = b.conv("a2", y, 16, 3, pads=(1, 1, 1, 1), residual=x)
    y = b.conv("b1", x, 32, 3, pads=(1, 1, 1, 1), stride=(2, 2))
    x = b.conv("b2", y, 32, 3, pads=(1, 1, 1, 1), residual=b.shortcut("s", x, Shortcut((2, 2), 8, 8)))
    half = size // 2
    x = b.avg_pool("pool", x, AvgPool((half, half), (half, half), (0, 0, 0, 0)))
    return b.build(b.linear("fc", b.flatten("flat", x), 10, out=RESULT))


def large_maps(size: int) -> QuantisedGraph:
    """Return a network with a full-size map of 32 channels and small layers after it."""
    b = NetworkBuilder((3, size, size), 8, 8, 8, 3)
    wide = b.conv("wide", "image", 32, 1)
    rest = size // 8
    narrow = b.conv("narrow", wide, 8, 8, stride=(8, 8))
    pooled = b.max_pool("pool", narrow, MaxPool((rest, rest), (rest, rest), (0, 0, 0, 0)))
    return b.build(b.linear("fc", b.flatten("flat", pooled), 10, out=RESULT))


def long_rows(width: int) -> QuantisedGraph:
    """Return a network with rows of 64 channels."""
    b = NetworkBuilder((3, 8, width), 8, 8, 8, 3)
    wide = b.conv("wide", "image", 64, 1, stride=(2, 1))
    narrow = b.conv("narrow", wide, 8, (4, 8), stride=(4, width // 2))
    return b.build(b.linear("fc", b.flatten("flat", narrow), 10, out=RESULT))


HIGH, LOW = resnet(8), resnet(4)
ONE_LANE = {"lanes_k": 8, "lanes_p": 1, "slots": 1}


def no_progress(_: int) -> None:
    """Show nothing."""


def with_shares(board: Board, **shares: float) -> Board:
    return board.model_copy(update={"usable_shares": UsableShares(**shares)})


@pytest.mark.parametrize("gather", [True, False])
@pytest.mark.parametrize("lanes", list(product((8, 12, 32), (2, 8), (1, 4), (8, 16))), ids=str)
def test_demand_agrees_with_the_cycle_model(lanes: tuple[int, int, int, int], gather: bool) -> None:
    shape = EngineConfig(lanes_k=lanes[0], lanes_p=lanes[1], slots=lanes[2], sub_row=lanes[3], drain_k=2, gather=gather)
    config, report = estimate(HIGH, shape, shape.lanes_p)
    asked = demand(HIGH, shape)
    quick = shape.model_copy(update=asked.depths(shape))
    assert config.bank_depth - 1 <= quick.bank_depth <= config.bank_depth  # a word that the last group overruns
    assert quick.result_depth == config.result_depth
    assert quick.weight_depth == pytest.approx(config.weight_depth, rel=0.1)
    array = sum(i.cycles for i in report.instructions if i.macs)
    assert asked.cycles_per_pass(quick) == pytest.approx(array, rel=0.12)


def test_tiles_of_wide_weights_run_on_narrow_multipliers() -> None:
    """The planner ranks them by their levels, and asks for no multiplier of their width."""
    builder, output = ALL_CASES["winograd/wide modes,F4"].build(4, 4, 1, False)
    graph = builder.build(output)
    fixed: dict[str, int | str] = {
        "lanes_k": 8, "lanes_p": 2, "sub_row": 8, "slots": 1, "drain_k": 4, "transform_cycles": 1,
    }  # fmt: skip
    timed = timed_engines(graph, 4, fixed, load_board("zcu104"))
    assert {(c.config.weight_bits, c.config.activation_bits) for c in timed} >= {(4, 4)}
    timed = [c for c in timed if c.config.weight_bits == 4]
    slow = timed[0]
    array = sum(i.cycles for i in slow.report.instructions if i.macs)
    assert demand(graph, slow.config).cycles_per_pass(slow.config) == pytest.approx(array, rel=0.12)


def test_a_wide_first_layer_that_is_most_of_the_work_gets_a_wide_array() -> None:
    """On an array of the inner layers' 4 bits it runs in digits, several times as long."""
    b = NetworkBuilder((16, 8, 8), 4, 4, 8, 3)
    x = b.conv("inner", b.conv("stem", "image", 16, 3, pads=(1, 1, 1, 1), weight_bits=8), 8, 8)
    graph = b.build(b.linear("fc", b.flatten("flat", x), 10, out=RESULT))
    board = load_board("zcu104")
    fixed: dict[str, int | str] = {"lanes_k": 16, "lanes_p": 2, "slots": 1, "sub_row": 8, "drain_k": 2}
    best = best_single(timed_engines(graph, 4, fixed, board), board, "it")
    assert (best.config.weight_bits, best.config.activation_bits) == (8, 8)
    narrow = best_single(timed_engines(graph, 4, {**fixed, "weight_bits": 4}, board), board, "it")
    assert best.cycles_per_image < 0.5 * narrow.cycles_per_image


def test_weight_traffic_is_the_streams_length() -> None:
    config = fit_depths(HIGH, EngineConfig(lanes_k=12, lanes_p=2, drain_k=4))
    compiled = compile_program(HIGH, config)
    assert sum(step.weight_bytes(config) for step in make_schedule(HIGH, config).computes) == len(compiled.weights)


def test_words_are_as_long_as_a_patterns_sub_rows() -> None:
    """This holds if the bus is wide enough. Words of 16 channels would wait for the fuller half of each 32."""
    b = NetworkBuilder((3, 8, 8), 8, 8, 8, 5)
    x = b.conv("sparse", b.conv("wide", "image", 64, 1), 64, pads=(1, 1, 1, 1), pattern=Pattern(4, 32))
    graph = b.build(b.linear("fc", b.flatten("flat", b.conv("narrow", x, 8, 8)), 10, out=RESULT))
    fixed: dict[str, int | str] = {"lanes_k": 16, "lanes_p": 2, "slots": 1, "drain_k": 2, "bus_bits": 256}
    board = load_board("zcu104")
    best = best_single(timed_engines(graph, 8, fixed, board), board, "it")
    assert best.config.sub_row == 32
    shorter = best_single(timed_engines(graph, 8, {**fixed, "sub_row": 16}, board), board, "it")
    assert best.cycles_per_image < 0.8 * shorter.cycles_per_image


@pytest.mark.parametrize(
    ("board", "bits", "packed"),
    [
        ("kv260", 8, ("dsp48e2", 2, 1, False)),
        ("pynq-z2", 8, ("dsp48e1", 2, 1, False)),
        ("kv260", 4, ("dsp48e2", 2, 2, False)),
        ("ulx3s-85f", 8, ("mult18x18d", 1, 1, False)),
    ],
)
def test_dense_networks_are_packed_as_densely_as_the_family_takes(
    board: str, bits: int, packed: tuple[str, int, int, bool]
) -> None:
    fixed: dict[str, int | str] = {"lanes_k": 16, "lanes_p": 2, "slots": 2, "multiplier": "dsp", "weight_bits": bits}
    if bits == 4:  # else the digits of the 8-bit input, which share a word, are worth a gather in so small a network
        fixed["gather"] = False
    target = load_board(board)
    config = best_single(timed_engines(HIGH if bits == 8 else LOW, bits, fixed, target), target, "it").config
    assert (config.dsp_primitive, config.pack_k, config.pack_p, config.gather) == packed
    assert config.chain == min(2, longest_chains(config.dsp_primitive, bits, config.operands)[packed[1:3]])
    unpacked = {**fixed, "dsp_primitive": "none", "lanes_p": 1}
    plain = best_single(timed_engines(HIGH, 8, unpacked, target), target, "it").config
    assert (plain.dsp_primitive, plain.pack_k, plain.pack_p, plain.chain) == ("none", 1, 1, 1)


def test_lanes_without_dsp_blocks_are_made_of_luts_where_there_is_room() -> None:
    board = load_board("zc706")
    best = best_single(timed_engines(HIGH, 8, {}, board, alone=True), board, "it")
    assert 0 < best.config.fabric_lanes < best.config.lanes_p
    assert best.resources.dsps > 0.8 * board.usable.dsps
    none = best_single(timed_engines(HIGH, 8, {"fabric_lanes": 0}, board, alone=True), board, "it")
    assert none.config.fabric_lanes == 0
    assert best.cycles_per_image < 0.8 * none.cycles_per_image
    few_luts = with_shares(board, luts=0.2)
    assert best_single(timed_engines(HIGH, 8, {}, few_luts, alone=True), few_luts, "it").config.fabric_lanes == 0


def test_lanes_of_luts_that_no_engine_has_are_named() -> None:
    board = load_board("ulx3s-85f")
    with pytest.raises(ToolflowError, match="fabric_lanes must be 0 without columns of dsp48e1 or dsp48e2"):
        timed_engines(HIGH, 8, {"fabric_lanes": 1}, board, alone=True)
    board = load_board("zc706")
    with pytest.raises(ToolflowError, match="--engine: fabric_lanes must be less than lanes_p = 4, not 4"):
        timed_engines(HIGH, 8, {"lanes_p": 4, "fabric_lanes": 4}, board, alone=True)


def test_a_sparse_network_keeps_gather_and_takes_pairs_of_positions() -> None:
    b = NetworkBuilder((16, 8, 8), 8, 8, 8, 5)
    x = b.conv("sparse", "image", 32, pads=(1, 1, 1, 1), pattern=Pattern(2, 16))
    graph = b.build(b.linear("fc", b.flatten("flat", b.conv("narrow", x, 8, 8)), 10, out=RESULT))
    target = load_board("kv260")
    config = best_single(timed_engines(graph, 8, {"lanes_p": 4, "slots": 2}, target), target, "it").config
    assert (config.gather, config.pack_k, config.pack_p, config.chain) == (True, 1, 2, 2)


@pytest.mark.parametrize(
    ("board", "outputs", "packed"),
    [
        ("kv260", 2, (2, 2, 1, 4)),
        ("kv260", 4, (4, 2, 1, 4)),
        ("pynq-z2", 2, (2, 2, 1, 2)),
        ("ulx3s-85f", 2, (2, 1, 1, 4)),
    ],
)
def test_shared_indices_let_a_sparse_network_take_pairs_of_weights(
    board: str, outputs: int, packed: tuple[int, int, int, int]
) -> None:
    b = NetworkBuilder((16, 8, 8), 8, 8, 8, 5)
    x = b.conv("sparse", "image", 32, pads=(1, 1, 1, 1), pattern=Pattern(2, 8, outputs))
    graph = b.build(b.linear("fc", b.flatten("flat", b.conv("narrow", x, 8, 8)), 10, out=RESULT))
    target = load_board(board)
    fixed: dict[str, int | str] = {"lanes_k": 8, "lanes_p": 2, "slots": 4, "sub_row": 8}
    config = best_single(timed_engines(graph, 8, fixed, target), target, "it").config
    assert config.gather
    assert (config.index_k, config.pack_k, config.pack_p, config.chain) == packed
    with pytest.raises(ToolflowError, match="--engine: index_k must be 1 without gather, not 2"):
        timed_engines(graph, 8, {**fixed, "index_k": 2, "gather": False}, target)
    own = best_single(timed_engines(graph, 8, {**fixed, "index_k": 1}, target), target, "it").config
    assert (own.gather, own.index_k, own.pack_k) == (True, 1, 1)


def test_a_weight_that_a_packing_excludes_is_not_left_out_of_the_network() -> None:
    """Chains of two pairs on a DSP48E1 do not take −128: with such a weight the planner takes chains of one."""
    b = NetworkBuilder((8, 8, 8), 8, 8, 8, 5)
    graph = b.build(b.linear("fc", b.flatten("flat", b.conv("inner", "image", 16)), 10, out=RESULT))
    target, fixed = load_board("pynq-z2"), {"lanes_k": 16, "lanes_p": 1, "slots": 4}
    assert best_single(timed_engines(graph, 8, fixed, target), target, "it").config.chain == 2
    graph.nodes[0].weights["weight"][0, 0, 0, 0] = -128
    config = best_single(timed_engines(graph, 8, fixed, target), target, "it").config
    assert (config.pack_k, config.chain) == (2, 1)
    compile_program(graph, config)
    excluding = config.model_copy(update={"chain": 2})
    with pytest.raises(
        ToolflowError,
        match="'inner': -128 is a weight, or a digit of one, that dsp48e1 with pack_k=2, pack_p=1 and chain=2 does not",
    ):
        compile_program(graph, excluding)


def test_no_shape_that_fits_is_faster() -> None:
    board = load_board("pynq-z2")
    request = UnitRequest(HIGH, 8, 8, fixed={"sub_row": 8, "drain_k": 2})
    chosen = best_single(candidates(request, board, no_progress), board, "it")
    times = []
    for ranked in rank_shapes(request, board):
        sized = ranked.within(board.usable)
        if sized and ranked.cycles_per_image < chosen.cycles_per_image:
            config, report = estimate(HIGH, sized.config, ranked.lanes_p)
            if not estimate_resources(config, board.family).total.over(board.usable):
                times.append(report.cycles_per_image)
    assert times
    assert chosen.cycles_per_image <= 1.03 * min(times)
    assert not chosen.resources.over(board.usable)


def test_depths_are_all_that_follows_from_a_network() -> None:
    """`FITTED` names every parameter that `fit_depths` sets, and no other."""
    depths = {
        name: 37 if name.endswith("_bits") else 64 for name in FITTED if name not in ("input_lanes", "external_maps")
    }
    wide = EngineConfig.model_validate({**depths, "external_maps": True})
    before, after = (config.model_dump() for config in (wide, fit_depths(HIGH, wide)))
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= set(FITTED)
    assert set(needs(make_schedule(HIGH, wide))) == set(FITTED)


def test_an_engine_alone_is_as_fast_and_sooner_found() -> None:
    """Only engines that would leave room for another unit are omitted."""
    board = load_board("pynq-z2")
    both = (timed_engines(HIGH, 8, {}, board, alone=alone) for alone in (False, True))
    for_pairs, alone = ([c for c in timed if not c.resources.over(board.usable)] for timed in both)
    assert 0 < len(alone) < len(for_pairs)
    fastest = (min(c.cycles_per_image for c in timed) for timed in (for_pairs, alone))
    assert next(fastest) == next(fastest)


def test_a_batch_of_one_gets_another_engine() -> None:
    board = load_board("zcu104")
    full = best_single(candidates(UnitRequest(HIGH, 8, 8), board, no_progress), board, "it")
    alone, single = (
        best_single(candidates(UnitRequest(HIGH, 8, 8, fixed=fixed, batch=1), board, no_progress), board, "it")
        for fixed in ({"stripes": 0}, {})
    )
    _, full_at_one = estimate(HIGH, full.config, 1)
    assert (alone.config.lanes_p, alone.config.stripes) == (1, False)
    assert single.config.stripes
    assert single.report.total_cycles < alone.report.total_cycles < full_at_one.total_cycles
    assert full.cycles_per_image < alone.cycles_per_image


def test_a_pair_shares_the_board() -> None:
    board = load_board("pynq-z2")
    low = candidates(UnitRequest(LOW, 4, 4, ("lut",)), board, no_progress)
    high = candidates(UnitRequest(HIGH, 8, 8), board, no_progress)
    pair = best_pair(low, high, board, 0.2)
    assert pair is not None
    assert not (pair[0].resources + pair[1].resources).over(board.usable)
    assert pair[0].config.multiplier == "lut"
    assert pair[0].cycles_per_image < pair[1].cycles_per_image
    none_left = with_shares(board, luts=0.2)
    assert best_pair(low, high, none_left, 0.2) is None


def test_slow_memory_counts_and_is_named() -> None:
    board = load_board("zcu104")
    slow = board.model_copy(update={"memory": board.memory.model_copy(update={"efficiency": 1e-4})})
    quick = best_single(candidates(UnitRequest(HIGH, 8, 8), board, no_progress), board, "it")
    held = best_single(candidates(UnitRequest(HIGH, 8, 8), slow, no_progress), slow, "it")
    assert held.cycles_per_image == held.memory_cycles > held.report.cycles_per_image
    assert "the external memory bounds it" in explain(held, slow)
    assert "the external memory bounds it" not in explain(quick, board)
    assert "of what is usable" in explain(quick, board)


def test_what_does_not_fit_says_what_and_where_it_would() -> None:
    board = with_shares(load_board("pynq-z2"), block_rams=0.02)
    timed = candidates(UnitRequest(HIGH, 8, 8), board, no_progress)
    with pytest.raises(DoesNotFitError) as caught:
        best_single(timed, board, "the network at 8 bits")
    text = str(caught.value)
    assert text.startswith("the network at 8 bits does not fit PYNQ-Z2: the nearest engine (lanes_k=")
    assert "BRAM (36 Kb) of 2 usable" in text
    assert "It fits KV260; else take fewer bits" in text


def test_an_engine_that_the_user_fixed_too_large_gets_a_smaller_one_named() -> None:
    board = load_board("pynq-z2")
    fixed = {"lanes_k": 64, "lanes_p": 32, "slots": 1, "drain_k": 1, "sub_row": 8}
    timed = candidates(UnitRequest(HIGH, 8, 8, fixed=fixed), board, no_progress)
    with pytest.raises(DoesNotFitError, match=r"DSPs of 176 usable.*It fits with lanes_k=") as caught:
        best_single(timed, board, "it")
    text = str(caught.value).rsplit("It fits with ", 1)[1]
    smaller = {name: int(value) for name, value in (part.split("=") for part in text.split(", "))}
    again = candidates(UnitRequest(HIGH, 8, 8, fixed={**smaller, "sub_row": 8}), board, no_progress)
    assert best_single(again, board, "it").config.lanes_k == smaller["lanes_k"]


@pytest.mark.parametrize(("board", "size"), [("pynq-z2", 400), ("zcu104", 400), ("zcu104", 640), ("ulx3s-85f", 200)])
def test_maps_that_no_board_holds_lie_in_external_memory(board: str, size: int) -> None:
    target, network = load_board(board), large_maps(size)
    chosen = best_single(candidates(UnitRequest(network, 8, 8, fixed=ONE_LANE), target, no_progress), target, "it")
    config = chosen.config
    schedule = make_schedule(network, config, config.bank_depth)
    assert schedule.map_bytes > 0
    assert needs(schedule)["bank_depth"] <= config.bank_depth
    assert predict(config, schedule.steps, chosen.report.images) == chosen.report
    assert chosen.memory_cycles > size * size * 32 / target.sustained_bytes_per_cycle  # the map, out and in


@pytest.mark.parametrize(("board", "width"), [("pynq-z2", 8192), ("zcu104", 20_000)])
def test_a_board_that_does_not_hold_a_band_of_a_layer_names_it(board: str, width: int) -> None:
    text = r"does not fit .*, not even in bands of rows: a band of 1 of the \d output rows of '\w+' needs [0-9,]+ words"
    with pytest.raises(DoesNotFitError, match=text):
        timed_engines(long_rows(width), 8, {}, load_board(board))


def test_banks_that_block_ram_does_not_hold_go_to_ultraram() -> None:
    board, network = load_board("zcu104"), large_maps(200)
    chosen = best_single(candidates(UnitRequest(network, 8, 8, fixed=ONE_LANE), board, no_progress), board, "it")
    assert chosen.config.bank_memory == "ultra"
    assert 40 < chosen.resources.urams <= board.usable.urams
    assert chosen.resources.block_rams < 20
    in_blocks = chosen.config.model_copy(update={"bank_memory": "block"})
    assert "block_rams" in estimate_resources(in_blocks, board.family).total.over(board.usable)
    assert estimate(network, in_blocks, chosen.report.images)[1] == chosen.report


def test_ultraram_is_left_alone_where_block_ram_suffices() -> None:
    board = load_board("zcu104")
    chosen = best_single(candidates(UnitRequest(HIGH, 8, 8), board, no_progress), board, "it")
    assert (chosen.config.bank_memory, chosen.resources.urams) == ("block", 0)


def test_a_pair_whose_banks_do_not_share_the_block_ram_takes_ultraram() -> None:
    board = with_shares(load_board("zcu104"), block_rams=0.1)
    low = candidates(UnitRequest(LOW, 4, 4, ("lut",)), board, no_progress)
    high = candidates(UnitRequest(HIGH, 8, 8), board, no_progress)
    pair = best_pair(low, high, board, 0.2)
    assert pair is not None
    together = pair[0].resources + pair[1].resources
    assert not together.over(board.usable)
    assert together.urams


@pytest.mark.parametrize("memory", ["block", "ultra"])
def test_banks_in_the_memory_that_the_user_fixed_are_as_deep_as_it_allows(memory: str) -> None:
    board = load_board("zcu104")
    fixed: dict[str, int | str] = {**ONE_LANE, "bank_memory": memory}
    chosen = best_single(candidates(UnitRequest(large_maps(400), 8, 8, fixed=fixed), board, no_progress), board, "it")
    blocks = (chosen.resources.block_rams, chosen.resources.urams)[memory == "ultra"]
    assert chosen.config.bank_memory == memory
    assert blocks > 0.5 * (board.usable.block_rams, board.usable.urams)[memory == "ultra"]


def test_ultraram_on_a_board_without_it() -> None:
    board = load_board("pynq-z2")
    with pytest.raises(DoesNotFitError, match=r"\d+ URAMs of 0 usable. It fits with lanes_k=\d+, .*drain_k=\d+$"):
        best_single(candidates(UnitRequest(HIGH, 8, 8, fixed={"bank_memory": "ultra"}), board, no_progress), board, "")


def test_fixed_parameters_that_contradict_each_other() -> None:
    with pytest.raises(ToolflowError, match="--engine: drain_k must divide"):
        candidates(UnitRequest(HIGH, 8, 8, fixed={"drain_k": 3}), load_board("zcu104"), no_progress)


def test_sizes_alone_refuse_what_no_engine_holds_and_nothing_that_one_does() -> None:
    pynq, held = load_board("pynq-z2"), large_maps(32)
    for graph, bits in ((HIGH, 8), (LOW, 4), (held, 8)):
        best_single(timed_engines(graph, bits, {}, pynq), pynq, "it")  # there is one
        require_room(graph, bits, {}, pynq, "it")
    require_room(large_maps(512), 8, {}, pynq, "it")
    large = long_rows(16_384)
    with pytest.raises(DoesNotFitError, match=r"^it does not fit PYNQ-Z2: .* BRAM \(36 Kb\) of 112 usable") as caught:
        require_room(large, 8, {}, pynq, "it")
    assert str(caught.value).endswith("It fits KV260; else take fewer bits, smaller images or a smaller network")
    with pytest.raises(DoesNotFitError):
        best_single(timed_engines(large, 8, {}, pynq), pynq, "it")


def test_weights_that_no_buffer_holds_are_refused_unless_some_are_left_out() -> None:
    b = NetworkBuilder((3, 24, 24), 8, 8, 8, 3)
    wide = b.conv("wide", "image", 512, 1)
    pair = b.conv("pair", wide, 4, (24, 23))  # a fully connected layer's rows need no buffer
    graph = b.build(b.linear("fc", b.flatten("flat", pair), 4, out=RESULT))
    board = with_shares(load_board("zcu102"), block_rams=0.1)
    require_room(graph, 8, {}, board, "it")  # a weight of every output channel is 0
    full = [replace(node, weights={n: np.ones_like(w) for n, w in node.weights.items()}) for node in graph.nodes]
    graph = replace(graph, nodes=tuple(full))
    with pytest.raises(DoesNotFitError):
        require_room(graph, 8, {}, board, "it")
    require_room(graph, 8, {}, board, "it", dense=False)


def grouped(bits: int) -> QuantisedGraph:
    """Few channels, words that are not full, depthwise and grouped layers: what takes fewer rows than whole words."""
    b = NetworkBuilder((3, 9, 9), bits, bits, 8, 3)
    x = b.conv("stem", "image", 20, 5, weight_bits=8)
    x = b.conv("depthwise", x, 20, 3, groups=20)
    x = b.conv("groups", x, 40, 3, groups=5)
    return b.build(b.linear("fc", b.flatten("flat", x), 2, out=RESULT))


@pytest.mark.parametrize("board", ["zcu104", "ulx3s-85f"])
@pytest.mark.parametrize("bits", [3, 5, 8])
def test_no_engine_that_runs_a_network_is_refused_by_its_sizes(bits: int, board: str) -> None:
    """For every shape one of the smallest engines takes no more of any resource: else a board may hold it alone."""
    graph, target = grouped(bits), load_board(board)
    multipliers = ("dsp", "lut") if bits < 8 else ("dsp",)
    smallest = [each.resources.by_name() for each in smallest_engines(graph, bits, multipliers, {}, target, dense=True)]
    shapes = allowed_shapes(bits, bits, multipliers, {}, target)
    for shape in shapes[:: len(shapes) // 250]:
        taken = estimate_resources(fit_depths(graph, shape), target.family).total.by_name()
        assert any(all(each[name] <= taken[name] for name in taken) for each in smallest), shape


def test_a_fixed_engine_that_just_fits_is_not_refused() -> None:
    """Its accumulators are narrower than an engine's may be, which is much of a large array."""
    fixed: dict[str, int | str] = {"lanes_k": 64, "lanes_p": 8, "slots": 1, "sub_row": 8, "drain_k": 8}
    zcu104 = load_board("zcu104")
    taken = min(each.resources.luts for each in timed_engines(HIGH, 8, fixed, zcu104))
    board = with_shares(zcu104, luts=(taken + 1) / zcu104.available.luts)
    best_single(timed_engines(HIGH, 8, fixed, board), board, "it")
    require_room(HIGH, 8, fixed, board, "it")
