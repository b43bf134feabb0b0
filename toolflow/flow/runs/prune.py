"""Prune a network from a request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from toolflow.flow.events import SILENT, Events
from toolflow.flow.folder import open_build
from toolflow.flow.pruning import PruneRequest
from toolflow.flow.records import PruneRecord
from toolflow.flow.search import SAVES_MULTIPLICATIONS
from toolflow.flow.stages.prune import RECORD, STAGES
from toolflow.flow.stages.stage import run_stages
from toolflow.flow.values import as_path, require_kind
from toolflow.ir.artefacts import load_record


def prune(request: PruneRequest, out: str | Path, events: Events = SILENT) -> PruneRecord:
    """Prune a model's convolutions, and measure the network before and after.

    Args:
        request: the network, and its requested tiles and patterns.
        out: the output folder: the weights as pruned.safetensors, and prune.json. An interrupted run continues after
            its last finished epoch.
        events: receives notes and progress.

    Returns:
        The contents of prune.json.

    Raises:
        ToolflowError: the request cannot be met, or `out` holds something else.
    """
    require_kind("request", request, PruneRequest)
    out = as_path("--out", out)
    request = replace(request, source=request.source.anew())
    request.target()  # a wrong board or engine must not cost the time of a measurement
    if request.is_searched and request.board is None:
        events.note(SAVES_MULTIPLICATIONS)
    with open_build(out, events, "measure", request.files) as folder:
        request.source.load(events)
        run_stages(STAGES, folder, request)
    return load_record(PruneRecord, out / RECORD)
