"""`toolflow verify`: every level of a built project against the integer reference."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rtl_sim.level import EngineLevel, Level
from rtl_sim.levels import find_levels
from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.parsing import parse_names
from toolflow.cli.terminal import Terminal
from toolflow.ir.errors import NotRunError, ToolflowError, VerificationError

if TYPE_CHECKING:
    from rtl_sim.level import Subject, Verdict
    from rtl_sim.verify import LevelVerdict
    from toolflow.flow.project import Project, Vectors
    from toolflow.report.summary import LevelAccuracy, LevelCheck, Summary, Unit

DEFAULT_IMAGES = 16
STALL_PROBABILITY = 0.2


@command
def verify(
    terminal: Terminal,
    build: options.Build,
    levels: options.Levels = None,
    images: options.ImageCount = None,
    seed: options.Seed = 1,
) -> None:
    """Run a project's binaries on every level and compare each integer with the reference.

    Two levels ask others about the network in DIR/graphs: brevitas (its float64 inference) and hls4ml (its
    g++ emulation, where it can hold the network).

    The files in DIR/weights are then compared with what DIR/graphs compile to, and run on the others:
    program (numpy executor), hls (the C++ under g++), cosim (the C++ behind the cocotb bench), rtl (the
    SystemVerilog behind the same bench). Both benches pause every channel at random; a second run of rtl
    without pauses counts cycles.

    With hls, the C++ is also checked for synthesis: the language and pragmas that HLS compilers accept, and for
    each pipelined loop the initiation interval that its memories' ports and its recurrences allow at the board's
    clock. No vendor tool has confirmed these intervals.

    Examples:

        toolflow verify build/digits

        toolflow verify build/resnet20 --levels program,hls --images 32
    """
    known = find_levels()
    every = tuple(level.name for level in known.values() if level.selectable)
    chosen = parse_names("--levels", levels, every) or every
    with terminal.progress("load the toolflow"):
        from rtl_sim.simulate.places import work_folder
        from toolflow.flow.intact import require_intact
        from toolflow.flow.project import SUMMARY, open_project
        from toolflow.report.summary import read_summary
        from toolflow.report.tables import summary_tables

        project = open_project(build)
        if not os.access(build, os.W_OK | os.X_OK):
            raise ToolflowError(f"{build} must be writable, as verdicts are entered in {SUMMARY}: copy it, or allow it")
        edited = require_intact(project)
        summary = read_summary(build / SUMMARY)
    if edited:
        terminal.note(f"changed since the build, and run as they are: {', '.join(edited)}")
    work = work_folder(build)
    if work.parent != build.resolve().parent:
        terminal.note(f"simulators are kept in {work}: make cannot build or write below {build.resolve().parent}")
    vectors = project.vectors()
    count = min(images or DEFAULT_IMAGES, len(vectors.images))
    if images is not None and images > count:
        terminal.note(f"{build} keeps {count} images for verification: {count} are run, not {images}")
    runs = _Runs(terminal, project, vectors, count, seed, work, known)
    try:
        runs.all(chosen)
    except BaseException as error:
        if runs.checks:
            with suppress(OSError):  # a full disk, which is what `error` says then
                runs.save(summary, chosen)
                error.add_note(f"The verdicts so far are in {build / SUMMARY}.")
        raise
    summary = runs.save(summary, chosen)
    terminal.result(summary.model_dump(mode="json"), *summary_tables(summary))
    runs.require_equal()


class _Runs:
    """The levels that were run, and what they gave."""

    def __init__(
        self,
        terminal: Terminal,
        project: Project,
        vectors: Vectors,
        count: int,
        seed: int,
        work: Path,
        levels: Mapping[str, Level],
    ) -> None:
        self.terminal = terminal
        self.levels = levels
        self.project = project
        self.images = vectors.images[:count]
        self.labels = None if vectors.labels is None else vectors.labels[:count]
        self.seed = seed
        self.work = work
        self.started = time.monotonic()
        self.checks: list[LevelCheck] = []
        self.accuracies: list[LevelAccuracy] = []
        self.counted: dict[str, list[LevelVerdict]] = {}
        self.not_run: list[str] = []

    def all(self, chosen: Sequence[str]) -> None:
        """Run the levels that were chosen on every unit, and those that accompany them."""
        for name in self.project.plan.units:
            subject = self._subject(name)
            for level in self.levels.values():
                if level.runs(chosen):
                    self.level(level, subject)

    def _subject(self, unit_name: str) -> Subject:
        from rtl_sim.binaries import Binaries
        from rtl_sim.level import Subject
        from rtl_sim.simulate.job import RunOptions
        from toolflow.flow.project import BinaryPaths

        paths = BinaryPaths.of(self.project.folder, unit_name)
        return Subject(
            folder=self.project.folder,
            unit=self.project.unit(unit_name),
            board=self.project.board,
            binaries=Binaries(paths.program.read_bytes(), paths.weights.read_bytes()),
            images=self.images,
            work=self.work,
            options=RunOptions(seed=self.seed, stall_probability=STALL_PROBABILITY),
            note=self.terminal.note,
        )

    def save(self, summary: Summary, chosen: Sequence[str]) -> Summary:
        """Enter what was found into the project's summary, and return it."""
        from toolflow.flow.folder import record_outputs
        from toolflow.flow.project import SUMMARY
        from toolflow.report.summary import write_summary

        summary = self.entered(summary)
        write_summary(summary, self.project.folder / SUMMARY)
        inputs = {"levels": list(chosen), "images": len(self.images), "seed": self.seed}
        record_outputs(self.project.folder, "verify", [SUMMARY], inputs, time.monotonic() - self.started)
        return summary

    def require_equal(self) -> None:
        """Raise where a level differed, or else where one could not be run.

        Raises:
            VerificationError: names every check that differs.
            NotRunError: nothing differs, but a level could not be run.
        """
        failed = [check for check in self.checks if check.equal is False]
        not_run = "".join(f"\n  {text}" for text in self.not_run)
        if failed:
            lines = "".join(f"\n  {check.unit} unit, {check.level}: {check.detail}" for check in failed)
            raise VerificationError(
                f"{len(failed)} check(s) differ from the reference:{lines}"
                + (f"\n{len(self.not_run)} level(s) could not be run:{not_run}" if not_run else "")
            )
        if not_run:
            raise NotRunError(f"{len(self.not_run)} level(s) could not be run; no integer differed:{not_run}")

    def level(self, level: Level, subject: Subject) -> None:
        """Run one level on one unit, and count cycles if it has a clock."""
        unit = subject.unit.name
        start = time.monotonic()
        with self.terminal.progress(level.describe(unit, len(self.images))):
            verdict = level.check(subject)
        self._enter(unit, level, verdict, time.monotonic() - start)
        if verdict.failure:
            self.not_run.append(f"{unit} unit, {level.name}: {verdict.failure}")
        if verdict.equal and verdict.images and self.labels is not None:
            self._accuracy(unit, level.name)
        if verdict.ended and isinstance(level, EngineLevel) and level.counts_cycles:
            self.count_cycles(level, subject)

    def count_cycles(self, level: EngineLevel, subject: Subject) -> None:
        """Run batches of one and of all lanes without pauses, and keep the counters."""
        unit = subject.unit
        wanted = self.project.plan.objective.batches(unit.config.lanes_p)
        batches = [batch for batch in wanted if batch <= len(self.images)]
        verdicts = []
        for batch in batches:
            with self.terminal.progress(f"count cycles of the {unit.name} unit, batch {batch}"):
                verdicts.append(level.count(subject, batch))
        self.counted[unit.name] = verdicts

    def entered(self, summary: Summary) -> Summary:
        """Return the summary with what was found.

        Levels that were not run keep their earlier entry while the files that it speaks of are the same; else
        their verdict, accuracy and counted cycles are dropped.
        """
        from toolflow.flow.stages.report import cycles_per_image

        ran = {(check.unit, check.level) for check in self.checks}
        earlier = [check for check in summary.verification if (check.unit, check.level) not in ran]
        kept = [check for check in earlier if self._holds(check)]
        stale = {(check.unit, check.level) for check in earlier if check not in kept}
        if stale:
            named = ", ".join(sorted(f"{level} of the {unit} unit" for unit, level in stale))
            self.terminal.note(f"verdicts of an earlier run are dropped, as files have changed since: {named}")
        replaced = stale | {(row.unit, row.level) for row in self.accuracies}
        rows = tuple(row for row in summary.accuracy if (row.unit, row.level) not in replaced)
        clocked = [
            level.name for level in self.levels.values() if isinstance(level, EngineLevel) and level.counts_cycles
        ]
        uncounted = {unit for unit, level in stale if level in clocked}
        units = tuple(self._with_cycles(unit, unit.unit in uncounted) for unit in summary.units)
        share = (
            summary.decision.forwarded_share if summary.decision is not None and summary.cascade is not None else 0.0
        )
        cycles = cycles_per_image(self.project, units, share)
        return summary.model_copy(
            update={
                "verification": (*kept, *self.checks),
                "accuracy": (*rows, *self.accuracies),
                "units": units,
                "cycles_per_image": cycles,
                "images_per_second": self.project.board.clock_mhz * 1e6 / cycles,
            }
        )

    def _holds(self, check: LevelCheck) -> bool:
        """Return whether the files that an earlier verdict covers are unchanged."""
        from toolflow.flow.checked import checked_digest

        level = self.levels.get(check.level)
        return level is not None and check.files == checked_digest(self.project, check.unit, level)

    def _enter(self, unit: str, level: Level, verdict: Verdict, seconds: float) -> None:
        """Enter a verdict."""
        from toolflow.flow.checked import checked_digest
        from toolflow.report.summary import LevelCheck, LoopInterval, UnitName

        fields = LoopInterval.model_fields
        loops = tuple(LoopInterval(**{name: getattr(loop, name) for name in fields}) for loop in verdict.loops)
        self.checks.append(
            LevelCheck(
                level=level.name,
                unit=cast(UnitName, unit),
                images=verdict.images,
                equal=verdict.equal,
                detail=verdict.detail,
                seconds=round(seconds, 2),
                files=checked_digest(self.project, unit, level),
                loops=loops,
            )
        )

    def _accuracy(self, unit_name: str, level_name: str) -> None:
        """Enter the accuracy of a level that equals the reference on these images."""
        from toolflow.interpreter.run import run
        from toolflow.report.summary import LevelAccuracy, UnitName

        graph = self.project.graph(self.project.plan.units[unit_name].graph)
        klass = run(graph, self.images)[graph.output].reshape(len(self.images), -1).argmax(axis=1)
        share = float((klass == self.labels).mean())
        self.accuracies.append(
            LevelAccuracy(
                level=level_name,
                unit=cast(UnitName, unit_name),
                images=len(self.images),
                accuracy=share,
                labelled=True,
            )
        )

    def _with_cycles(self, unit: Unit, forget: bool) -> Unit:
        """Return the unit with the cycles that were counted now; with `forget` none of an earlier run."""
        from toolflow.engine.cycles import predict
        from toolflow.plan.lower.lower import Lowering
        from toolflow.report.from_artefacts import run_section

        verdicts = {verdict.images: verdict for verdict in self.counted.get(unit.unit, ())}
        if not verdicts and not forget:
            return unit
        planned = self.project.plan.units[unit.unit]
        lowering = Lowering(self.project.graph(planned.graph), planned.engine)
        header, instructions = lowering.outline()
        runs: list[Any] = []
        for earlier in unit.runs:
            report = predict(planned.engine, header, instructions, lowering.macs(), earlier.images)
            found = verdicts.get(earlier.images)
            clock = self.project.board.clock_mhz
            renewed = found is not None or forget
            runs.append(run_section(report, unit.multipliers, clock, found) if renewed else earlier)
        return unit.model_copy(update={"runs": tuple(runs)})
