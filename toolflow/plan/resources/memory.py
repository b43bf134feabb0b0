"""How a memory of depth × width maps to block RAM, LUT RAM and UltraRAM on each family.

One write port with an enable for each piece of a word, one read port with a register, as every memory of the
engine has. The rule is the synthesiser's: of all shapes that a block can take, and of LUT RAM, the cheapest
by the costs of its RAM descriptions. UltraRAM is only taken if it is asked for. Shapes and costs are the
family's (`boards/families`), as Yosys' memory descriptions state them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.family import BlockShape, Family, family_of

LANE_BITS = 9  # a block's write enables cover 9 bits each
ULTRA_WORDS, ULTRA_BITS = 4096, 72
ULTRA_LANE_BITS = (8, 9)  # what its write enables can cover


@dataclass(frozen=True)
class Memory:
    """A memory as it is mapped.

    Attributes:
        kind: block RAM, LUT RAM or UltraRAM.
        count: blocks, LUTs as memory and as read multiplexer, and the read register where LUTs hold the words.
    """

    kind: Literal["block", "lut", "ultra"]
    count: ResourceCount


@cache
def map_memory(
    family: str,
    words: int,
    piece_bits: int,
    pieces: int = 1,
    registered: bool = True,
    ultra: bool = False,
    distributed: bool = False,
) -> Memory:
    """Return how `words` words of `pieces` × `piece_bits` bits are held.

    Args:
        family: name of the device's family.
        words: depth.
        piece_bits: bits that are written together.
        pieces: number of pieces in a word.
        registered: whether the read is registered; a memory that is read within the cycle cannot be block RAM.
        ultra: whether UltraRAM is asked for; families that have none count it too, so that it never fits.
        distributed: whether LUT RAM is asked for.
    """
    width = pieces * piece_bits
    facts = family_of(family)
    if ultra:
        deep = -(-words // ULTRA_WORDS)
        luts = _read_multiplexer(facts, deep, width)
        return Memory("ultra", ResourceCount(luts=luts, urams=deep * _ultra_wide(piece_bits, pieces)))
    lut_cost, lut = min(
        (
            (-(-words // s.words) * pieces * -(-piece_bits // s.bits) * s.cost, index)
            for index, s in enumerate(facts.lut_ram)
        ),
    )
    if registered and not distributed:
        block_cost, block = min(
            (_blocks(shape, words, piece_bits, pieces) * shape.cost, index)
            for index, shape in enumerate(facts.block_ram.shapes)
        )
        if block_cost <= lut_cost:
            shape = facts.block_ram.shapes[block]
            deep = -(-words // shape.words)
            return Memory(
                "block",
                ResourceCount(
                    luts=_read_multiplexer(facts, deep, width),
                    block_rams=_blocks(shape, words, piece_bits, pieces) * shape.blocks,
                ),
            )
    primitive = facts.lut_ram[lut]
    deep = -(-words // primitive.words)
    memory_luts = deep * pieces * -(-piece_bits // primitive.bits) * primitive.luts
    return Memory(
        "lut",
        ResourceCount(luts=memory_luts + _read_multiplexer(facts, deep, width), flip_flops=width if registered else 0),
    )


def _blocks(shape: BlockShape, words: int, piece_bits: int, pieces: int) -> int:
    """Return how many primitives of one shape the memory takes: `deep` rows of `wide`."""
    deep = -(-words // shape.words)
    if pieces == 1:
        wide = -(-piece_bits // shape.bits)
    elif shape.bits < LANE_BITS:
        wide = pieces * -(-piece_bits // shape.bits)
    else:
        wide = -(-pieces * -(-piece_bits // LANE_BITS) // (shape.bits // LANE_BITS))
    return deep * wide


def _ultra_wide(piece_bits: int, pieces: int) -> int:
    """Return how many UltraRAM blocks lie side by side for a word."""
    if pieces == 1:
        return -(-piece_bits // ULTRA_BITS)
    return min(-(-pieces * -(-piece_bits // lane) // (ULTRA_BITS // lane)) for lane in ULTRA_LANE_BITS)


def _read_multiplexer(family: Family, inputs: int, width: int) -> float:
    """Return the LUTs of an `inputs`:1 multiplexer of `width` bits: a LUT6 holds 4:1, two LUT4 with their own join."""
    if inputs == 1:
        return 0
    return width * (inputs / 2 if family.lut_inputs == 4 else max(inputs / 4, 1))
