"""Compare every file of a project with its hash in the manifest."""

from __future__ import annotations

from toolflow.emit.notices import NOTICES
from toolflow.emit.project_readme import README
from toolflow.engine.program import VERSION, is_program, program_version
from toolflow.flow.manifest import MANIFEST, Manifest, file_digest, files_below
from toolflow.flow.project import CURVE, WEIGHTS, BinaryPaths, Project
from toolflow.ir.artefacts import load_record
from toolflow.ir.errors import ToolflowError
from toolflow.report.page.page import PAGE

SOURCES = ("hls", "rtl")  # run as they are: a user may try a change
ADAPTED = ("scripts", "host", README, *NOTICES, CURVE, PAGE)  # no level reads them
REMEDY = "restore it, or delete it and run the same 'toolflow build' again: that makes what is missing"


def require_intact(project: Project) -> list[str]:
    """Refuse a project in which something that a level, a bench or the host reads is missing or was changed.

    Sources may be edited, and are run as they are. The content of weights/ is left to the level that compares it byte
    by byte, so that the layer is named.

    Returns:
        The sources that were added or changed since the build, by path inside the project.

    Raises:
        ToolflowError: names every file that is missing or was changed.
    """
    folder = project.folder
    manifest = load_record(Manifest, folder / MANIFEST)
    recorded = {path: digest for stage in manifest.stages.values() for path, digest in stage.files.items()}
    wrong = [f"{MANIFEST} does not record {path}" for path in project.needed() if path not in recorded]
    sources = [f"{top}/{path}" for top in SOURCES for path in files_below(folder / top)]
    edited = [path for path in sources if path not in recorded]
    for path, digest in recorded.items():
        found = file_digest(folder / path)
        top = path.partition("/")[0]
        if found == digest or top in ADAPTED:
            continue
        if not found:
            wrong.append(f"{path} is missing")
        elif top in SOURCES:
            edited.append(path)
        elif top != WEIGHTS:
            wrong.append(f"{path} is damaged, or was changed since the build")
    if wrong:
        named = "\n".join(f"  {text}" for text in sorted(wrong))
        raise ToolflowError(f"{folder} is not as it was built, so nothing was run:\n{named}\nFor each: {REMEDY}")
    return sorted(edited)


def require_current_programs(project: Project) -> None:
    """Refuse a project that an earlier version of the toolflow compiled: no level could run its programs.

    Raises:
        ToolflowError: names both versions of programs.
    """
    manifest = load_record(Manifest, project.folder / MANIFEST)
    recorded = {path: digest for stage in manifest.stages.values() for path, digest in stage.files.items()}
    for unit in project.plan.units:
        path = BinaryPaths.of(project.folder, unit).program
        inside = path.relative_to(project.folder).as_posix()
        binary = path.read_bytes()
        as_built = file_digest(path) == recorded.get(inside)  # a damaged header is for the levels to name
        if as_built and is_program(binary) and program_version(binary) != VERSION:
            raise ToolflowError(
                f"{path} is a program of version {program_version(binary)}, and this version of the toolflow runs "
                f"programs of version {VERSION}: run the same 'toolflow build' again, which keeps what has not changed"
            )
