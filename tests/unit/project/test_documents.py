"""The documents agree with the project: links, commands and options exist, and tables equal the recorded results."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from benchmarks import results
from toolflow.cli.main import app

REPOSITORY = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MOST_LINES = {"README.md": 120, "docs/results.md": 150}


def broken_links(document: Path, text: str) -> list[str]:
    """Return the relative links of a document that lead nowhere, with the headings that they name."""
    found = []
    for link in LINK.findall(text):
        path, _, heading = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if "://" in link or link.startswith("mailto:"):
            continue
        if not target.exists() or (heading and heading not in headings(target.read_text(encoding="utf-8"))):
            found.append(link)
    return found


def headings(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub writes them."""
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every `toolflow` command in the fenced blocks of a document."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("toolflow "):
                yield shlex.split(line, comments=True)[1:]


def unknown_words(words: list[str]) -> list[str]:
    """Return the command or the options of one command line that the application does not have."""
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group has commands
    if words[0] not in known:
        return [words[0]] if words[0].isalpha() else []
    options = {name for parameter in known[words[0]].params for name in parameter.opts}
    return [word for word in words[1:] if word.startswith("--") and word not in options]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_and_commands_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert broken_links(document, text) == []
    assert [word for words in commands(text) for word in unknown_words(words)] == []


def test_a_broken_link_and_an_unknown_option_are_found() -> None:
    text = (
        "[a](no.md) [b](README.md#no-heading) [c](README.md#start)\n"
        "```\ntoolflow build m \\\n    --borad x --out y\ntoolflow bulid m\n```\n"
    )
    assert broken_links(REPOSITORY / "text.md", text) == ["no.md", "README.md#no-heading"]
    assert [unknown_words(words) for words in commands(text)] == [["--borad"], ["bulid"]]


@pytest.mark.parametrize(("name", "most"), MOST_LINES.items())
def test_the_first_pages_stay_short(name: str, most: int) -> None:
    assert len((REPOSITORY / name).read_text(encoding="utf-8").splitlines()) <= most


def unnamed_folders(text: str) -> list[str]:
    """Return the packages that the text does not name."""
    packages = [f"toolflow/{path.parent.name}" for path in (REPOSITORY / "toolflow").glob("*/__init__.py")]
    packages += [path.parent.name for path in (REPOSITORY / "quant").glob("*/__init__.py")]
    return sorted(name for name in packages if f"`{name}`" not in text)


def test_architecture_names_every_folder() -> None:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert unnamed_folders(text) == []
    assert unnamed_folders(text.replace("`toolflow/plan`", "").replace("`search`", "")) == ["search", "toolflow/plan"]


def test_the_tables_are_rendered_from_the_record() -> None:
    entries = results.read()
    assert results.PAGE.read_text(encoding="utf-8") == results.render(entries)
    readme = results.README.read_text(encoding="utf-8")
    assert readme == results.render_readme(entries, readme)


def test_a_figure_is_recorded_once_and_a_missed_one_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "results.json"
    results.write([], record)
    monkeypatch.setattr(results, "RECORD", record)
    monkeypatch.setattr("sys.argv", ["benchmarks/some.py", "/data/images", "--record"])
    results.record("accuracy lost", 0.4, "points", at_most=0.5)
    results.record("accuracy lost", 0.6, "points", at_most=0.5)
    results.record("speed-up", 2.5, "×", at_least=2)
    results.record_row("faults", "digits: rtl", {"red": 89})
    text = results.render(results.read(record))
    assert "| accuracy lost | ≤ 0.5 points | 0.6 points **missed** | [1] |" in text
    assert "| speed-up | ≥ 2 × | 2.5 × | [1] |" in text
    assert "| digits: rtl | 89 |" in text
    assert "`python benchmarks/some.py images --record`" in text


def test_a_row_of_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="table must be one of"):
        results.record_row("no such table", "row", {"value": 1})
