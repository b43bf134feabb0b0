"""A stage, and how a list of stages runs in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from toolflow.flow.events import Progress
from toolflow.flow.folder import BuildFolder

Asked = TypeVar("Asked")


def always(_: object) -> bool:
    """Return that a stage is part of every run."""
    return True


@dataclass(frozen=True)
class Stage(Generic[Asked]):
    """One step of a run, from files of the stages before to files of its own.

    A stage reads its inputs back from the folder, whether they were made a moment ago or by an earlier run: both go
    the same way.

    Attributes:
        name: a verb, as the user is to read it.
        run: writes the outputs into the folder.
        outputs: the files and folders that it writes, relative to the folder; no other stage writes them.
        inputs: what it comes from, besides the files of other stages: values that JSON can hold, and paths, which count
            by their content.
        after: the stages that it reads, if they are part of the run.
        wanted: whether a request needs the stage.
    """

    name: str
    run: Callable[[Path, Asked, Progress], None]
    outputs: Callable[[Asked], Sequence[str]]
    inputs: Callable[[Asked], Mapping[str, Any]]
    after: tuple[str, ...] = ()
    wanted: Callable[[Asked], bool] = always


def run_stages(stages: Sequence[Stage[Asked]], folder: BuildFolder, request: Asked) -> None:
    """Run the stages that a request needs, in their order; each reuses what has not changed.

    Raises:
        ToolflowError: as the stages do.
    """
    for stage in stages:
        if stage.wanted(request):
            folder.stage(
                stage.name,
                partial(_run, stage, request),
                outputs=stage.outputs(request),
                inputs=stage.inputs(request),
                after=[name for name in stage.after if name in folder.stages],
            )


def _run(stage: Stage[Asked], request: Asked, folder: Path, progress: Progress) -> None:
    stage.run(folder, request, progress)
