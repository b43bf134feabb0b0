"""The files that the verdict of a level depends on: it is valid while they are unchanged."""

from __future__ import annotations

from pathlib import Path

from rtl_sim.level import Level
from toolflow.flow.manifest import fingerprint
from toolflow.flow.project import CALIBRATION, CHECK_IMAGES, GRAPHS, WEIGHTS, Project
from toolflow.ir.unit import UnitName


def checked_digest(project: Project, unit: UnitName, level: Level) -> str:
    """Return the hash of everything that a level of a unit compares: integers, images, rule, binaries, sources."""
    planned = project.plan.units[unit]
    names = [f"{GRAPHS}/{planned.graph}.json", f"{GRAPHS}/{planned.graph}.npz", CHECK_IMAGES, CALIBRATION]
    if level.reads_binaries:
        names += [f"{WEIGHTS}/{unit}.program.bin", f"{WEIGHTS}/{unit}.weights.bin"]
    if level.sources:
        names.append(level.sources.format(unit=project.plan.engine_name(unit)))
    files: dict[str, Path] = {name: project.folder / name for name in names}
    return fingerprint({"engine": planned.engine.model_dump(), **files})
