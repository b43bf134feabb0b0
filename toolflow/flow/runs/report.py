"""Write a project's page again, from the figures in its summary."""

from __future__ import annotations

import time
from pathlib import Path

from toolflow.flow.events import SILENT, Events
from toolflow.flow.folder import record_outputs
from toolflow.flow.page import write_project_page
from toolflow.flow.project import SUMMARY, open_project
from toolflow.flow.values import as_path
from toolflow.report.page.page import PAGE
from toolflow.report.summary import read_summary


def report(folder: str | Path, events: Events = SILENT) -> Path:
    """Write `report.html`, one page without links to the network, and return its path.

    `build` and `verify` write it too.

    Args:
        folder: a folder that `build` made.
        events: receives progress.

    Raises:
        ToolflowError: the folder is no complete build, a file of it is damaged, or the page cannot be written.
    """
    folder = as_path("folder", folder)
    started = time.monotonic()
    with events.progress("write the report"):
        project = open_project(folder)
        write_project_page(project, read_summary(folder / SUMMARY))
        record_outputs(folder, "page", [PAGE], {"summary": folder / SUMMARY}, time.monotonic() - started)
    return folder / PAGE
