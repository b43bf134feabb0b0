"""cocotb side of `protocol.py`: cocotbext-axi's memory and host around the unit, every channel paused at random."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cocotb
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject, LogicObject
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import (
    AxiBus,
    AxiLiteBus,
    AxiLiteMaster,
    AxiRam,
    AxiRamRead,
    AxiReadBus,
)

from toolflow.engine.registers import Control, Register

PERIOD_NS = 10
BUFFERS = {
    "program": Register.PROGRAM,
    "weights": Register.WEIGHTS,
    "images": Register.IMAGES,
    "results": Register.RESULTS,
}
BASE = 1 << 40  # the models compare addresses modulo their memory's size


def pauses(chance: float, seed: int) -> Iterator[bool]:
    """Draw for each cycle whether a channel pauses."""
    draw = random.Random(seed)
    while True:
        yield draw.random() < chance


@cocotb.test()
async def run_job(dut: HierarchyObject) -> None:
    """Start once, poll until done, and write down the status and the memory."""
    folder = Path(os.environ["CASCADE_FOLDER"])
    job = json.loads((folder / "job.json").read_text())
    content = (folder / "memory.bin").read_bytes()
    size = 1 << (len(content) - 1).bit_length()

    clock, reset_n = cast(LogicObject, dut["ap_clk"]), cast(LogicObject, dut["ap_rst_n"])
    reset_n.value = 0
    Clock(clock, PERIOD_NS, "ns").start()
    reset = {"reset": reset_n, "reset_active_level": False}
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_control"), clock, **reset)
    memory = AxiRam(AxiBus.from_prefix(dut, "m_axi_gmem0"), clock, **reset, size=size)
    weights = AxiRamRead(AxiReadBus.from_prefix(dut, "m_axi_gmem1"), clock, **reset, size=size, mem=memory.mem)
    memory.write(0, content)
    channels = (
        *(getattr(host.write_if, f"{name}_channel") for name in ("aw", "w", "b")),
        *(getattr(host.read_if, f"{name}_channel") for name in ("ar", "r")),
        *(getattr(memory.write_if, f"{name}_channel") for name in ("aw", "w", "b")),
        *(getattr(memory.read_if, f"{name}_channel") for name in ("ar", "r")),
        *(getattr(weights, f"{name}_channel") for name in ("ar", "r")),
    )
    for number, channel in enumerate(channels):
        channel.set_pause_generator(pauses(job["pause_probability"], 100 * job["seed"] + number))

    await ClockCycles(clock, 16)
    reset_n.value = 1
    await ClockCycles(clock, 4)

    async def one_start() -> int:
        for name, register in BUFFERS.items():
            await host.write_qword(register, BASE + job[name])
        await host.write_dword(Register.COUNT, job["count"])
        await host.write_dword(Register.CONTROL, Control.START)
        while not (await host.read_dword(Register.CONTROL)) & Control.DONE:
            await ClockCycles(clock, 20)
        return int(await host.read_dword(Register.ERROR))

    error = await with_timeout(one_start(), PERIOD_NS * job["limit_cycles"], "ns")
    (folder / "memory.out").write_bytes(bytes(memory.read(0, len(content))))
    (folder / "answer.json").write_text(json.dumps({"error": error}))
