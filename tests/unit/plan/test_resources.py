"""The resource model: its geometry, its growth, and its distance from recorded syntheses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolflow.engine.config import EngineConfig
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.estimate import LaneAmounts, estimate_resources, fitted_coefficients
from toolflow.plan.resources.family import families
from toolflow.plan.resources.features import MODULES, dsps, memories, parameter_bits, product_bits

REPOSITORY = Path(__file__).resolve().parents[3]
RECORD = REPOSITORY / "benchmarks" / "yosys_resources.json"
TOLERANCE = 0.20
FAMILIES = ("xc7", "xcup", "ecp5")
BASE = EngineConfig(lanes_k=8, lanes_p=4, bank_depth=1024, weight_depth=256)


def changed(**values: object) -> EngineConfig:
    return EngineConfig.model_validate({**BASE.model_dump(), **values})


def tiled(tile: int, **values: object) -> EngineConfig:
    """Return an engine with tiles whose layers have at most 32 channels."""
    depth = (tile + 2) ** 2 * 4 if tile else 1
    return changed(tile=tile, transform_depth=depth, **values)


def recorded() -> dict[str, Any]:
    """Return what Yosys made of the configurations that the fit has not seen, by family and label."""
    return dict(json.loads(RECORD.read_text(encoding="utf-8")))


def test_the_model_is_near_what_yosys_made() -> None:
    misses = []
    for name, entry in recorded().items():
        model = estimate_resources(EngineConfig(**entry["config"]), entry["family"]).total.by_name()
        for resource, amount in entry["amounts"].items():
            if model[resource] != pytest.approx(amount, rel=TOLERANCE):
                misses.append(f"{name}: {resource} {model[resource]}, not {amount}")
    assert not misses


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "config",
    [
        BASE,
        changed(multiplier="lut", weight_bits=4, activation_bits=4, gather=False),
        changed(slots=4, gather=False, dsp_primitive="dsp48e2", pack_k=2, pack_p=2, weight_bits=4, activation_bits=4),
        tiled(4, slots=2, transform_cycles=2),
        changed(bank_memory="ultra", drain_k=4),
    ],
)
def test_lanes_are_counted_as_the_model_counts_them(config: EngineConfig, family: str) -> None:
    """A single lane has no multiplexer of lanes; memories as wide as all lanes are rounded to whole blocks."""
    amounts = LaneAmounts(config, family)
    for lanes in (1, 2, 6, 30, 64):
        exact = estimate_resources(config.model_copy(update={"lanes_p": lanes}), family).total.by_name()
        near = amounts.of(lanes).by_name()
        assert near == pytest.approx(exact, rel=0.02 if lanes == 1 else 0.01 if config.tile else 0.0005, abs=2), lanes
        assert near["dsps"] == pytest.approx(exact["dsps"], abs=1e-6)


TWO_PRECISIONS = {"gather": False, "dsp_primitive": "dsp48e2", "pack_k": 2, "accumulator_bits": 26}


def test_an_engine_with_two_precisions_is_near_what_yosys_made() -> None:
    """Synthesised by pyosys for the fit: 8 x 4 x 4 lanes."""
    engine = changed(slots=4, chain=4, narrow_bits=4, **TWO_PRECISIONS)
    found = estimate_resources(engine, "xcup").total
    assert (found.dsps, found.block_rams) == (46, 12)
    assert found.luts == pytest.approx(11_576, rel=0.08)
    assert found.flip_flops == pytest.approx(11_100, rel=0.12)


@pytest.mark.parametrize("family", ["xc7", "xcup"])
def test_lanes_of_two_precisions_are_counted_as_the_model_counts_them(family: str) -> None:
    engine = changed(slots=4, narrow_bits=4, **TWO_PRECISIONS)
    amounts = LaneAmounts(engine, family)
    assert amounts.in_fabric is None
    for lanes in (2, 6, 64):
        exact = estimate_resources(changed(**{**engine.model_dump(), "lanes_p": lanes}), family).total.by_name()
        assert amounts.of(lanes).by_name() == pytest.approx(exact, rel=0.0005, abs=2), lanes


def test_every_family_is_tested() -> None:
    assert set(FAMILIES) == set(families()) == set(fitted_coefficients())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_module_has_coefficients_and_none_is_negative(family: str) -> None:
    fitted = fitted_coefficients()[family]
    assert set(fitted) == set(MODULES)
    amounts = [a for module in fitted.values() for terms in module.values() for a in terms.values()]
    assert min(amounts) >= 0
    for name, module in fitted.items():
        for terms in module.values():
            assert set(terms) <= set(MODULES[name].terms(BASE))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_total_is_the_sum_of_the_parts(family: str) -> None:
    estimate = estimate_resources(BASE, family)
    total = sum(estimate.parts.values(), ResourceCount())
    assert estimate.total.amounts() == pytest.approx(total.amounts(), abs=0.5)
    assert {"array", "requantisers", "banks", "replay buffer", "movers", "confidence", "control"} < set(estimate.parts)


def test_multipliers_are_in_dsps_or_in_luts() -> None:
    in_dsps = estimate_resources(BASE, "xc7")
    in_luts = estimate_resources(changed(multiplier="lut"), "xc7")
    assert in_dsps.parts["array"].dsps == 32
    assert in_luts.parts["array"].dsps == 0
    assert in_luts.parts["array"].luts > in_dsps.parts["array"].luts + 32 * 30


def test_a_product_too_narrow_for_a_dsp_stays_in_luts() -> None:
    assert estimate_resources(changed(weight_bits=4, activation_bits=4), "xc7").parts["array"].dsps == 32
    assert estimate_resources(changed(weight_bits=3, activation_bits=4), "xc7").parts["array"].dsps == 0


def test_every_lane_and_channel_has_a_requantiser() -> None:
    assert estimate_resources(changed(drain_k=4), "xcup").parts["requantisers"].dsps == 3 * 4 * 4


def test_banks_follow_their_geometry() -> None:
    assert estimate_resources(BASE, "xc7").parts["banks"].block_rams == 4 * 2  # 1,024 words of 64 bits a lane
    assert estimate_resources(changed(bank_depth=512), "xc7").parts["banks"].block_rams == 4
    assert estimate_resources(changed(bank_depth=1024), "ecp5").parts["banks"].block_rams == 4 * 4


def test_banks_in_ultraram_leave_the_block_ram_to_others() -> None:
    blocks = estimate_resources(BASE, "xcup")
    ultra = estimate_resources(changed(bank_memory="ultra"), "xcup")
    assert (blocks.total.urams, ultra.total.urams) == (0, 4)  # a word of 64 bits and 1,024 words: one block a lane
    assert ultra.total.block_rams == blocks.total.block_rams - 4 * 2
    assert estimate_resources(changed(bank_memory="ultra", bank_depth=5000), "xcup").parts["banks"].urams == 4 * 2
    assert estimate_resources(changed(bank_memory="ultra"), "xc7").total.urams == 4  # none there, so it does not fit


def test_odd_groups_split_the_words_of_a_bank() -> None:
    whole = next(use for use in memories(BASE) if use.part == "banks")
    split = next(use for use in memories(changed(lanes_k=12)) if use.part == "banks")
    assert (whole.piece_bits, whole.pieces) == (64, 1)
    assert (split.piece_bits, split.pieces) == (32, 2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "more",
    [{"lanes_k": 16}, {"lanes_p": 8}, {"slots": 2}, {"drain_k": 2}, {"accumulator_bits": 32}, {"bus_bits": 256}],
    ids=str,
)
def test_more_of_anything_takes_no_less(family: str, more: dict[str, int]) -> None:
    small = changed(accumulator_bits=20)
    large = EngineConfig.model_validate({**small.model_dump(), **more})
    before, after = (estimate_resources(c, family).total for c in (small, large))
    assert not before.over(after)


def test_leaving_the_confidence_unit_out_saves_it() -> None:
    with_unit = estimate_resources(BASE, "xc7").parts["confidence"]
    without = estimate_resources(changed(confidence=False), "xc7").parts["confidence"]
    assert without.luts < with_unit.luts
    assert (with_unit.dsps, without.dsps) == (1, 0)


def test_the_table_of_exponents_is_a_block_ram_on_ecp5() -> None:
    assert [estimate_resources(BASE, family).parts["confidence"].block_rams for family in FAMILIES] == [0, 0, 1]
    assert estimate_resources(changed(confidence=False), "ecp5").parts["confidence"].block_rams == 0


def test_look_up_tables_of_four_inputs_are_more() -> None:
    assert estimate_resources(BASE, "ecp5").total.luts > 1.5 * estimate_resources(BASE, "xc7").total.luts


def test_counts_compare_by_resource() -> None:
    need, have = ResourceCount(luts=10, dsps=5), ResourceCount(luts=8, dsps=6)
    assert need.over(have) == {"luts": (10, 8)}
    assert need.shares(have) == {"luts": 1.25, "dsps": 5 / 6}
    assert ResourceCount(urams=1).shares(have)["urams"] == float("inf")
    assert (need + have * 2).amounts() == (26, 0, 17, 0, 0)


TILE_MODULES = ("transform", "transpose", "tile_input", "tile_reader", "tile", "tile_walker", "fold")
TILE_TERMS = {
    "decode": ("tile", "large"),
    "sequencer": ("tile", "large"),
    "drain": ("tile", "large"),
    "requantise": ("shifted_bits",),
    "engine": ("tile", "transformed", "folded"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_engines_without_tiles_have_nothing_of_them(family: str) -> None:
    for name in TILE_MODULES:
        assert not any(MODULES[name].terms(BASE).values()), name
    for name, terms in TILE_TERMS.items():
        assert not any(MODULES[name].terms(BASE)[term] for term in terms), name
    assert {"input transform", "fold"}.isdisjoint(use.part for use in memories(BASE))
    parts = estimate_resources(BASE, family).parts
    assert not any(any(parts[name].amounts()) for name in ("input transform", "fold"))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tile", [2, 4])
def test_every_unit_of_tiles_takes_something(family: str, tile: int) -> None:
    fitted = fitted_coefficients()[family]
    for name in TILE_MODULES:
        terms = MODULES[name].terms(tiled(tile))
        for resource, coefficients in fitted[name].items():
            if name != "tile" or resource == "luts":  # which holds no register
                assert sum(per_unit * terms[term] for term, per_unit in coefficients.items()) > 0, (name, resource)


@pytest.mark.parametrize("family", FAMILIES)
def test_larger_tiles_take_more(family: str) -> None:
    none, small, large = (estimate_resources(tiled(tile), family).total for tile in (0, 2, 4))
    assert not none.over(small)
    assert not small.over(large)
    assert none.luts < small.luts < large.luts
    assert none.flip_flops < small.flip_flops < large.flip_flops


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tile", [2, 4])
def test_a_slower_transform_takes_less(family: str, tile: int) -> None:
    fast, slow = (estimate_resources(tiled(tile, transform_cycles=cycles), family).parts for cycles in (1, 4))
    assert slow["input transform"].luts < fast["input transform"].luts
    assert slow["input transform"].flip_flops < fast["input transform"].flip_flops
    assert slow["fold"] == fast["fold"]


def test_tiles_have_memories_for_words_rows_and_sums() -> None:
    c = tiled(4, transform_cycles=2, drain_k=2, accumulator_bits=36)
    operand, middle = 16, 12  # 8 bits after both, and after one, of the transform's dimensions
    found = [
        (use.part, use.copies, use.words, use.piece_bits, use.pieces, use.distributed)
        for use in memories(c)
        if use.part in ("input transform", "fold")
    ]
    sums = 4 * 4 * 2 * 36  # m of them, for every lane and channel of a chunk
    assert found == [
        ("input transform", 4, 2 * 144, 4 * operand, 2, False),
        ("input transform", 1, 64, 4 * 4 * middle, 1, True),
        ("fold", 2, 4, sums, 1, True),
        ("fold", 2, 16, sums, 1, True),
    ]


def test_many_sums_of_a_tile_need_not_be_in_luts() -> None:
    sums = [use for use in memories(tiled(4, lanes_k=256)) if use.part == "fold"]
    assert [(use.words, use.distributed) for use in sums] == [(256, True), (1024, False)]
    assert estimate_resources(tiled(4, lanes_k=256), "xc7").parts["fold"].block_rams > 0
    assert estimate_resources(tiled(4), "xc7").parts["fold"].block_rams == 0


def test_transformed_tiles_are_two_in_every_lane() -> None:
    shallow, deep = (estimate_resources(changed(tile=2, transform_depth=d), "xcup") for d in (256, 1024))
    # words of 8 operands of 11 bits: 512 of them are 1.5 blocks, 2,048 are 5
    assert shallow.parts["input transform"].block_rams == 4 * 1.5
    assert deep.parts["input transform"].block_rams == 4 * 5


def test_operands_and_parameters_of_tiles_are_wider() -> None:
    assert [product_bits(tiled(tile)) for tile in (0, 2, 4)] == [8 + 9, 8 + 11, 8 + 16]
    assert [parameter_bits(tiled(tile)) for tile in (0, 2, 4)] == [70, 74, 74]


@pytest.mark.parametrize(
    ("config", "blocks"),
    [
        (changed(accumulator_bits=17, bias_bits=16), {"xc7": 2, "xcup": 2, "ecp5": 2}),
        (changed(accumulator_bits=20, bias_bits=24), {"xc7": 2, "xcup": 2, "ecp5": 3}),
        (changed(accumulator_bits=25, bias_bits=24), {"xc7": 3, "xcup": 3, "ecp5": 3}),
        (changed(accumulator_bits=35), {"xc7": 3, "xcup": 3, "ecp5": 4}),
        (tiled(2), {"xc7": 3, "xcup": 3, "ecp5": 4}),  # a residual that is shifted is wide
        (
            changed(accumulator_bits=26, bias_bits=24, slots=4, dsp_primitive="dsp48e2", pack_p=2, chain=4),
            {"xcup": 2},
        ),
    ],
)
def test_a_requantiser_takes_a_block_for_each_product_that_fits_one(
    config: EngineConfig, blocks: dict[str, int]
) -> None:
    """By Yosys' count of cascade_requantise alone."""
    found = {family: dsps(config, family)["requantisers"] for family in blocks}
    assert found == {family: 4 * each for family, each in blocks.items()}


def test_each_family_keeps_products_in_luts_by_the_rule_of_its_own_synthesis() -> None:
    narrow = changed(weight_bits=3, activation_bits=3)  # products of 7 bits
    assert {family: estimate_resources(narrow, family).parts["array"].dsps for family in FAMILIES} == {
        "xc7": 0,
        "xcup": 0,
        "ecp5": 32,
    }
    in_luts = changed(weight_bits=3, activation_bits=3, multiplier="lut")
    assert estimate_resources(in_luts, "ecp5").parts["array"].dsps == 0
    assert estimate_resources(in_luts, "xc7") == estimate_resources(narrow, "xc7")


@pytest.mark.parametrize(("family", "measured"), [("xc7", 770), ("xcup", 797), ("ecp5", 1404)])
def test_maps_in_external_memory_take_what_yosys_made_of_them(family: str, measured: int) -> None:
    """The difference between engines with and without them, the mean of three widths of the bus."""
    found = [estimate_resources(changed(external_maps=there), family).total.luts for there in (True, False)]
    assert found[0] - found[1] == pytest.approx(measured, abs=1)


@pytest.mark.parametrize(
    ("family", "lanes_p", "measured"), [("xc7", 2, 1425), ("xc7", 9, 1926), ("xcup", 2, 1400), ("ecp5", 2, 1984)]
)
def test_one_image_in_all_lanes_takes_what_yosys_made_of_it(family: str, lanes_p: int, measured: int) -> None:
    """The difference between engines with and without stripes; that of nine lanes is not of the fit."""
    shape = {"lanes_p": lanes_p, "sub_row": 8, "external_maps": True}
    found = [estimate_resources(changed(**shape, stripes=there), family).total.luts for there in (True, False)]
    assert found[0] - found[1] == pytest.approx(measured, rel=0.03)
