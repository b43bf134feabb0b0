"""Cycle model of the unit that prepares instructions, one ahead of the one that runs."""

from __future__ import annotations

from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import INSTRUCTION_WORDS, Opcode

# Cycles from an instruction's last beat, read off the RTL engine (rtl_sim/rtl/cascade_decode.sv).
TAPS = 3
DIRECT, DIRECT_WITH_MORE, TILE = 13, 15, 23  # without tiles and stripes, with either; of a layer with a tile
MAP, MAP_WITH_STRIPES = 17, 19  # of FILL and SPILL


class Decoder:
    """When each instruction is ready: it begins with one when the one before has been taken."""

    def __init__(self, config: EngineConfig, start: int) -> None:
        self.config = config
        self.beats = INSTRUCTION_WORDS * 32 // config.bus_bits
        self.free = start - self._cycles(Opcode.TABLE, 0)  # the first instruction is ready at `start`

    def begin(self, opcode: Opcode, tile: int, time: int) -> int:
        """Return when the next instruction begins, where the one before has ended at `time`."""
        ready = self.free + self._cycles(opcode, tile)
        begun = max(time, ready)
        self.free = ready if opcode is Opcode.TAPS else begun  # the taps wait in registers of their own
        return begun

    def skip(self, cycles: int) -> None:
        """Move on by so many cycles."""
        self.free += cycles

    def _cycles(self, opcode: Opcode, tile: int) -> int:
        if opcode is Opcode.TAPS:
            return self.beats + TAPS
        if opcode in (Opcode.FILL, Opcode.SPILL):
            return self.beats + (MAP_WITH_STRIPES if self.config.stripes else MAP)
        more = self.config.tile or self.config.stripes
        return self.beats + (TILE if tile else DIRECT_WITH_MORE if more else DIRECT)
