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
    out = as_path("--out", out)
    request = replace(request, source=request.source.anew())
    board = request.board_to_build()
    if note := unchecked_amounts(board.part):
        events.note(note)
    for sentence in request.search.check(request.variants):
        events.note(sentence)
    check_engine(request.engine, {request.bits(name) for name in request.variants}, board)
    with open_build(out, events, "quantise", request.files) as folder:
        request.source.load(events)
        run_stages(STAGES, folder, request)
    return read_summary(out / SUMMARY)
