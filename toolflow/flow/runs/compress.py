"""Compress a network from a request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from toolflow.flow.compression import CompressRequest
from toolflow.flow.events import SILENT, Events
from toolflow.flow.folder import open_build
from toolflow.flow.records import CompressionRecord
from toolflow.flow.stages.compress import RECORD, stages
from toolflow.flow.stages.stage import run_stages
from toolflow.flow.values import as_path, require_kind
from toolflow.ir.artefacts import load_record


def compress(request: CompressRequest, out: str | Path, events: Events = SILENT) -> CompressionRecord:
    """Make a network smaller by recipes, and measure it before and after.

    Args:
        request: the network, the recipes and the board.
        out: the output folder: compressed.onnx, compressed.safetensors and recipe.json, and in steps/ the network after
            each recipe. An interrupted run continues after its last judged candidate and its last trained epoch.
        events: receives notes and progress.

    Returns:
        The contents of recipe.json.

    Raises:
        ToolflowError: the request cannot be met, or `out` holds something else.
        DoesNotFitError: no engine for the network fits the board.
    """
    require_kind("request", request, CompressRequest)
    out = as_path("--out", out)
    request = replace(request, source=request.source.anew())
    request.board_to_use()  # a wrong board or recipe must not cost the time of a measurement
    found = stages(request)
    with open_build(out, events, "divide", request.files) as folder:
        request.source.load(events)
        run_stages(found, folder, request)
    return load_record(CompressionRecord, out / RECORD)
