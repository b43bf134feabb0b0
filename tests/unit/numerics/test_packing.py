"""Packed products: the published table, an oracle of Python integers, and packings that do not exist."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest

from toolflow.numerics.packing import Interval, Packing, all_weights, longest_chains, packing_of
from toolflow.numerics.types import IntegerType
from toolflow.numerics.winograd import WINOGRAD, transformed_range

U8, S8, EITHER8 = Interval(0, 255), Interval(-128, 127), Interval(-128, 255)
U4, S4, EITHER4 = Interval(0, 15), Interval(-8, 7), Interval(-8, 15)
U5 = Interval(0, 31)
V = Interval(-510, 510)  # of F(2,3), but for the tap whose unsigned operands add up to 1,020
V_EVERY = Interval(-510, 1020)


# primitive, weight bits, operands, pack_k, pack_p, longest chain: bits of a field, smallest weight
TABLE = [
    ("dsp48e2", 8, EITHER8, 1, 2, 4, 18, -128),
    ("dsp48e2", 8, U8, 2, 1, 4, 18, -128),
    ("dsp48e2", 8, S8, 2, 1, 7, 18, -128),
    ("dsp48e2", 8, U8, 2, 1, 8, 19, -127),
    ("dsp48e1", 8, U8, 2, 1, 2, 17, -127),
    ("dsp48e1", 8, S8, 2, 1, 4, 17, -127),
    ("dsp48e1", 8, EITHER8, 1, 2, 1, 16, -128),
    ("dsp48e1", 8, EITHER8, 2, 1, 1, 16, -128),
    ("dsp48e2", 4, U4, 2, 2, 8, 11, -8),
    ("dsp48e2", 4, S4, 2, 2, 15, 11, -8),
    ("dsp48e1", 4, U4, 2, 2, 4, 10, -8),
    ("dsp48e1", 4, S4, 2, 2, 7, 10, -8),
    ("mult18x18d", 5, U5, 1, 2, 4, 12, -16),
    ("mult18x18d", 4, U4, 1, 2, 34, 13, -8),
    ("mult18x18d", 6, Interval(0, 63), 2, 1, 1, 12, -31),
    ("dsp48e2", 8, V, 1, 2, 1, 17, -128),
    ("dsp48e2", 7, V, 1, 2, 2, 17, -64),
    ("dsp48e2", 6, V, 1, 2, 4, 17, -32),
    ("dsp48e2", 8, V, 2, 1, 4, 19, -127),
    ("dsp48e2", 8, V_EVERY, 2, 1, 2, 19, -127),
    ("dsp48e1", 8, V, 2, 1, 1, 17, -127),
]


@pytest.mark.parametrize(("primitive", "bits", "operands", "pack_k", "pack_p", "chain", "spacing", "smallest"), TABLE)
def test_longest_chains(
    primitive: str, bits: int, operands: Interval, pack_k: int, pack_p: int, chain: int, spacing: int, smallest: int
) -> None:
    packing = packing_of(primitive, bits, operands, pack_k, pack_p, chain)
    assert (packing.chain, packing.spacing, packing.weights.lower) == (chain, spacing, smallest)
    if smallest > all_weights(bits).lower:
        assert longest_chains(primitive, bits, operands)[pack_k, pack_p] == chain


@pytest.mark.parametrize("m", WINOGRAD)
@pytest.mark.parametrize("signed", [False, True])
def test_transformed_range_is_reached(m: int, signed: bool) -> None:
    form, kind = WINOGRAD[m], IntegerType(8, signed)
    found = []
    for y, x in product(range(form.taps), repeat=2):
        for sign in (-1, 1):
            taps = [sign * a * b for a in form.input[y].tolist() for b in form.input[x].tolist()]
            found.append(sign * sum(t * (kind.upper if t > 0 else kind.lower) for t in taps))
    assert (min(found), max(found)) == transformed_range(form, kind)


def _held(value: int, bits: int) -> bool:
    return value in range(-(1 << bits - 1), 1 << bits - 1)


def _wrong(primitive: str, packing: Packing, chain: int) -> str:
    """Return what is wrong with chains of a packing, by Python's integers: of all extremes and of random operands."""
    wide, narrow, result = {"dsp48e1": (25, 18, 48), "dsp48e2": (27, 18, 48), "mult18x18d": (18, 18, 36)}[primitive]
    rng = random.Random(chain)
    w, a = packing.weights, packing.operands
    weights = list(product((w.lower, w.upper), repeat=2 if packing.weight_step else 1))
    operands = list(product((a.lower, a.upper, 0), repeat=2 if packing.operand_step else 1))
    chains: list[Sequence[tuple[Sequence[int], Sequence[int]]]] = [
        [term] * chain for term in product(weights, operands)
    ]
    for _ in range(300):
        ends = rng.random() < 0.5
        draw = [
            ([rng.choice((w.lower, w.upper)) if ends else rng.randint(w.lower, w.upper) for _ in weights[0]],
             [rng.choice((a.lower, a.upper)) if ends else rng.randint(a.lower, a.upper) for _ in operands[0]])
            for _ in range(chain)
        ]  # fmt: skip
        chains.append(draw)
    for terms in chains:
        packed = 0
        sums: dict[int, int] = {}
        for ws, xs in terms:
            weight = sum(v << i * packing.weight_step for i, v in enumerate(ws))
            operand = sum(x << j * packing.operand_step for j, x in enumerate(xs))
            ports = ((_held(weight, a), _held(operand, b)) for a, b in ((wide, narrow), (narrow, wide)))
            if (True, True) not in ports:
                return "a port"
            assert packing.multiply(ws, xs) == weight * operand
            packed += weight * operand
            for (i, v), (j, x) in product(enumerate(ws), enumerate(xs)):
                place = i * packing.weight_step + j * packing.operand_step
                sums[place] = sums.get(place, 0) + v * x
        if not _held(packed, result):
            return "the result"
        if packing.take_apart(packed) != tuple(sums[place] for place in packing.shifts):
            return "a field"
    return ""


ENGINES = [
    (primitive, bits, operands, pack_k, pack_p)
    for primitive in ("dsp48e1", "dsp48e2", "mult18x18d")
    for bits, operands in ((8, EITHER8), (4, EITHER4), (5, Interval(-16, 31)), (6, Interval(-32, 63)), (8, V_EVERY))
    for pack_k, pack_p in longest_chains(primitive, bits, operands)
]


@pytest.mark.parametrize(("primitive", "bits", "operands", "pack_k", "pack_p"), ENGINES)
def test_sums_are_taken_apart_and_one_more_is_not(
    primitive: str, bits: int, operands: Interval, pack_k: int, pack_p: int
) -> None:
    longest = longest_chains(primitive, bits, operands)[pack_k, pack_p]
    for chain in {1, min(longest, 8), longest} - ({longest} if longest > 100 else set()):
        packing = packing_of(primitive, bits, operands, pack_k, pack_p, chain)
        assert _wrong(primitive, packing, chain) == ""
        if packing.chain < 100:
            assert _wrong(primitive, packing, packing.chain + 1) in ("a field", "the result")


def test_a_wrong_spacing_and_an_excluded_weight_are_found() -> None:
    pair = packing_of("dsp48e2", 8, EITHER8, 1, 2, 4)
    assert _wrong("dsp48e2", replace(pair, operand_step=17), 4) == "a field"
    assert _wrong("dsp48e2", replace(pair, operand_step=19), 4) == "a port"
    weights = packing_of("dsp48e2", 8, EITHER8, 2, 1, 8)
    assert _wrong("dsp48e2", replace(weights, weights=all_weights(8)), 8) == "a port"
    assert _wrong("dsp48e2", replace(weights, weight_step=18, weights=all_weights(8)), 8) == "a field"
    quad = packing_of("dsp48e2", 4, EITHER4, 2, 2, 8)
    assert _wrong("dsp48e2", replace(quad, weight_step=10, operand_step=20), 8) == "a field"


def test_what_a_block_does_not_take_is_refused_with_what_it_takes() -> None:
    with pytest.raises(ValueError, match="dsp48e1") as error:
        packing_of("dsp48e1", 8, EITHER8, 1, 2, 2)
    assert str(error.value) == (
        "dsp48e1 does not take pack_k=1 pack_p=2 with chain=2 for weights of 8 bits and operands from -128 to 255: it "
        "takes pack_k=1 pack_p=1 with any chain, pack_k=1 pack_p=2 with chains of up to 1, "
        "pack_k=2 pack_p=1 with chains of up to 2"
    )
    with pytest.raises(ValueError, match="mult18x18d does not take pack_k=2 pack_p=2 with chain=1"):
        packing_of("mult18x18d", 4, EITHER4, 2, 2, 1)


@pytest.mark.parametrize(
    ("primitive", "bits", "pack_p", "chain", "steps", "smallest"),
    [
        ("dsp48e1", 8, 1, 1, (16, 0), -128),
        ("dsp48e1", 8, 1, 2, (17, 0), -127),
        ("dsp48e1", 4, 2, 4, (20, 10), -8),
        ("dsp48e2", 8, 1, 4, (18, 0), -128),
        ("dsp48e2", 8, 1, 8, (19, 0), -127),
        ("dsp48e2", 4, 2, 8, (22, 11), -8),
    ],
)
def test_weights_of_both_precisions_are_on_the_wide_port(
    primitive: str, bits: int, pack_p: int, chain: int, steps: tuple[int, int], smallest: int
) -> None:
    """The packings of wide and narrow programs, whose place the engine's blocks can change between programs."""
    operands = Interval(-(1 << bits - 1), (1 << bits) - 1)
    packing = packing_of(primitive, bits, operands, 2, pack_p, chain, weights_wide=True)
    assert (packing.weight_step, packing.operand_step, packing.weights.lower) == (*steps, smallest)
    assert packing.weight_bits <= (25 if primitive == "dsp48e1" else 27)
    assert packing.operand_bits <= 18
    assert _wrong(primitive, packing, chain) == ""
    with pytest.raises(ValueError, match=rf"pack_k=2 pack_p={pack_p} with chains of up to "):
        packing_of(primitive, bits, operands, 2, pack_p, 100, weights_wide=True)
