"""Records: one load and one save, versions that are read, migrated or refused, and damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import ValidationError

from toolflow.ir.artefacts import Part, PatternText, Record, load_record, save_record
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.srbs import Pattern


class Note(Record):
    """A record of version 3: version 1 had no author, version 2 is like it."""

    remedy: ClassVar[str] = "write it again"
    schema_version: Literal[3] = 3
    text: str
    author: str
    figures: tuple[float, ...] = ()

    @classmethod
    def migrated(cls, document: dict[str, Any], version: int) -> dict[str, Any]:
        return {"author": "nobody", **document} if version == 1 else document


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    note = Note(text="a", author="b", figures=(1.5, float("inf")))
    save_record(note, path)
    assert load_record(Note, path) == note
    assert json.loads(path.read_text(encoding="utf-8"))["schema_version"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["note.json"]


def test_an_earlier_version_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text('{"schema_version": 1, "text": "a"}', encoding="utf-8")
    assert load_record(Note, path) == Note(text="a", author="nobody")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema_version": 4}', "note.json must be of schema version 3, not 4: write it again, or use the toolflow"),
        (
            '{"schema_version": 2, "text": "a"}',
            "note.json must be of schema version 3, not 2 (it has no 'author'): write it again, or use the toolflow",
        ),
        ('{"text": "a"}', "must be of schema version 3, not 0 (it has no 'author'): write it again"),
        ('{"schema_version": 3, "text": "a"}', "note.json is damaged (it has no 'author'): write it again"),
        ('{"schema_version": 3, "text": 1, "author": ""}', "is damaged (Input should be a valid string, at 'text')"),
        (
            '{"schema_version": 3, "text": "", "author": "", "figures": [1, "x"]}',
            "is damaged (Input should be a valid number, unable to parse string as a number, at 'figures.1')",
        ),
        ('{"schema_version": true, "text": "a"}', "is damaged, it holds no object with a schema version"),
        ('{"schema_version": -1}', "is damaged, it holds no object with a schema version"),
        ("[]", "is damaged, it holds no object with a schema version"),
        ("{", "is damaged, it holds no JSON (Expecting property name"),
        ("[" * 100_000, "is damaged, it holds no JSON (maximum recursion depth"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ToolflowError) as caught:
        load_record(Note, path)
    assert message in str(caught.value)
    assert "Field required" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    with pytest.raises(ToolflowError, match=r"note\.json cannot be read .*: write it again"):
        load_record(Note, path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ToolflowError, match=r"note\.json cannot be read .*: write it again"):
        load_record(Note, path)


class Layer(Part):
    pattern: PatternText | None


def test_a_pattern_is_a_text_in_json() -> None:
    for layer, text in ((Layer(pattern=Pattern(2, 4)), '{"pattern":"2:4"}'), (Layer(pattern=None), '{"pattern":null}')):
        assert layer.model_dump_json() == text
        assert Layer.model_validate_json(text) == layer


@pytest.mark.parametrize(
    ("text", "message"), [('"5:4"', "must be 1 to S = 4, not 5"), ("[2, 4]", "must be n:S"), ("2", "must be n:S")]
)
def test_what_is_no_pattern_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Layer.model_validate_json(f'{{"pattern": {text}}}')
