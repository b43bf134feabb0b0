"""The folder of a build: it is complete or untouched, and finished stages are reused.

Work happens in DIR.partial, which replaces DIR at the end in one step. If the work ends early, DIR is unchanged, and
the same command continues from the stages that finished.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolflow.flow.disk import disk_full
from toolflow.flow.events import Events, Progress
from toolflow.flow.manifest import (
    MANIFEST,
    Manifest,
    Stage,
    file_digest,
    files_below,
    fingerprint,
    read_manifest,
    source_digest,
)
from toolflow.flow.signals import DEFERRED
from toolflow.ir.artefacts import load_record
from toolflow.ir.errors import ToolflowError

NOTEBOOKS, CHECKPOINTS = "search.*.notebook", "training.*.checkpoint"  # of a stage, until it is finished
_UNFINISHED = {NOTEBOOKS: "what the search found out", CHECKPOINTS: "the training so far"}
_NAMED_FILES = 5


class BuildFolder:
    """A build under way; `open_build` makes it.

    Attributes:
        path: the folder into which the stages write.
        stages: the finished stages of this build, in order.
        doing: the current stage; "" before the first.
    """

    def __init__(self, path: Path, earlier: Path, events: Events) -> None:
        self.path = path
        self.stages: dict[str, Stage] = {}
        self.doing = ""
        self._events = events
        self._sources = [
            (folder, manifest) for folder in (path, earlier) if (manifest := read_manifest(folder)) is not None
        ]
        self._manifest = read_manifest(path) or Manifest()
        self._manifest.write(path)

    def stage(
        self,
        name: str,
        make: Callable[[Path, Progress], None],
        *,
        outputs: Sequence[str],
        inputs: Mapping[str, Any],
        after: Sequence[str] = (),
        total: int | None = None,
    ) -> bool:
        """Run one stage, or reuse its earlier result if the inputs are the same.

        Args:
            name: a verb, as it is shown to the user.
            make: a function that writes the outputs into the given folder and reports its progress.
            outputs: the files and folders that it writes, relative to the folder; no other stage writes them.
            inputs: its inputs: values that JSON can hold, and paths, which count by their content.
            after: the earlier stages of this build that it reads.
            total: units of work for the progress, if they are known.

        Returns:
            Whether the stage was reused.

        Raises:
            ToolflowError: the stage did not write one of its outputs.
        """
        self.doing = name
        origin = fingerprint({"stage": name, **inputs}, [self.stages[other].digest for other in after])
        if self._reuse(name, origin, outputs):
            self._events.note(f"{name}: unchanged, reused")
            return True
        self._forget(name, outputs)
        start = time.monotonic()
        with self._events.progress(name, total) as progress:
            make(self.path, progress)
        made: list[str] = []
        for output in outputs:
            target = self.path / output
            if not target.exists():
                raise ToolflowError(f"stage '{name}' must write '{output}', which is not there")
            made += [f"{output}/{path}" for path in files_below(target)] if target.is_dir() else [output]
        for pattern in _UNFINISHED:
            for path in self.path.glob(pattern):
                path.unlink()
        digests = {path: file_digest(self.path / path) for path in made}
        self._finish(name, Stage(inputs=origin, files=digests, seconds=round(time.monotonic() - start, 3)))
        return False

    def _reuse(self, name: str, origin: str, outputs: Sequence[str]) -> bool:
        for folder, manifest in self._sources:
            known = manifest.stages.get(name)
            if known is None or known.inputs != origin or not manifest.intact(name, folder):
                continue
            if not all(any(path == out or path.startswith(f"{out}/") for path in known.files) for out in outputs):
                continue  # made by a command that asks less of this stage
            if folder != self.path:
                for path in known.files:
                    target = self.path / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(folder / path, target)
            self._finish(name, known)
            return True
        return False

    def _forget(self, name: str, outputs: Sequence[str]) -> None:
        if self._manifest.stages.pop(name, None) is not None:
            self._manifest.write(self.path)
        for output in outputs:
            _remove(self.path / output)

    def _finish(self, name: str, stage: Stage) -> None:
        self.stages[name] = stage
        self._manifest.stages[name] = stage
        self._manifest.write(self.path)

    def complete(self) -> None:
        """Remove what no stage of this build made; called before the folder takes its place."""
        self._manifest = Manifest(stages=dict(self.stages))
        self._manifest.write(self.path)
        for path in self._manifest.strangers(self.path):
            _remove(self.path / path)
        for place, folders, _ in os.walk(self.path, topdown=False):
            for folder in folders:
                if not any((Path(place) / folder).iterdir()):
                    (Path(place) / folder).rmdir()


def notebook_in(folder: Path) -> Path:
    """Return the file in which a stage keeps the measurements of a search; a newer toolflow does not read it."""
    return folder / NOTEBOOKS.replace("*", source_digest()[:16])


@contextmanager
def open_build(
    out: Path, events: Events, first: str | None = None, inputs: Sequence[Path | None] = ()
) -> Iterator[BuildFolder]:
    """Open the folder `out` for a build; at the end of the block the whole build is there.

    Args:
        out: the folder.
        events: receives the stages' progress.
        first: name of the first stage: a folder of another command is not replaced. None for any.
        inputs: the files that the build reads; None for a file that is not given.

    Raises:
        ToolflowError: `out` holds something that no build made, or what another command made, or an input; or another
            build writes it right now.
    """
    out = out.resolve()
    partial, previous = _beside(out, "partial"), _beside(out, "previous")
    for path in inputs:
        if path is not None and out in path.resolve().parents:
            raise ToolflowError(f"{path} lies in {out}, which would be replaced: choose another --out")
    for folder in (partial, out):
        _check_kind(folder, first)
    for folder in (partial, previous):
        _check_ours(folder)
    if previous.exists() and not out.exists():  # an earlier swap was cut short
        previous.rename(out)
    _check_ours(out, changes_matter=True)
    partial.mkdir(parents=True, exist_ok=True)
    lock = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ToolflowError(f"another build is writing {partial}: wait for it, or choose another folder") from None
        stage = ""
        try:
            build = BuildFolder(partial, out, events)
            try:
                yield build
                build.complete()
            finally:
                stage = build.doing
        except BaseException as error:
            told = disk_full(error, f"what '{stage or 'build'}' makes", (partial,))
            _keep_aside(out, partial, told or error)
            if told is not None:
                raise told from error
            raise
        _swap(partial, out, previous)
    finally:
        os.close(lock)


def record_outputs(folder: Path, name: str, outputs: Sequence[str], inputs: Mapping[str, Any], seconds: float) -> None:
    """Record files that were written into a finished build as a separate stage.

    A file of another stage then belongs to this one; the next build runs the other stage again.

    Raises:
        ToolflowError: `folder` is no build.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise ToolflowError(f"{folder} must be a folder that 'toolflow build' made: it holds no {MANIFEST}")
    files = {path: file_digest(folder / path) for path in outputs}
    for other, stage in manifest.stages.items():
        kept = {path: digest for path, digest in stage.files.items() if path not in files}
        if kept != stage.files:
            manifest.stages[other] = stage.model_copy(update={"files": kept, "inputs": ""})
    manifest.stages[name] = Stage(inputs=fingerprint(inputs), files=files, seconds=round(seconds, 3))
    manifest.write(folder)


def _beside(out: Path, suffix: str) -> Path:
    return out.with_name(f"{out.name}.{suffix}")


def _check_ours(folder: Path, changes_matter: bool = False) -> None:
    """Refuse a folder that no build made, or that a user has changed in a way that matters."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ToolflowError(f"the output must be a folder, not the file {folder}; choose another --out")
    manifest = read_manifest(folder)
    if manifest is None:
        if (folder / MANIFEST).is_file():
            try:
                load_record(Manifest, folder / MANIFEST)
            except ToolflowError as error:
                raise ToolflowError(f"{error}; {folder} was left as it is") from error
        if any(folder.iterdir()):
            raise ToolflowError(
                f"{folder} is neither empty nor an earlier build; it was left as it is; choose another --out"
            )
        return
    strangers = manifest.strangers(folder) if changes_matter else []
    if strangers:
        more = f" and {len(strangers) - _NAMED_FILES} more" if len(strangers) > _NAMED_FILES else ""
        raise ToolflowError(
            f"the output folder {folder} holds files that no build made or that were changed since: "
            f"{', '.join(strangers[:_NAMED_FILES])}{more}; it was left as it is; move them away or choose another --out"
        )


def _check_kind(folder: Path, first: str | None) -> None:
    """Refuse a folder that another command made."""
    manifest = read_manifest(folder) if folder.is_dir() else None
    if first is not None and manifest is not None and manifest.stages and first not in manifest.stages:
        raise ToolflowError(
            f"{folder} holds what another command made ({', '.join(manifest.stages)}); it was left as it is; "
            "move it away or choose another --out"
        )


def _keep_aside(out: Path, partial: Path, error: BaseException) -> None:
    manifest = read_manifest(partial)
    found = [f"the finished stages ({', '.join(manifest.stages)})"] if manifest and manifest.stages else []
    found += [what for pattern, what in _UNFINISHED.items() if any(partial.glob(pattern))]
    if not found:
        _remove(partial)
        return
    kept = f"{out} is as it was. " if out.exists() else ""
    what = " and ".join(found)
    are = "are" if len(found) > 1 or (manifest and manifest.stages) else "is"
    error.add_note(f"{kept}{what[0].upper()}{what[1:]} {are} in {partial}; the same command goes on from there.")


def _swap(partial: Path, out: Path, previous: Path) -> None:
    """Put the finished folder in its place; a signal waits until it is there."""
    _remove(previous)
    signal.pthread_sigmask(signal.SIG_BLOCK, DEFERRED)
    try:
        if out.exists():
            out.rename(previous)
        partial.rename(out)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, DEFERRED)
    _remove(previous)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
