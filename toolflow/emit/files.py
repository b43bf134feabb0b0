"""Writing of emitted files: strict templates, and no rewrite of what has not changed."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2

TEMPLATES_FOLDER = Path(__file__).resolve().parents[2] / "hls_templates"


@functools.cache
def _environment(folder: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(template: str, context: dict[str, object], folder: Path = TEMPLATES_FOLDER) -> str:
    """Return the text of a template, named relative to `folder`.

    Raises:
        jinja2.UndefinedError: the template uses a name that `context` lacks.
    """
    return _environment(folder).get_template(template).render(context)


def write_text(path: Path, text: str, executable: bool = False) -> bool:
    """Write a file and its folder; return whether its text changed (a file that has it is left untouched)."""
    changed = not path.is_file() or path.read_text(encoding="utf-8") != text
    if changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if executable:
        path.chmod(0o755)
    return changed
