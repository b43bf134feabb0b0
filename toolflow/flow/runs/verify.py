"""Verify a project on every level."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rtl_sim.binaries import Binaries
from rtl_sim.level import EngineLevel, Level, Subject
from rtl_sim.levels import find_levels, selected
from rtl_sim.simulate.job import RunOptions
from rtl_sim.simulate.places import work_folder
from toolflow.flow.events import SILENT, Events
from toolflow.flow.folder import record_outputs
from toolflow.flow.intact import require_current_programs, require_intact
from toolflow.flow.page import write_project_page
from toolflow.flow.project import SUMMARY, BinaryPaths, Project, open_project
from toolflow.flow.values import as_path, as_whole, refused
from toolflow.flow.verdicts import Verdicts
from toolflow.ir.artefacts import save_record
from toolflow.ir.errors import NotRunError, ToolflowError, VerificationError
from toolflow.ir.unit import UnitName
from toolflow.report.page.page import PAGE
from toolflow.report.summary import LevelCheck, Summary, read_summary

DEFAULT_IMAGES = 16
STALL_PROBABILITY = 0.2


@dataclass(frozen=True)
class Verification:
    """What the levels of one run found.

    Attributes:
        summary: every figure of the build, with these verdicts and the earlier ones that still hold.
        checks: the verdicts of this run.
        not_run: for each level that was asked for but could not be run, its unit, its name and why.
    """

    summary: Summary
    checks: tuple[LevelCheck, ...]
    not_run: tuple[str, ...]

    def require_equal(self) -> None:
        """Raise if a level differed, or else if one could not be run.

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


def verify(
    folder: str | Path,
    levels: Sequence[str] | None = None,
    images: int | None = None,
    seed: int = 1,
    events: Events = SILENT,
) -> Verification:
    """Run a project's binaries on levels, and compare each integer with the reference.

    The verdicts are written to the project's `summary.json` and `report.html`, also if the run ends early.

    Args:
        folder: a folder that `build` made.
        levels: names of levels of `rtl_sim.levels`; None for all.
        images: number of the project's images for each level; None for 16.
        seed: seed of the random pauses of the benches.
        events: receives notes and progress.

    Raises:
        ToolflowError: the folder is no complete build, or a file of it is damaged.
    """
    folder = as_path("folder", folder)
    if images is not None:
        as_whole("--images", images, 1)
    as_whole("--seed", seed, 0)
    known = find_levels()
    if levels is not None and (isinstance(levels, str) or not isinstance(levels, Sequence) or not levels):
        raise refused("levels", "a sequence of one or more names, for example ('program',)", levels)
    chosen = selected(known, levels)
    with events.progress("open the project"):
        project = open_project(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ToolflowError(
                f"{folder} must be writable, as verdicts are entered in {SUMMARY}: copy it, or allow it"
            )
        edited = require_intact(project)
        require_current_programs(project)
        summary = read_summary(folder / SUMMARY)
    if edited:
        events.note(f"changed since the build, and run as they are: {', '.join(edited)}")
    work = work_folder(folder)
    if work.parent != folder.resolve().parent:
        events.note(f"simulators are kept in {work}: make cannot build or write below {folder.resolve().parent}")
    vectors = project.vectors()
    count = min(images or DEFAULT_IMAGES, len(vectors.images))
    if images is not None and images > count:
        events.note(f"{folder} keeps {count} images for verification: {count} are run, not {images}")
    verdicts = Verdicts(project, known, vectors.first(count))
    run = _Run(project, known, verdicts, RunOptions(seed=seed, stall_probability=STALL_PROBABILITY), work, events)
    inputs = {"levels": list(chosen), "images": count, "seed": seed}
    started = time.monotonic()
    try:
        run.levels(chosen)
    except BaseException as error:
        if verdicts.checks:
            with suppress(OSError):  # a full disk, which is what `error` says then
                _save(project, verdicts, summary, inputs, started, events)
                error.add_note(f"The verdicts so far are in {folder / SUMMARY}.")
        raise
    summary = _save(project, verdicts, summary, inputs, started, events)
    return Verification(summary, tuple(verdicts.checks), tuple(verdicts.not_run))


def _save(
    project: Project,
    verdicts: Verdicts,
    summary: Summary,
    inputs: Mapping[str, object],
    started: float,
    events: Events,
) -> Summary:
    """Write the verdicts to the project's summary, and return it."""
    entered, dropped = verdicts.entered(summary)
    if dropped:
        events.note(f"verdicts of an earlier run are dropped, as files have changed since: {', '.join(dropped)}")
    save_record(entered, project.folder / SUMMARY)
    write_project_page(project, entered)
    record_outputs(project.folder, "verify", [SUMMARY, PAGE], inputs, time.monotonic() - started)
    return entered


@dataclass(frozen=True)
class _Run:
    """One run of levels on a project."""

    project: Project
    known: Mapping[str, Level]
    verdicts: Verdicts
    options: RunOptions
    work: Path
    events: Events

    def levels(self, chosen: Sequence[str]) -> None:
        """Run the chosen levels, and the levels that accompany them, on every unit."""
        for unit in self.project.plan.units:
            subject = self._subject(unit)
            for level in self.known.values():
                if level.runs(chosen):
                    self._level(level, subject)

    def _subject(self, unit: UnitName) -> Subject:
        folder = self.project.folder
        paths = BinaryPaths.of(folder, unit)
        return Subject(
            folder,
            self.project.unit(unit),
            self.project.board,
            Binaries(paths.program.read_bytes(), paths.weights.read_bytes()),
            self.verdicts.vectors.images,
            self.work,
            self.options,
            self.events.note,
        )

    def _level(self, level: Level, subject: Subject) -> None:
        """Run one level on one unit, and count cycles if it has a clock."""
        start = time.monotonic()
        with self.events.progress(level.describe(subject.unit.name, len(subject.images))):
            verdict = level.check(subject)
        self.verdicts.add(subject.unit.name, level, verdict, time.monotonic() - start)
        if verdict.ended and isinstance(level, EngineLevel) and level.counts_cycles:
            self._count_cycles(level, subject)

    def _count_cycles(self, level: EngineLevel, subject: Subject) -> None:
        """Run batches of one and of all lanes without pauses, and keep the counters."""
        unit = subject.unit
        unpaused = replace(subject, options=RunOptions())
        for batch in self.project.plan.objective.batches(unit.config.lanes_p):
            if batch <= len(subject.images):
                with self.events.progress(f"count cycles of the {unit.name} unit, batch {batch}"):
                    self.verdicts.add_counted(unit.name, level.run(unpaused, batch))
