"""Error codes of an engine's status register: their numbers, names and meanings.

PROGRAM.md says which faults raise each code. The C++ and the SystemVerilog engine and the drivers hold the numbers
again; `tests/unit/engine/test_definitions.py` compares them with this table.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from toolflow.ir.errors import ToolflowError


class ErrorCode(IntEnum):
    """An error code and its `meaning`, as drivers print it."""

    meaning: str

    def __new__(cls, number: int, meaning: str) -> Self:
        """Make the code `number`."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        return code

    NONE = 0, "no error"
    MAGIC = 1, "the program's magic or version is wrong"
    SIGNATURE = 2, "the program is for another engine: bitstream and weights folder do not belong together"
    CRC = 3, "the program's CRC is wrong: the file is damaged"
    OPCODE = 4, "the program holds an instruction that the engine does not have"
    ADDRESS = 5, "the program leaves a memory of the engine, or an address is not aligned"
    AXI_READ = 6, "a read on the memory bus failed"
    AXI_WRITE = 7, "a write on the memory bus failed"
    COUNT = 8, "a layer has too many weight rows for the engine, or a count is wrong"
    NO_IMAGES = 9, "the number of images was 0"
    WEIGHT = 10, "the weight stream holds a weight that the engine's packed multipliers do not take"


class EngineFaultError(ToolflowError):
    """The engine stopped with an error code."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        self.code = code
        super().__init__(f"the engine stopped with error {code} ({code.meaning}): {detail}")
