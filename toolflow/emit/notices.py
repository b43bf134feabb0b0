"""The licence of what is emitted, and the notices of what it needs of others."""

from __future__ import annotations

from pathlib import Path

from toolflow.emit.render import resource, write_if_changed

NOTICES: tuple[str, ...] = ("LICENSE", "THIRD_PARTY_NOTICES.md")


def emit_notices(folder: Path) -> None:
    """Write the files of `NOTICES` into a project's folder.

    Raises:
        ToolflowError: a file cannot be written.
    """
    for name in NOTICES:
        write_if_changed(folder / name, resource("hls_templates", "project", name).read_text(encoding="utf-8"))
