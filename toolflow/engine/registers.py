"""Control registers of an engine behind `s_axi_control`: 32-bit words in the layout that Vitis gives a kernel.

The engines, the drivers and the simulation benches hold the offsets again; `tests/unit/engine/test_definitions.py`
compares them with this table.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Self

PAGE_BYTES = 4096  # the buffers' addresses are multiples of it, and no burst crosses one


class Register(IntEnum):
    """A register: its byte offset.

    Attributes:
        bits: 32, or 64 in two words, the low one first.
        rtl_only: whether only the RTL engine has it.
        meaning: what it holds.
    """

    bits: int
    rtl_only: bool
    meaning: str

    def __new__(cls, offset: int, bits: int, meaning: str, rtl_only: bool = False) -> Self:
        """Make the register at `offset`."""
        register = int.__new__(cls, offset)
        register._value_ = offset
        register.bits, register.rtl_only, register.meaning = bits, rtl_only, meaning
        return register

    CONTROL = 0x00, 32, "bit 0 start, 1 done (clear on read), 2 idle, 3 ready"
    GLOBAL_INTERRUPT_ENABLE = 0x04, 32, "bit 0"
    INTERRUPT_ENABLE = 0x08, 32, "bit 0 done, 1 ready"
    INTERRUPT_STATUS = 0x0C, 32, "bit 0 done, 1 ready; a written 1 toggles the bit"
    PROGRAM = 0x10, 64, "address of the program"
    WEIGHTS = 0x1C, 64, "address of the weight stream"
    IMAGES = 0x28, 64, "address of the images"
    RESULTS = 0x34, 64, "address of the results"
    MAPS = 0x40, 64, "address of the maps"
    COUNT = 0x4C, 32, "number of images, N"
    ERROR = 0x54, 32, "error code, bits 3:0"
    ERROR_VALID = 0x58, 32, "bit 0: the error code is new (clear on read)"
    CYCLES = 0x60, 64, "cycles from start to the last write response", True
    WEIGHT_STALLS = 0x68, 32, "cycles in which the array waited for weights", True
    SIGNATURE = 0x70, 64, "signature of the engine", True

    @property
    def words(self) -> tuple[int, ...]:
        """Byte offsets of the register's words, the low one first."""
        return tuple(range(self, self + self.bits // 8, 4))


class Control(IntFlag):
    """Bits of `Register.CONTROL`."""

    START = 1
    DONE = 2
    IDLE = 4
    READY = 8
