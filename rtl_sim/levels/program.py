"""The level `program`: the numpy executor runs the binaries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtl_sim.level import EngineLevel

if TYPE_CHECKING:
    from rtl_sim.simulate.job import RunOptions
    from rtl_sim.verify import Executor


class Program(EngineLevel):
    """The numpy executor."""

    name, rank = "program", 50

    def executor(self, project: Path, unit: str, work: Path, options: RunOptions) -> Executor:
        """Return the numpy executor, which needs nothing of the project's sources."""
        from rtl_sim.verify import ProgramExecutor

        return ProgramExecutor()


LEVEL = Program()
