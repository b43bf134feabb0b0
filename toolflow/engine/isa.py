"""Instructions and program binary: encode and decode (PROGRAM.md is the specification)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, fields
from enum import STRICT, IntEnum, IntFlag

import numpy as np

from toolflow.ir.errors import ToolflowError
from toolflow.numerics.winograd import WINOGRAD

MAGIC = 0x31465443
VERSION = 3
INSTRUCTION_WORDS = 16
HEADER_WORDS = 16
MAX_INSTRUCTIONS = 4096  # a damaged count must not make an engine read gigabytes


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


class Flag(IntFlag, boundary=STRICT):
    """How it does it; a bit without a name is refused."""

    NONE = 0
    INPUT_SIGNED = 1
    RESIDUAL = 2
    RESIDUAL_SIGNED = 4
    TO_RESULT = 8
    INDEXED = 16


# field name -> (word, low bit, width, signed); the order is the order of `Instruction`'s fields
LAYOUT: dict[str, tuple[int, int, int, bool]] = {
    "opcode": (0, 0, 8, False),
    "flags": (0, 8, 8, False),
    "levels": (0, 16, 8, False),
    "in_base": (1, 0, 32, False),
    "in_height": (2, 0, 16, False),
    "in_width": (2, 16, 16, False),
    "in_words": (3, 0, 16, False),
    "in_row_words": (3, 16, 16, False),
    "out_base": (4, 0, 32, False),
    "out_height": (5, 0, 16, False),
    "out_width": (5, 16, 16, False),
    "out_words": (6, 0, 16, False),
    "residual_pixel_words": (6, 16, 16, False),
    "channels": (7, 0, 16, False),
    "groups": (7, 16, 16, False),
    "kernel_h": (8, 0, 8, False),
    "kernel_w": (8, 8, 8, False),
    "stride_h": (8, 16, 8, False),
    "stride_w": (8, 24, 8, False),
    "pad_top": (9, 0, 8, False),
    "pad_left": (9, 8, 8, False),
    "dilation_h": (9, 16, 8, False),
    "dilation_w": (9, 24, 8, False),
    "sub_rows": (10, 0, 16, False),
    "steps": (10, 16, 8, False),
    "steps_last": (10, 24, 8, False),
    "channel_step": (11, 0, 16, False),
    "residual_offset": (11, 16, 16, False),
    "lower": (12, 0, 16, True),
    "upper": (12, 16, 16, True),
    "rows": (13, 0, 16, False),
    "residual_row_words": (13, 16, 16, False),
    "residual_base": (14, 0, 32, False),
    "residual_channels": (15, 0, 16, False),
    "tile": (15, 16, 8, False),
}
EXPONENT_BITS, EXPONENT_WORDS = 4, slice(1, 6)  # of each tap in TAPS
TAP_STEPS_BITS, TAP_STEPS_WORDS = 8, slice(6, 15)


@dataclass(frozen=True)
class Instruction:
    """One instruction; every field of PROGRAM.md, 0 where the opcode does not use it.

    `name` is the node that it came from, and `reads` the input channels that each output of a CONV reads, 0 for all of
    them: both for reports only, not in the binary.
    """

    opcode: Opcode
    flags: Flag = Flag.NONE
    levels: int = 0
    in_base: int = 0
    in_height: int = 0
    in_width: int = 0
    in_words: int = 0
    in_row_words: int = 0
    out_base: int = 0
    out_height: int = 0
    out_width: int = 0
    out_words: int = 0
    residual_pixel_words: int = 0
    channels: int = 0
    groups: int = 0
    kernel_h: int = 0
    kernel_w: int = 0
    stride_h: int = 0
    stride_w: int = 0
    pad_top: int = 0
    pad_left: int = 0
    dilation_h: int = 0
    dilation_w: int = 0
    sub_rows: int = 0
    steps: int = 0
    steps_last: int = 0
    channel_step: int = 0
    residual_offset: int = 0
    lower: int = 0
    upper: int = 0
    rows: int = 0
    residual_row_words: int = 0
    residual_base: int = 0
    residual_channels: int = 0
    tile: int = 0
    name: str = field(default="", compare=False)
    reads: int = field(default=0, compare=False)

    def encode(self) -> np.ndarray:
        """Return the instruction as 16 uint32 words.

        Raises:
            ToolflowError: a field does not fit its bits.
        """
        words = [0] * INSTRUCTION_WORDS
        for name, (word, low, width, signed) in LAYOUT.items():
            value = int(getattr(self, name))
            lower = -(1 << (width - 1)) if signed else 0
            upper = (1 << (width - int(signed))) - 1
            if not lower <= value <= upper:
                raise ToolflowError(
                    f"'{self.name}': {name} must lie within [{lower}, {upper}] to be encoded, not {value}"
                )
            words[word] |= (value & ((1 << width) - 1)) << low
        return np.array(words, dtype=np.uint32)

    @classmethod
    def decode(cls, words: np.ndarray, name: str = "") -> Instruction:
        """Return the instruction that 16 words hold.

        Raises:
            ToolflowError: the opcode is unknown or a reserved bit is set.
        """
        values: dict[str, int] = {}
        used = [0] * INSTRUCTION_WORDS
        for key, (word, low, width, signed) in LAYOUT.items():
            mask = ((1 << width) - 1) << low
            used[word] |= mask
            value = (int(words[word]) & mask) >> low
            values[key] = value - (1 << width) if signed and value >> (width - 1) else value
        for index, (word, mask) in enumerate(zip(words, used, strict=True)):
            if int(word) & ~mask:
                raise ToolflowError(f"instruction word {index} has reserved bits set: 0x{int(word):08x}")
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

    def exponents(self, taps: int) -> np.ndarray:
        """Return the int64 (t, t) exponents of a TAPS."""
        return _unpacked(self.encode()[EXPONENT_WORDS], EXPONENT_BITS, taps)

    def tap_steps(self, taps: int) -> np.ndarray:
        """Return the int64 (t, t) steps of a TAPS, 0 where the CONV's own hold."""
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
        skip = {"opcode", "flags", "name", "reads"}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in skip and getattr(self, f.name)}


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


@dataclass(frozen=True)
class Header:
    """The program header's contents, without what encoding adds (magic, version, count, CRC)."""

    signature: int
    image_pitch_bytes: int
    result_pitch_bytes: int
    classes: int
    confidence_k: int
    confidence_m: int
    confidence_n: int
    threshold: int
    weight_beats: int


def encode_program(header: Header, instructions: tuple[Instruction, ...], tables: bytes, beat_bytes: int) -> bytes:
    """Return the program binary: header, instructions, and tables from a beat boundary on.

    Raises:
        ToolflowError: there are more instructions than an engine takes.
    """
    if len(instructions) > MAX_INSTRUCTIONS:
        raise ToolflowError(
            f"a program must have at most {MAX_INSTRUCTIONS:,} instructions, not {len(instructions):,}: the network "
            "has too many layers for one engine"
        )
    body = np.concatenate([instruction.encode() for instruction in instructions])
    words = np.zeros(HEADER_WORDS, dtype=np.uint32)
    words[0], words[1] = MAGIC, VERSION
    words[2], words[3] = header.signature & 0xFFFFFFFF, header.signature >> 32
    words[4] = len(instructions)
    words[5], words[6], words[7] = header.image_pitch_bytes, header.result_pitch_bytes, header.classes
    words[8] = header.confidence_k | header.confidence_m << 16 | header.confidence_n << 20
    words[9] = header.threshold & 0xFFFFFFFF
    words[10] = header.weight_beats
    words[15] = zlib.crc32(words[:15].tobytes() + body.tobytes())
    code = words.tobytes() + body.tobytes()
    return code + bytes(-len(code) % beat_bytes) + tables


def table_offset_bytes(instruction_count: int, beat_bytes: int) -> int:
    """Return where the tables begin in a program of so many instructions."""
    code = 4 * (HEADER_WORDS + INSTRUCTION_WORDS * instruction_count)
    return code + -code % beat_bytes


def decode_program(binary: bytes) -> tuple[Header, tuple[Instruction, ...]]:
    """Return header and instructions of a program binary, END the last of them: what lies behind it is never run.

    Raises:
        ToolflowError: the binary is truncated or too long, of another version, its CRC is wrong, or an instruction is
            none.
    """
    if len(binary) < 4 * HEADER_WORDS:
        raise ToolflowError(f"a program must hold a header of {4 * HEADER_WORDS} bytes, not {len(binary)} bytes")
    words = np.frombuffer(binary[: len(binary) // 4 * 4], dtype="<u4")
    if words[0] != MAGIC or words[1] != VERSION:
        raise ToolflowError(
            f"a program must begin with 0x{MAGIC:08x}, version {VERSION}, not 0x{words[0]:08x}, {words[1]}"
        )
    count = int(words[4])
    if count > MAX_INSTRUCTIONS:
        raise ToolflowError(f"a program must have at most {MAX_INSTRUCTIONS:,} instructions, not {count:,}")
    end = HEADER_WORDS + INSTRUCTION_WORDS * count
    if len(words) < end:
        raise ToolflowError(f"a program of {count} instructions must have {4 * end} bytes, not {len(binary)}")
    crc = zlib.crc32(words[:15].tobytes() + words[HEADER_WORDS:end].tobytes())
    if crc != int(words[15]):
        raise ToolflowError(f"the program's CRC must be 0x{crc:08x}, not 0x{int(words[15]):08x}: it is damaged")
    threshold = int(words[9])
    header = Header(
        signature=int(words[2]) | int(words[3]) << 32,
        image_pitch_bytes=int(words[5]),
        result_pitch_bytes=int(words[6]),
        classes=int(words[7]),
        confidence_k=int(words[8]) & 0xFFFF,
        confidence_m=int(words[8]) >> 16 & 0xF,
        confidence_n=int(words[8]) >> 20 & 0xF,
        threshold=threshold - (1 << 32) if threshold >> 31 else threshold,
        weight_beats=int(words[10]),
    )
    body = words[HEADER_WORDS:end].reshape(count, INSTRUCTION_WORDS)
    instructions = []
    for row in body:
        instructions.append(Instruction.decode(row))
        if instructions[-1].opcode is Opcode.END:
            break
    return header, tuple(instructions)
