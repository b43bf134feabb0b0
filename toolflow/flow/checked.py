"""Which files of a project a level of verification speaks of: its verdict holds while they are unchanged."""

from __future__ import annotations

from pathlib import Path

from toolflow.flow.manifest import fingerprint
from toolflow.flow.project import CALIBRATION, CHECK_IMAGES, GRAPHS, WEIGHTS, Project

_SOURCES = {"hls": "hls", "cosim": "hls", "synthesisable": "hls", "rtl": "rtl/{unit}"}
_WITHOUT_BINARIES = ("brevitas", "hls4ml", "synthesisable")


def checked_digest(project: Project, unit: str, level: str) -> str:
    """Return the hash of everything that a level of a unit compares: integers, images, rule, binaries, sources."""
    planned = project.plan.units[unit]
    names = [f"{GRAPHS}/{planned.graph}.json", f"{GRAPHS}/{planned.graph}.npz", CHECK_IMAGES, CALIBRATION]
    if level not in _WITHOUT_BINARIES:
        names += [f"{WEIGHTS}/{unit}.program.bin", f"{WEIGHTS}/{unit}.weights.bin"]
    if level in _SOURCES:
        names.append(_SOURCES[level].format(unit=unit))
    files: dict[str, Path] = {name: project.folder / name for name in names}
    return fingerprint({"engine": planned.engine.model_dump(), **files})
