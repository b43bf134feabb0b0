"""Instructions: opcodes, fields, and their encoding (PROGRAM.md specifies them)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from enum import STRICT, IntEnum, IntFlag

import numpy as np

from toolflow.engine.fields import BLOCK_WORDS, BitField, at, bits, layout_of, pack, unpack, unused
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.winograd import WINOGRAD

INSTRUCTION_WORDS = BLOCK_WORDS


class Opcode(IntEnum):
    """What an instruction does."""

    TABLE = 1
    LOAD = 2
    CONV = 3
    MAXPOOL = 4
    STORE_RESULT = 5
    STORE_MAP = 6
    END = 7
    TAPS = 8
    FILL = 9
    SPILL = 10
    STRIPES = 11
    SHIFT = 12


class Flag(IntFlag, boundary=STRICT):
    """How it does it; a bit without a name is refused."""

    NONE = 0
    INPUT_SIGNED = 1
    RESIDUAL = 2
    RESIDUAL_SIGNED = 4
    TO_RESULT = 8
    INDEXED = 16
    LOAD_AHEAD = 32
    STRIPED = 64


# What a TAPS holds of each tap of the largest tile instead of the fields.
MAX_TAPS = 36
LARGEST_SIDE = math.isqrt(MAX_TAPS)  # t of that tile
EXPONENT_BITS, EXPONENT_WORDS = 4, slice(1, 6)
TAP_STEPS_BITS, TAP_STEPS_WORDS = 8, slice(6, 15)


@dataclass(frozen=True)
class Instruction:
    """One instruction; every field of PROGRAM.md, 0 if the opcode does not use it.

    `residual_base` of a FILL, a SPILL or a LOAD in stripes is the pitch: bytes from a lane's rows to the next lane's.
    `name` is the node that it came from, for reports only: it is not in the binary.
    """

    opcode: Opcode = field(metadata=at(0, 0, 8))
    flags: Flag = field(default=Flag.NONE, metadata=at(0, 8, 8))
    levels: int = bits(0, 16, 8)
    in_base: int = bits(1, 0, 32)
    in_height: int = bits(2, 0, 16)
    in_width: int = bits(2, 16, 16)
    in_words: int = bits(3, 0, 16)
    in_row_words: int = bits(3, 16, 16)
    out_base: int = bits(4, 0, 32)
    out_height: int = bits(5, 0, 16)
    out_width: int = bits(5, 16, 16)
    out_words: int = bits(6, 0, 16)
    residual_pixel_words: int = bits(6, 16, 16)
    channels: int = bits(7, 0, 16)
    groups: int = bits(7, 16, 16)
    kernel_h: int = bits(8, 0, 8)
    kernel_w: int = bits(8, 8, 8)
    stride_h: int = bits(8, 16, 8)
    stride_w: int = bits(8, 24, 8)
    pad_top: int = bits(9, 0, 8)
    pad_left: int = bits(9, 8, 8)
    dilation_h: int = bits(9, 16, 8)
    dilation_w: int = bits(9, 24, 8)
    sub_rows: int = bits(10, 0, 16)
    steps: int = bits(10, 16, 8)
    steps_last: int = bits(10, 24, 8)
    channel_step: int = bits(11, 0, 16)
    residual_offset: int = bits(11, 16, 16)
    lower: int = bits(12, 0, 16, signed=True)
    upper: int = bits(12, 16, 16, signed=True)
    rows: int = bits(13, 0, 16)
    residual_row_words: int = bits(13, 16, 16)
    residual_base: int = bits(14, 0, 32)
    residual_channels: int = bits(15, 0, 16)
    tile: int = bits(15, 16, 8)
    name: str = field(default="", compare=False)

    def encode(self) -> np.ndarray:
        """Return the instruction as 16 uint32 words.

        Raises:
            ToolflowError: a field does not fit its bits.
        """
        return pack(LAYOUT, self, self.name)

    @classmethod
    def decode(cls, words: np.ndarray, name: str = "") -> Instruction:
        """Return the instruction that 16 words hold.

        Raises:
            ToolflowError: the opcode is unknown or a reserved bit is set.
        """
        index = unused(LAYOUT, words)
        if index is not None:
            raise ToolflowError(f"instruction word {index} has reserved bits set: 0x{int(words[index]):08x}")
        values = unpack(LAYOUT, words)
        try:
            opcode, flags = Opcode(values.pop("opcode")), Flag(values.pop("flags"))
        except ValueError as error:
            raise ToolflowError(f"bad instruction: {error}") from error
        return cls(opcode=opcode, flags=flags, name=name, **values)

    @classmethod
    def taps(cls, exponent: np.ndarray, steps: np.ndarray, name: str = "") -> Instruction:
        """Return the TAPS of exponents and steps, (t, t) each; where steps are 0 or none are given, the CONV's hold."""
        words = np.zeros(INSTRUCTION_WORDS, dtype=np.uint32)
        words[0] = Opcode.TAPS
        words[EXPONENT_WORDS] = _packed(exponent, EXPONENT_BITS, EXPONENT_WORDS)
        words[TAP_STEPS_WORDS] = _packed(steps, TAP_STEPS_BITS, TAP_STEPS_WORDS)
        return cls.decode(words, name)

    def exponents(self, taps: int = LARGEST_SIDE) -> np.ndarray:
        """Return the int64 (t, t) exponents of a TAPS, by default all that it holds."""
        return _unpacked(self.encode()[EXPONENT_WORDS], EXPONENT_BITS, taps)

    def tap_steps(self, taps: int = LARGEST_SIDE) -> np.ndarray:
        """Return the int64 (t, t) steps of a TAPS, by default all that it holds; 0 if the CONV's own hold."""
        return _unpacked(self.encode()[TAP_STEPS_WORDS], TAP_STEPS_BITS, taps)

    def steps_of_taps(self, taps: Instruction) -> np.ndarray:
        """Return the int64 (t, t) steps in each sub-row of a CONV with a tile, where `taps` is the last TAPS."""
        steps = taps.tap_steps(WINOGRAD[self.tile].taps)
        return np.where(steps == 0, self.steps, steps)

    def rows_of_taps(self, taps: Instruction) -> np.ndarray:
        """Return the int64 (t, t) weight rows of the taps of a CONV with a tile, where `taps` is the last TAPS."""
        steps = self.steps_of_taps(taps)
        rows: np.ndarray = self.levels * ((self.sub_rows - 1) * steps + np.minimum(steps, self.steps_last))
        return rows

    def used_fields(self) -> dict[str, int]:
        """Return the fields that are not 0, opcode, flags and name left out."""
        skip = {"opcode", "flags", "name"}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in skip and getattr(self, f.name)}


LAYOUT: dict[str, BitField] = layout_of(Instruction)


def _packed(values: np.ndarray, bits: int, words: slice) -> np.ndarray:
    """Return uint32 words that hold values (t, t) of so many bits, lowest first."""
    each = 32 // bits
    fields_ = np.zeros(each * (words.stop - words.start), dtype=np.uint32)
    fields_[: values.size] = values.reshape(-1)
    packed: np.ndarray = np.bitwise_or.reduce(fields_.reshape(-1, each) << _shifts(bits), axis=1)
    return packed


def _unpacked(words: np.ndarray, bits: int, taps: int) -> np.ndarray:
    """Return the int64 (t, t) values of so many bits that uint32 words hold."""
    values = (words[:, None] >> _shifts(bits)) & ((1 << bits) - 1)
    unpacked: np.ndarray = values.reshape(-1)[: taps * taps].astype(np.int64).reshape(taps, taps)
    return unpacked


def _shifts(bits: int) -> np.ndarray:
    return np.arange(0, 32, bits, dtype=np.uint32)
