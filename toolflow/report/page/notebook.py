"""How an object shows itself in a Jupyter notebook."""

from __future__ import annotations

from collections.abc import Iterable

from toolflow.emit.render import environment
from toolflow.report.table import Table

_PACKAGE = "toolflow.report.page"


def object_html(title: str, sentences: Iterable[str], tables: Iterable[Table | str]) -> str:
    """Return an object as HTML.

    Args:
        title: what it is.
        sentences: below the title.
        tables: below the sentences; texts among them are sentences too.
    """
    found = list(tables)
    return (
        environment(_PACKAGE, autoescape=True)
        .get_template("object.html.j2")
        .render(
            title=title,
            sentences=[*sentences, *(each for each in found if isinstance(each, str))],
            tables=[each for each in found if isinstance(each, Table)],
        )
    )
