"""How a memory of depth × width maps to block RAM, LUT RAM and UltraRAM on each family.

One write port with an enable for each piece of a word, one read port with a register, as every memory of the
engine has. The rule is the synthesiser's: of all shapes that a block can take, and of LUT RAM, the cheapest
by the costs of its RAM descriptions. UltraRAM is only taken if it is asked for. Shapes and costs are the
devices' (7 series UG473, UltraScale UG573, ECP5 TN1264) as Yosys' memory descriptions state them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from toolflow.plan.resources.count import Family, ResourceCount

LANE_BITS = 9  # a block's write enables cover 9 bits each
ULTRA_WORDS, ULTRA_BITS = 4096, 72
ULTRA_LANE_BITS = (8, 9)  # what its write enables can cover


@dataclass(frozen=True)
class BlockShape:
    """One way to use a block RAM: words × bits, the share of a block that it takes, and its cost."""

    words: int
    bits: int
    blocks: float
    cost: int


@dataclass(frozen=True)
class LutShape:
    """One LUT RAM primitive: words × bits, the LUTs that it takes, and its cost."""

    words: int
    bits: int
    luts: int
    cost: int


def _xilinx_blocks() -> tuple[BlockShape, ...]:
    half = [BlockShape(16384 // bits, bits if bits < 8 else bits // 8 * 9, 0.5, 129) for bits in (1, 2, 4, 8, 16, 32)]
    full = [BlockShape(32768 // bits, bits if bits < 8 else bits // 8 * 9, 1, 257) for bits in (1, 2, 4, 8, 16, 32, 64)]
    return (*half, *full)


BLOCK_SHAPES: dict[Family, tuple[BlockShape, ...]] = {
    "xc7": _xilinx_blocks(),
    "xcup": _xilinx_blocks(),
    "ecp5": tuple(
        BlockShape(16384 // bits, bits if bits < 8 else bits // 8 * 9, 1, 128) for bits in (1, 2, 4, 8, 16, 32)
    ),
}
# RAM32M, RAM64M; RAM32M16, RAM64M8; DPR16X4 (two slices of LUTs, and a third for its write port)
LUT_SHAPES: dict[Family, tuple[LutShape, ...]] = {
    "xc7": (LutShape(32, 6, 4, 8), LutShape(64, 3, 4, 8)),
    "xcup": (LutShape(32, 14, 8, 16), LutShape(64, 7, 8, 16)),
    "ecp5": (LutShape(16, 4, 6, 4),),
}


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
    family: Family,
    words: int,
    piece_bits: int,
    pieces: int = 1,
    registered: bool = True,
    ultra: bool = False,
    distributed: bool = False,
) -> Memory:
    """Return how `words` words of `pieces` × `piece_bits` bits are held.

    Args:
        family: of the device.
        words: depth.
        piece_bits: bits that are written together.
        pieces: such pieces in a word.
        registered: whether the read is registered; a memory that is read within the cycle cannot be block RAM.
        ultra: whether UltraRAM is asked for; families that have none count it too, so that it never fits.
        distributed: whether LUT RAM is asked for.
    """
    width = pieces * piece_bits
    if ultra:
        deep = -(-words // ULTRA_WORDS)
        luts = _read_multiplexer(family, deep, width)
        return Memory("ultra", ResourceCount(luts=luts, urams=deep * _ultra_wide(piece_bits, pieces)))
    lut_cost, lut = min(
        (
            (-(-words // s.words) * pieces * -(-piece_bits // s.bits) * s.cost, index)
            for index, s in enumerate(LUT_SHAPES[family])
        ),
    )
    if registered and not distributed:
        block_cost, block = min(
            (_blocks(shape, words, piece_bits, pieces) * shape.cost, index)
            for index, shape in enumerate(BLOCK_SHAPES[family])
        )
        if block_cost <= lut_cost:
            shape = BLOCK_SHAPES[family][block]
            deep = -(-words // shape.words)
            return Memory(
                "block",
                ResourceCount(
                    luts=_read_multiplexer(family, deep, width),
                    block_rams=_blocks(shape, words, piece_bits, pieces) * shape.blocks,
                ),
            )
    primitive = LUT_SHAPES[family][lut]
    deep = -(-words // primitive.words)
    memory_luts = deep * pieces * -(-piece_bits // primitive.bits) * primitive.luts
    return Memory(
        "lut",
        ResourceCount(luts=memory_luts + _read_multiplexer(family, deep, width), flip_flops=width if registered else 0),
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
    return width * (inputs / 2 if family == "ecp5" else max(inputs / 4, 1))
