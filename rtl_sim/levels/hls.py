"""The level `hls`: the project's C++, compiled by g++, runs the binaries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtl_sim.level import EngineLevel

if TYPE_CHECKING:
    from rtl_sim.simulate.job import RunOptions
    from rtl_sim.verify import Executor


class Hls(EngineLevel):
    """The C++ as a process."""

    name, rank = "hls", 60
    sources = "hls"
    tools = ("g++",)
    packages = ("hls4ml",)  # its ap_types headers

    def executor(self, project: Path, unit: str, work: Path, options: RunOptions) -> Executor:
        """Return what compiles and runs the C++; it has no bench, and so no use for its options."""
        from rtl_sim.simulate.executors import NativeExecutor

        return NativeExecutor(project / self.sources, work / f"hls_{unit}")


LEVEL = Hls()
