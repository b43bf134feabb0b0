"""The verdicts of levels on a project, and their entry in its summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rtl_sim.level import Level, Verdict
from rtl_sim.verify import LevelVerdict
from toolflow.engine.cycles import predict
from toolflow.flow.checked import checked_digest
from toolflow.flow.project import Project, Vectors
from toolflow.flow.stages.report import cycles_per_image
from toolflow.interpreter.run import run
from toolflow.ir.unit import UnitName
from toolflow.plan.schedule.schedule import schedule_of
from toolflow.report.from_artefacts import run_section
from toolflow.report.summary import LevelAccuracy, LevelCheck, LoopInterval, Run, Summary, Unit


@dataclass
class Verdicts:
    """The verdicts of one run of levels.

    Attributes:
        project: the project that was verified.
        known: every level by name.
        vectors: the images that were run.
        checks: the verdicts.
        accuracies: accuracies of the levels that equal the reference, if the images have labels.
        counted: runs without pauses, with their cycle counters, by unit.
        not_run: unit, level and reason of each level that could not be run.
    """

    project: Project
    known: Mapping[str, Level]
    vectors: Vectors
    checks: list[LevelCheck] = field(default_factory=list)
    accuracies: list[LevelAccuracy] = field(default_factory=list)
    counted: dict[UnitName, list[LevelVerdict]] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)

    def add(self, unit: UnitName, level: Level, verdict: Verdict, seconds: float) -> None:
        """Add a level's verdict on a unit, and its accuracy if it equals the reference on labelled images."""
        loops = tuple(
            LoopInterval(**{name: getattr(loop, name) for name in LoopInterval.model_fields}) for loop in verdict.loops
        )
        self.checks.append(
            LevelCheck(
                level=level.name,
                unit=unit,
                images=verdict.images,
                equal=verdict.equal,
                detail=verdict.detail,
                seconds=round(seconds, 2),
                files=checked_digest(self.project, unit, level),
                loops=loops,
                finished=datetime.now(UTC).isoformat(timespec="seconds"),
            )
        )
        if verdict.failure:
            self.not_run.append(f"{unit} unit, {level.name}: {verdict.failure}")
        if verdict.equal and verdict.images and self.vectors.labels is not None:
            self.accuracies.append(self._accuracy(unit, level.name))

    def add_counted(self, unit: UnitName, verdict: LevelVerdict) -> None:
        """Add a run without pauses."""
        self.counted.setdefault(unit, []).append(verdict)

    def entered(self, summary: Summary) -> tuple[Summary, list[str]]:
        """Return a summary with what was found, and the earlier verdicts that it lost.

        Levels that were not run keep their earlier entry while the files that it covers are the same; else their
        verdict, accuracy and counted cycles are dropped.
        """
        ran = {(check.unit, check.level) for check in self.checks}
        earlier = [check for check in summary.verification if (check.unit, check.level) not in ran]
        kept = [check for check in earlier if self._holds(check)]
        stale = {(check.unit, check.level) for check in earlier if check not in kept}
        replaced = stale | {(row.unit, row.level) for row in self.accuracies}
        rows = tuple(row for row in summary.accuracy if (row.unit, row.level) not in replaced)
        clocked = {name for name, level in self.known.items() if level.counts_cycles}
        uncounted = {unit for unit, level in stale if level in clocked}
        units = tuple(self._with_cycles(unit, unit.unit in uncounted) for unit in summary.units)
        share = 0.0
        if summary.decision is not None and summary.cascade is not None:
            share = summary.decision.forwarded_share
        cycles = cycles_per_image(self.project, units, share)
        entered = summary.model_copy(
            update={
                "verification": (*kept, *self.checks),
                "accuracy": (*rows, *self.accuracies),
                "units": units,
                "cycles_per_image": cycles,
                "images_per_second": self.project.board.clock_mhz * 1e6 / cycles,
            }
        )
        return entered, sorted(f"{level} of the {unit} unit" for unit, level in stale)

    def _holds(self, check: LevelCheck) -> bool:
        """Return whether the files that an earlier verdict covers are unchanged."""
        level = self.known.get(check.level)
        return level is not None and check.files == checked_digest(self.project, check.unit, level)

    def _accuracy(self, unit: UnitName, level: str) -> LevelAccuracy:
        """Return the accuracy of a level that equals the reference, which is the reference's."""
        images = self.vectors.images
        graph = self.project.graph(self.project.plan.units[unit].graph)
        klass = run(graph, images)[graph.output].reshape(len(images), -1).argmax(axis=1)
        share = float((klass == self.vectors.labels).mean())
        return LevelAccuracy(level=level, unit=unit, images=len(images), accuracy=share, labelled=True)

    def _with_cycles(self, unit: Unit, forget: bool) -> Unit:
        """Return the unit with the cycles that were counted now; with `forget` none of an earlier run."""
        verdicts = {verdict.images: verdict for verdict in self.counted.get(unit.unit, ())}
        if not verdicts and not forget:
            return unit
        planned, engine = self.project.plan.units[unit.unit], self.project.plan.seen(unit.unit)
        schedule = schedule_of(self.project.graph(planned.graph), engine)
        runs: list[Run] = []
        for earlier in unit.runs:
            found = verdicts.get(earlier.images)
            if found is None and not forget:
                runs.append(earlier)
                continue
            report = predict(engine, schedule.steps, earlier.images)
            runs.append(run_section(report, unit.multipliers, self.project.board.clock_mhz, found))
        return unit.model_copy(update={"runs": tuple(runs)})
