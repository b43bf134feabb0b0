"""cocotb side of `test_read_split.py`: a master of cocotbext-axi, and two ports to memories with one content."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import cast

import cocotb
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject, LogicObject
from cocotb.triggers import ClockCycles, with_timeout
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiMasterRead, AxiRamRead, AxiReadBus

from tests.rtl.axi_models import PERIOD_NS, pauses

SIZE = 1 << 16
BURST_BYTES = 1024
AT_ONCE = 4  # bursts that a unit's FIFO of 128 beats has room for


@cocotb.test()
async def read_bursts(dut: HierarchyObject) -> None:
    """Read bursts as a unit does, each page boundary kept, and write down what came and in how many cycles."""
    folder = Path(os.environ["CASCADE_FOLDER"])
    job = json.loads((folder / "job.json").read_text())
    draw = random.Random(job["seed"])
    clock, reset_n = cast(LogicObject, dut["ap_clk"]), cast(LogicObject, dut["ap_rst_n"])
    reset_n.value = 0
    Clock(clock, PERIOD_NS, "ns").start()
    reset = {"reset": reset_n, "reset_active_level": False}
    master = AxiMasterRead(AxiReadBus.from_prefix(dut, "s_axi"), clock, **reset, max_burst_len=32)
    even = AxiRamRead(AxiReadBus.from_prefix(dut, "m_axi_even"), clock, **reset, size=SIZE)
    odd = AxiRamRead(AxiReadBus.from_prefix(dut, "m_axi_odd"), clock, **reset, size=SIZE, mem=even.mem)
    content = random.Random(1).randbytes(SIZE)
    even.write(0, content)
    channels = [getattr(port, f"{name}_channel") for port in (even, odd, master) for name in ("ar", "r")]
    for number, channel in enumerate(channels):
        channel.set_pause_generator(pauses(job["pause_probability"], 100 * job["seed"] + number))
    await ClockCycles(clock, 16)
    reset_n.value = 1
    await ClockCycles(clock, 4)

    wrong = beats = 0
    begin = get_sim_time("ns")

    async def stream(first: int, count: int) -> None:
        nonlocal wrong, beats
        for number in range(first, count, AT_ONCE):
            place = number * BURST_BYTES % SIZE
            length = BURST_BYTES if job["whole"] else 32 * draw.randint(1, BURST_BYTES // 32)
            answer = await master.read(place, length, arid=0)
            wrong += bytes(answer.data) != content[place : place + length] or answer.resp != 0
            beats += length // 32

    for task in [cocotb.start_soon(stream(first, job["bursts"])) for first in range(AT_ONCE)]:
        await with_timeout(task, PERIOD_NS * 20_000, "ns")
    cycles = (get_sim_time("ns") - begin) / PERIOD_NS
    (folder / "answer.json").write_text(json.dumps({"wrong": wrong, "beats": beats, "cycles": cycles}))
