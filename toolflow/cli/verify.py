"""`toolflow verify`: every level of a built project against the integer reference."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal
from toolflow.ir.errors import NotRunError, ToolflowError, VerificationError

if TYPE_CHECKING:
    from rtl_sim.levels.binaries import Binaries
    from rtl_sim.verify import LevelVerdict
    from toolflow.flow.project import Project, Vectors
    from toolflow.report.summary import LevelAccuracy, LevelCheck, LoopInterval, Summary, Unit

ORACLES = ("brevitas", "hls4ml")
ENGINE_LEVELS = ("program", "hls", "cosim", "rtl")
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
    every = (*ORACLES, *ENGINE_LEVELS)
    chosen = options.parse_names("--levels", levels, every) or every
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
    runs = _Runs(terminal, project, vectors, count, seed, work)
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
        self, terminal: Terminal, project: Project, vectors: Vectors, count: int, seed: int, work: Path
    ) -> None:
        from rtl_sim.simulate.job import RunOptions

        self.terminal = terminal
        self.project = project
        self.images = vectors.images[:count]
        self.labels = None if vectors.labels is None else vectors.labels[:count]
        self.seed = seed
        self.stalled = RunOptions(seed=seed, stall_probability=STALL_PROBABILITY)
        self.work = work
        self.started = time.monotonic()
        self.binaries: dict[str, Binaries] = {}
        self.checks: list[LevelCheck] = []
        self.accuracies: list[LevelAccuracy] = []
        self.counted: dict[str, list[LevelVerdict]] = {}
        self.not_run: list[str] = []

    def all(self, chosen: Sequence[str]) -> None:
        """Run the levels that were chosen on every unit."""
        for name in self.project.plan.units:
            for oracle in (level for level in ORACLES if level in chosen):
                self.oracle(name, oracle)
            runnable = self.files(name)
            if "hls" in chosen:
                self.synthesisable(name)
            for level in (level for level in ENGINE_LEVELS if level in chosen):
                ran = self.level(name, level) if runnable else self.left_out(name, level)
                if ran and level == "rtl":
                    self.count_cycles(name)

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

    def oracle(self, unit_name: str, oracle: str) -> None:
        """Compare the unit's network with what an oracle makes of it."""
        with self.terminal.progress(f"{oracle} of the {unit_name} unit, {len(self.images)} images"):
            from rtl_sim.levels.oracles import ask_oracle  # loads torch

            start = time.monotonic()
            graph = self.project.unit(unit_name).graph
            verdict = ask_oracle(oracle, graph, self.images, self.work / f"{oracle}_{unit_name}")
        self._enter(unit_name, oracle, verdict.equal, verdict.detail, start, len(self.images))
        if verdict.equal and self.labels is not None:
            self._accuracy(unit_name, oracle)

    def files(self, unit_name: str) -> bool:
        """Compare the unit's program and weights files with its network; return whether a level can run them."""
        from rtl_sim.levels.binaries import Binaries
        from toolflow.flow.project import BinaryPaths
        from toolflow.plan.lower.lower import compile_program

        start = time.monotonic()
        unit = self.project.unit(unit_name)
        paths = BinaryPaths.of(self.project.folder, unit_name)
        stored = Binaries(paths.program.read_bytes(), paths.weights.read_bytes())
        compiled = compile_program(unit.graph, unit.config, unit.rule)
        difference = stored.difference(compiled)
        self.binaries[unit_name] = stored
        self._enter(unit_name, "files", difference is None, difference or "", start)
        return stored.same_sizes(compiled)

    def synthesisable(self, unit_name: str) -> None:
        """Check that the unit's C++ keeps to what HLS compilers accept, and what II its pipelined loops can reach."""
        from toolflow.flow.synthesis_check import check_sources

        start = time.monotonic()
        with self.terminal.progress(f"loops of the {unit_name} unit's C++"):
            equal, detail, loops = check_sources(self.project, unit_name, self.work / "intervals")
        self._enter(unit_name, "synthesisable", equal, detail, start, loops=loops)

    def left_out(self, unit_name: str, level_name: str) -> bool:
        """Enter a level that cannot run files of another size; return that it did not run."""
        self._enter(unit_name, level_name, None, "not these files")
        return False

    def level(self, unit_name: str, level_name: str) -> bool:
        """Compare one level of one unit with the reference; return whether it came to its end."""
        from rtl_sim.levels.sources import make_level
        from rtl_sim.verify import verify_level

        unit = self.project.unit(unit_name)
        level = make_level(level_name, self.project.folder, unit_name, self.work, self.stalled)
        start = time.monotonic()
        try:
            with self.terminal.progress(f"{level_name} of the {unit_name} unit, {len(self.images)} images"):
                verdict = verify_level(unit, level, self.images, self.terminal.note, self.binaries[unit_name])
        except VerificationError as error:  # it hung, crashed or broke a protocol
            self._enter(unit_name, level_name, False, str(error), start, len(self.images))
            return False
        except ToolflowError as error:
            self.not_run.append(f"{unit_name} unit, {level_name}: {error}")
            self._enter(unit_name, level_name, None, f"could not be run: {str(error).splitlines()[0]}", start)
            return False
        detail = "" if verdict.difference is None else str(verdict.difference)
        self._enter(unit_name, level_name, verdict.equal, detail, start, len(self.images))
        if verdict.equal and self.labels is not None:
            self._accuracy(unit_name, level_name)
        return True

    def count_cycles(self, unit_name: str) -> None:
        """Simulate the RTL without pauses at batches of one and of all lanes, and keep its counters."""
        from rtl_sim.levels.sources import make_level
        from rtl_sim.simulate.job import RunOptions
        from rtl_sim.verify import verify_level

        unit = self.project.unit(unit_name)
        level = make_level("rtl", self.project.folder, unit_name, self.work, RunOptions())
        verdicts = []
        for batch in self.project.plan.objective.batches(unit.config.lanes_p):
            if batch <= len(self.images):
                with self.terminal.progress(f"count cycles of the {unit_name} unit, batch {batch}"):
                    stored = self.binaries[unit_name]
                    verdicts.append(verify_level(unit, level, self.images[:batch], self.terminal.note, stored))
        self.counted[unit_name] = verdicts

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
        units = tuple(self._with_cycles(unit, (unit.unit, "rtl") in stale) for unit in summary.units)
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
        from toolflow.flow.checked import checked_digest

        return check.files == checked_digest(self.project, check.unit, check.level)

    def _enter(
        self,
        unit: str,
        level: str,
        equal: bool | None,
        detail: str,
        start: float | None = None,
        images: int = 0,
        loops: tuple[LoopInterval, ...] = (),
    ) -> None:
        """Enter a verdict; `start` is when its work began."""
        from toolflow.flow.checked import checked_digest
        from toolflow.report.summary import LevelCheck, UnitName

        self.checks.append(
            LevelCheck(
                level=level,
                unit=cast(UnitName, unit),
                images=images,
                equal=equal,
                detail=detail,
                seconds=0.0 if start is None else round(time.monotonic() - start, 2),
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
