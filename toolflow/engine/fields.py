"""Bit fields of the blocks of 16 words that a program consists of: its header and its instructions (PROGRAM.md).

A block is a dataclass whose fields say by `bits` or `at` where they lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from toolflow.ir.errors import ToolflowError

BLOCK_WORDS = 16
_KEY = "bits"


class BitField(NamedTuple):
    """Where a field's bits lie in a block: from bit `low` of a 32-bit word on."""

    word: int
    low: int
    width: int
    signed: bool = False

    @property
    def lowest(self) -> int:
        """The smallest value that fits."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The largest value that fits."""
        return (1 << (self.width - int(self.signed))) - 1

    def read(self, block: int) -> int:
        """Return the value that a block holds."""
        value = block >> (32 * self.word + self.low) & ((1 << self.width) - 1)
        return value - (1 << self.width) if value > self.highest else value

    def place(self, value: int) -> int:
        """Return a block that holds nothing but the value."""
        return (value & ((1 << self.width) - 1)) << (32 * self.word + self.low)


def at(word: int, low: int, width: int, signed: bool = False) -> dict[str, BitField]:
    """Return the metadata of a dataclass's field that say where it lies; arguments as in `BitField`."""
    return {_KEY: BitField(word, low, width, signed)}


def bits(word: int, low: int, width: int, signed: bool = False) -> Any:
    """Declare a dataclass's field of these bits, 0 by default; arguments as in `BitField`."""
    return field(default=0, metadata=at(word, low, width, signed))


def layout_of(block: type) -> dict[str, BitField]:
    """Return the places of a dataclass's fields, in their order; fields without a place are left out."""
    return {one.name: one.metadata[_KEY] for one in fields(block) if _KEY in one.metadata}


def pack(layout: Mapping[str, BitField], values: object, name: str) -> npt.NDArray[np.uint32]:
    """Return the 16 words that hold the attributes of `values` which the layout names.

    Raises:
        ToolflowError: a field of the block `name` does not fit its bits.
    """
    block = 0
    for key, place in layout.items():
        value = int(getattr(values, key))
        if not place.lowest <= value <= place.highest:
            raise ToolflowError(
                f"'{name}': {key} must lie within [{place.lowest}, {place.highest}] to be encoded, not {value}"
            )
        block |= place.place(value)
    return np.frombuffer(block.to_bytes(4 * BLOCK_WORDS, "little"), dtype="<u4").copy()


def unpack(layout: Mapping[str, BitField], words: npt.NDArray[np.uint32]) -> dict[str, int]:
    """Return the fields that 16 words hold."""
    block = _as_integer(words)
    return {key: place.read(block) for key, place in layout.items()}


def unused(layout: Mapping[str, BitField], words: npt.NDArray[np.uint32]) -> int | None:
    """Return the first of 16 words that has a bit outside the layout's fields, None if all lie inside."""
    used = _as_integer(words)
    for place in layout.values():
        used &= ~place.place(-1)
    return ((used & -used).bit_length() - 1) // 32 if used else None


def _as_integer(words: npt.NDArray[np.uint32]) -> int:
    """Return 16 words as one integer, the first word in its lowest bits."""
    return int.from_bytes(words.astype("<u4").tobytes(), "little")
