"""A level of verification: its name, its requirements, the scope of its verdict, and how it runs.

Each level is one module of the folder `rtl_sim/levels`, which finds them. This module and those modules import
nothing heavy when they are imported, so that a command can list the levels: what runs a level is imported when it
runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from toolflow.ir.errors import ToolflowError, VerificationError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from rtl_sim.binaries import Binaries
    from rtl_sim.simulate.job import RunOptions
    from rtl_sim.verify import Executor, LevelVerdict, Unit
    from toolflow.emit.ii.analyse import Interval
    from toolflow.plan.boards.board import Board
    from toolflow.plan.lower.compiled import CompiledProgram


@dataclass(frozen=True)
class Subject:
    """The subject of a level: one unit of an emitted project, and images.

    Attributes:
        folder: the project.
        unit: the engine and its network.
        board: the board that the project was planned for.
        binaries: the unit's program and weight stream, as stored in the project.
        images: uint8 (N, H, W, C).
        work: folder in which programs and simulators are built and kept.
        options: seed and pauses of the bench.
        note: called with a description of work that may take long.
    """

    folder: Path
    unit: Unit
    board: Board
    binaries: Binaries
    images: npt.NDArray[np.uint8]
    work: Path
    options: RunOptions
    note: Callable[[str], None]

    @cached_property
    def compiled(self) -> CompiledProgram:
        """What the unit's network compiles to."""
        from toolflow.plan.lower.lower import compile_program

        return compile_program(self.unit.graph, self.unit.config, self.unit.rule)


@dataclass(frozen=True)
class Verdict:
    """The verdict of a level.

    Attributes:
        equal: whether nothing differed; None if the level was not run.
        detail: the first difference, what "equal" does not cover, or why the level was not run.
        images: number of images that were run; 0 for a level that runs none.
        loops: the pipelined loops of the C++, for a level that analyses them.
        ended: whether the level finished, with or without a difference.
        failure: why a requested level could not be run, in full; "" if it was run.
    """

    equal: bool | None
    detail: str = ""
    images: int = 0
    loops: tuple[Interval, ...] = ()
    ended: bool = True
    failure: str = ""


class Level(ABC):
    """A level of verification.

    Attributes:
        name: name in `--levels` and in verdicts; also the name of the level's module.
        rank: place among the levels; lower ones run first.
        selectable: whether `--levels` accepts it; otherwise `runs` decides when it runs.
        reads_binaries: whether its verdict covers the unit's program and weight stream.
        sources: the folder of the project that its verdict covers, with `{unit}` for the engine's name; "" for none.
        tools: programs that must be on PATH.
        packages: distributions that it needs in addition to those of the toolflow.
        counts_cycles: whether it has a clock, so that a run without pauses counts cycles.
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    selectable: ClassVar[bool] = True
    reads_binaries: ClassVar[bool] = True
    sources: ClassVar[str] = ""
    tools: ClassVar[tuple[str, ...]] = ()
    packages: ClassVar[tuple[str, ...]] = ()
    counts_cycles: ClassVar[bool] = False

    def runs(self, chosen: Collection[str]) -> bool:
        """Return whether the level runs if the user chose these."""
        return self.name in chosen

    def describe(self, unit: str, images: int) -> str:
        """Return a description of the work, for the progress display."""
        return f"{self.name} of the {unit} unit, {images} images"

    @abstractmethod
    def check(self, subject: Subject) -> Verdict:
        """Run the level and compare.

        Raises:
            ToolflowError: the run must stop.
        """


class EngineLevel(Level):
    """A level that runs a unit's binaries and is compared with the reference, integer by integer."""

    @abstractmethod
    def executor(self, project: Path, unit: str, work: Path, options: RunOptions) -> Executor:
        """Return the executor of the binaries of an engine.

        Args:
            project: an emitted project: `hls` for all engines, `rtl/<engine>` for each.
            unit: name of the engine: "low", "high" or "single".
            work: where programs and simulators are built and kept.
            options: of the bench.
        """

    def check(self, subject: Subject) -> Verdict:
        """Run the images and compare every integer that is written with the reference."""
        damaged = [f"weights/{subject.unit.name}.{part}.bin" for part in subject.binaries.missized(subject.compiled)]
        if damaged:
            return Verdict(None, f"{' and '.join(damaged)} {'are' if damaged[1:] else 'is'} damaged", ended=False)
        count = len(subject.images)
        try:
            found = self.run(subject, count)
        except VerificationError as error:  # it hung, crashed or broke a protocol
            return Verdict(False, str(error), count, ended=False)
        except ToolflowError as error:
            text = str(error)
            return Verdict(None, _first_sentence(text), ended=False, failure=text)
        return Verdict(found.equal, "" if found.difference is None else str(found.difference), count)

    def run(self, subject: Subject, count: int) -> LevelVerdict:
        """Run the first `count` images as one start and compare; a level with a clock returns its counters too.

        Raises:
            VerificationError: the level hung, crashed or broke a protocol.
            ToolflowError: the level cannot be run.
        """
        from rtl_sim.verify import verify_level

        def told(text: str) -> None:
            subject.note(f"{self.name} of {text}")

        executor = self.executor(subject.folder, subject.unit.engine, subject.work, subject.options)
        return verify_level(subject.unit, executor, subject.images[:count], told, subject.binaries)


def _first_sentence(text: str) -> str:
    """Return the first line of a message, and the one after it if the first ends in a colon."""
    first, *rest = text.splitlines()
    return f"{first} {rest[0].strip()}" if rest and first.endswith(":") else first
