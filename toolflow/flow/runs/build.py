"""Build a project folder from a request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from toolflow.flow.events import SILENT, Events
from toolflow.flow.folder import open_build
from toolflow.flow.project import SUMMARY
from toolflow.flow.request import Request
from toolflow.flow.stages import calibrate, emit, plan, quantise, report
from toolflow.flow.stages.stage import Stage, run_stages
from toolflow.flow.values import as_path, require_kind
from toolflow.plan.boards.checks import unchecked_amounts
from toolflow.plan.explore.choose import check_engine
from toolflow.report.summary import Summary, read_summary

STAGES: tuple[Stage[Request], ...] = (quantise.STAGE, calibrate.STAGE, plan.STAGE, emit.STAGE, report.STAGE)


def build(request: Request, out: str | Path, events: Events = SILENT) -> Summary:
    """Quantise, calibrate, plan and emit a project.

    Args:
        request: what to build; its board must be given.
        out: the output folder. An earlier build there is replaced; stages with the same inputs are reused.
        events: receives notes and progress.

    Returns:
        Every figure of the build: the contents of `out/summary.json`.

    Raises:
        ToolflowError: the request cannot be built, or `out` holds something else.
        DoesNotFitError: the board is too small.
    """
    require_kind("request", request, Request)
    build_through(STAGES[-1].name, request, out, events)
    return read_summary(as_path("--out", out) / SUMMARY)


def build_through(last: str, request: Request, out: str | Path, events: Events = SILENT) -> None:
    """Run the stages of a build up to one, for a caller who looks at each result before the next.

    The folder then holds what these stages made, and nothing else.

    Args:
        last: name of the stage.
        request: what to build; from the stage "plan" on its board must be given.
        out: the output folder.
        events: receives notes and progress.

    Raises:
        ToolflowError, DoesNotFitError: as `build`.
    """
    names = [stage.name for stage in STAGES]
    stages = STAGES[: names.index(last) + 1]
    out = as_path("--out", out)
    request = replace(request, source=request.source.anew())
    request.require_untouched()
    if any(stage is plan.STAGE for stage in stages):
        _check_board(request, events)
    for sentence in request.search.check(request.variants):
        events.note(sentence)
    with open_build(out, events, STAGES[0].name, request.files) as folder:
        request.source.load(events)
        run_stages(stages, folder, request)


def _check_board(request: Request, events: Events) -> None:
    """Refuse a board or an engine before anything is computed, and report a board that nobody checked."""
    board = request.board_to_build()
    if note := unchecked_amounts(board.part):
        events.note(note)
    check_engine(request.engine, {request.bits(name) for name in request.variants}, board)
