"""A simulated board: the registers and the memory of a design, with the numpy executor as engine.

Memory is seen twice, by the processor and by the engines, and the two agree only where the driver flushed or
invalidated: a forgotten call shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError
from toolflow.engine.executor import run_program
from toolflow.engine.program import decode_program
from toolflow.engine.registers import PAGE_BYTES, Control, Register
from toolflow.ir.errors import ToolflowError


class Buffer(np.ndarray):
    """As PYNQ's: an array of the processor with an address of the device."""

    physical_address: int
    seen: bytearray

    def flush(self) -> None:
        self.seen[:] = self.tobytes()

    def invalidate(self) -> None:
        self[:] = np.frombuffer(bytes(self.seen), dtype=np.uint8)


@dataclass
class Memory:
    """Buffers by the device's address."""

    buffers: dict[int, Buffer] = field(default_factory=dict)
    next_address: int = 0x1_2340_0000  # beyond 32 bits: the high words must be written too

    def allocate(self, size: int) -> Buffer:
        buffer = np.full(size, 0xEE, dtype=np.uint8).view(Buffer)
        buffer.physical_address, buffer.seen = self.next_address, bytearray(b"\xdd" * size)
        self.buffers[buffer.physical_address] = buffer
        self.next_address += -(-size // PAGE_BYTES) * PAGE_BYTES
        return buffer


class Registers:
    """One engine behind its control registers."""

    def __init__(self, config: EngineConfig, memory: Memory, polls: int = 3) -> None:
        self.config, self.memory, self.polls = config, memory, polls
        self.values: dict[int, int] = dict(
            zip(Register.SIGNATURE.words, (config.signature & 0xFFFFFFFF, config.signature >> 32), strict=True)
        )
        self.counts: list[int] = []
        self.remaining = -1

    def write(self, offset: int, value: int) -> None:
        assert 0 <= value < 1 << 32
        self.values[offset] = value
        if offset == Register.CONTROL and value & Control.START:
            assert self.remaining < 0, "started while it runs"
            self.counts.append(self.values[Register.COUNT])
            self.values[Register.ERROR] = self._run()
            self.remaining = self.polls

    def read(self, offset: int) -> int:
        if offset != Register.CONTROL:
            return self.values[offset]
        if self.remaining < 0:
            return Control.IDLE
        self.remaining -= 1
        return Control.DONE if self.remaining < 0 else 0  # done, cleared by this read

    def _at(self, offset: int) -> Buffer:
        return self.memory.buffers[self.values[offset] | self.values[offset + 4] << 32]

    def _run(self) -> int:
        program, count = bytes(self._at(Register.PROGRAM).seen), self.values[Register.COUNT]
        images, results = self._at(Register.IMAGES), self._at(Register.RESULTS)
        try:
            given = bytes(images.seen[: count * decode_program(program)[0].image_pitch_bytes])
        except ToolflowError:  # a damaged program: the engine says which error it is
            given = bytes(images.seen)
        try:
            raw = run_program(self.config, program, bytes(self._at(Register.WEIGHTS).seen), given, count)
        except EngineFaultError as fault:
            return fault.code
        assert len(results.seen) >= len(raw)
        results.seen[: len(raw)] = raw
        return 0


def fake_pynq(configs: dict[str, EngineConfig]) -> tuple[dict[str, Any], dict[str, Registers]]:
    """Return the names of a stand-in `pynq` module, and the registers of its engines."""
    memory = Memory()
    engines = {name: Registers(config, memory) for name, config in configs.items()}

    class Core:
        def __init__(self, registers: Registers) -> None:
            self.mmio = registers

    class Overlay:
        def __init__(self, bitfile: str) -> None:
            self.bitfile = bitfile
            for name, registers in engines.items():
                setattr(self, name, Core(registers))

    def allocate(shape: tuple[int, ...], dtype: type) -> Buffer:
        assert dtype is np.uint8
        return memory.allocate(shape[0])

    return {"Overlay": Overlay, "allocate": allocate}, engines
