"""The program binary: header, instructions and tables, to bytes and back (PROGRAM.md specifies it)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.engine.fields import BLOCK_WORDS, bits, layout_of, pack, unpack
from toolflow.engine.isa import INSTRUCTION_WORDS, Instruction, Opcode
from toolflow.ir.errors import ToolflowError

MAGIC = 0x31465443
VERSION = 7
HEADER_WORDS = BLOCK_WORDS
MAX_INSTRUCTIONS = 65536  # a damaged count must not make an engine read gigabytes
# What encoding adds to a `Header`.
MAGIC_WORD, VERSION_WORD, COUNT_WORD, CRC_WORD = 0, 1, 4, 15


@dataclass(frozen=True)
class Header:
    """The program header's contents, without what encoding adds (magic, version, count, CRC)."""

    signature: int = bits(2, 0, 64)
    image_pitch_bytes: int = bits(5, 0, 32)
    result_pitch_bytes: int = bits(6, 0, 32)
    classes: int = bits(7, 0, 32)
    confidence_k: int = bits(8, 0, 16)
    confidence_m: int = bits(8, 16, 4)
    confidence_n: int = bits(8, 20, 4)
    threshold: int = bits(9, 0, 32, signed=True)
    weight_beats: int = bits(10, 0, 32)
    narrow: int = bits(11, 0, 1)
    striped: int = bits(11, 1, 1)
    map_bytes: int = bits(12, 0, 32)


HEADER_LAYOUT = layout_of(Header)


def encode_program(header: Header, instructions: tuple[Instruction, ...], tables: bytes, beat_bytes: int) -> bytes:
    """Return the program binary: header, instructions, and tables from a beat boundary on.

    Raises:
        ToolflowError: there are more instructions than an engine takes, or a number does not fit its field.
    """
    if len(instructions) > MAX_INSTRUCTIONS:
        raise ToolflowError(
            f"a program must have at most {MAX_INSTRUCTIONS:,} instructions, not {len(instructions):,}: the network "
            "has too many layers for one engine"
        )
    body = np.concatenate([instruction.encode() for instruction in instructions])
    words = pack(HEADER_LAYOUT, header, "header")
    words[MAGIC_WORD], words[VERSION_WORD], words[COUNT_WORD] = MAGIC, VERSION, len(instructions)
    words[CRC_WORD] = checksum(words, body)
    code = words.tobytes() + body.tobytes()
    return code + bytes(-len(code) % beat_bytes) + tables


def checksum(header: npt.NDArray[np.uint32], body: npt.NDArray[np.uint32]) -> int:
    """Return the CRC-32 of the header's words before the CRC itself, then all instruction words."""
    return zlib.crc32(header[:CRC_WORD].tobytes() + body.tobytes())


def table_offset_bytes(instruction_count: int, beat_bytes: int) -> int:
    """Return where the tables begin in a program of so many instructions."""
    code = 4 * (HEADER_WORDS + INSTRUCTION_WORDS * instruction_count)
    return code + -code % beat_bytes


def is_program(binary: bytes) -> bool:
    """Return whether a file begins as programs of any version do."""
    magic = binary[4 * MAGIC_WORD : 4 * MAGIC_WORD + 4]
    return int.from_bytes(magic, "little") == MAGIC


def program_version(binary: bytes) -> int:
    """Return the version that the header of a program states."""
    return int.from_bytes(binary[4 * VERSION_WORD : 4 * VERSION_WORD + 4], "little")


def decode_program(binary: bytes) -> tuple[Header, tuple[Instruction, ...]]:
    """Return header and instructions of a program binary, END the last of them: what lies behind it is never run.

    Raises:
        ToolflowError: the binary is truncated or too long, of another version, its CRC is wrong, or an instruction is
            none.
    """
    if len(binary) < 4 * HEADER_WORDS:
        raise ToolflowError(f"a program must hold a header of {4 * HEADER_WORDS} bytes, not {len(binary)} bytes")
    words = np.frombuffer(binary[: len(binary) // 4 * 4], dtype="<u4")
    if words[MAGIC_WORD] != MAGIC or words[VERSION_WORD] != VERSION:
        raise ToolflowError(
            f"a program must begin with 0x{MAGIC:08x}, version {VERSION}, "
            f"not 0x{words[MAGIC_WORD]:08x}, {words[VERSION_WORD]}"
        )
    count = int(words[COUNT_WORD])
    if count > MAX_INSTRUCTIONS:
        raise ToolflowError(f"a program must have at most {MAX_INSTRUCTIONS:,} instructions, not {count:,}")
    end = HEADER_WORDS + INSTRUCTION_WORDS * count
    if len(words) < end:
        raise ToolflowError(f"a program of {count} instructions must have {4 * end} bytes, not {len(binary)}")
    crc = checksum(words, words[HEADER_WORDS:end])
    if crc != int(words[CRC_WORD]):
        raise ToolflowError(f"the program's CRC must be 0x{crc:08x}, not 0x{int(words[CRC_WORD]):08x}: it is damaged")
    header = Header(**unpack(HEADER_LAYOUT, words[:HEADER_WORDS]))
    body = words[HEADER_WORDS:end].reshape(count, INSTRUCTION_WORDS)
    instructions = []
    for row in body:
        instructions.append(Instruction.decode(row))
        if instructions[-1].opcode is Opcode.END:
            break
    return header, tuple(instructions)
