"""What the numpy executor keeps of an engine, and its checks of instructions (PROGRAM.md)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.lane_window import LaneWindow
from toolflow.engine.map_memory import MapMemory
from toolflow.engine.program import Header

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
# What the flag STRIPED makes work on stripes.
ON_STRIPES = {Opcode.LOAD, Opcode.CONV, Opcode.MAXPOOL, Opcode.STORE_MAP, Opcode.FILL, Opcode.SPILL}


class EngineState:
    """Banks, tables and results of every image.

    In a striped program every image has all lanes of the engine: bank image · `lanes_p` + p is lane p's.
    """

    def __init__(self, config: EngineConfig, header: Header, program: bytes, images: bytes, image_count: int) -> None:
        self.config = config
        self.header = header
        self.program = program
        self.images = np.frombuffer(images, dtype=np.uint8)
        self.count = image_count
        self.lanes = config.lanes_p if header.striped else 1  # of each image
        self.window = LaneWindow(self.lanes)
        self.bank = np.zeros((image_count * self.lanes, config.bank_depth, config.sub_row), dtype=np.uint8)
        self.result = np.zeros((image_count * self.lanes, config.result_depth), dtype=np.int64)
        self.table = np.zeros((config.table_words, config.sub_row, 256), dtype=np.uint8)
        self.output = bytearray()
        self.last_taps = Instruction(Opcode.TAPS)
        self.tables_filled = False
        self.maps = MapMemory(config, header.map_bytes, image_count, 1 if header.striped else config.lanes_p)
        self.loaded: Instruction | None = None  # the last LOAD
        self.ahead = False  # whether there was a LOAD_AHEAD
        self.never_ahead = False  # whether there was a second LOAD, or a FILL or a SPILL before the LOAD
        self.bank_end = config.bank_depth  # word from which on none is touched

    def admit(self, i: Instruction) -> None:
        """Refuse what programs of this layout do not have."""
        striped = bool(self.header.striped)
        known = striped or (i.opcode not in (Opcode.STRIPES, Opcode.SHIFT) and Flag.STRIPED not in i.flags)
        takes = Flag.STRIPED not in i.flags or i.opcode in ON_STRIPES
        if not known or not takes:
            layout = "a striped program" if striped else "a program that is not striped"
            raise EngineFaultError(ErrorCode.OPCODE, f"{layout} cannot have '{i.name or i.opcode.name}' {i.flags!r}")

    def _elements(self, raw: npt.NDArray[np.uint8], signed: bool) -> Int64Array:
        values = raw.astype(np.int64)
        if signed:
            values -= (values >> (self.config.activation_bits - 1)) << self.config.activation_bits
        return values

    def _in_window(self, iy: Int64Array) -> npt.NDArray[np.bool_]:
        """Return whether rows iy (positions,) lie in the window of each bank's lane: (banks, positions)."""
        return np.tile(self.window.has(iy), (self.count, 1))

    def _several_movers(self, i: Instruction) -> None:
        """Refuse a LOAD, a FILL or a SPILL where the images of the next pass may be loaded meanwhile."""
        self._counts(not self.ahead, i)
        loaded = self.loaded is not None
        self.never_ahead |= loaded if i.opcode is Opcode.LOAD else not loaded

    def _counts(self, good: int, i: Instruction) -> None:
        """Refuse an instruction with a count that is 0 or otherwise wrong."""
        if not good:
            raise EngineFaultError(ErrorCode.COUNT, f"'{i.name or i.opcode.name}' with {i.used_fields()}")

    def _moves(self, i: Instruction) -> None:
        """Refuse outputs that all lie in one place."""
        self._counts(i.out_words or i.out_height * i.out_width == 1, i)

    def _in_range(self, fits: bool, i: Instruction, what: str) -> None:
        if not fits:
            raise EngineFaultError(ErrorCode.ADDRESS, f"{what} of '{i.name or i.opcode.name}' with {i.used_fields()}")
