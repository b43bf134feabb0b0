"""Records: the JSON files that one stage leaves for another. Each has a type, a schema version, a load and a save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, ValidationError

from toolflow.ir.errors import ToolflowError
from toolflow.numerics.srbs import Pattern, parse_pattern


def _as_pattern(value: object) -> Pattern:
    return value if isinstance(value, Pattern) else parse_pattern(str(value))


PatternText = Annotated[
    Pattern,
    PlainValidator(_as_pattern, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
]
"""A pattern that is the text "n:S" or "n:SxG" in JSON."""


class Part(BaseModel):
    """A part of a record: frozen, without keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Record(Part):
    """What a JSON file holds.

    A subclass gives `schema_version` its number as the default. Whoever adds, removes or redefines a field raises the
    number, and lets `migrated` bring files of earlier versions to the new one, where that can be done.

    Attributes:
        remedy: what a user can do about a file that cannot be read.
        schema_version: of the fields; 0 stands for files from before they had a number.
    """

    remedy: ClassVar[str] = "build again"
    schema_version: int

    @classmethod
    def current(cls) -> int:
        """Return the version that this toolflow writes and reads."""
        return int(cls.model_fields["schema_version"].default)

    @classmethod
    def migrated(cls, document: dict[str, Any], version: int) -> dict[str, Any]:
        """Return the document of an earlier version with the fields of this one, as far as they can be known."""
        return document

    @classmethod
    def parse(cls, text: str, where: object) -> Self:
        """Return the record that a JSON text holds.

        Args:
            text: of this or an earlier schema version.
            where: the file's name, for errors.

        Raises:
            ToolflowError: the text is damaged, of a newer version, or of one that cannot be migrated.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ToolflowError(f"{where} is damaged, it holds no JSON ({error}): {cls.remedy}") from error
        version = document.get("schema_version", 0) if isinstance(document, dict) else None
        if type(version) is not int or version < 0:
            raise ToolflowError(f"{where} is damaged, it holds no object with a schema version: {cls.remedy}")
        if version > cls.current():
            raise ToolflowError(_of_another_version(cls, where, version, ""))
        if version < cls.current():
            document = cls.migrated(document, version) | {"schema_version": cls.current()}
        try:
            return cls.model_validate_json(json.dumps(document))
        except ValidationError as error:
            problem = _first_problem(error)
            if version < cls.current():
                raise ToolflowError(_of_another_version(cls, where, version, f" ({problem})")) from error
            raise ToolflowError(f"{where} is damaged ({problem}): {cls.remedy}") from error


AnyRecord = TypeVar("AnyRecord", bound=Record)


def load_record(kind: type[AnyRecord], path: Path) -> AnyRecord:
    """Read a record of this or an earlier schema version.

    Raises:
        ToolflowError: the file is missing or damaged, of a newer version, or of one that cannot be migrated.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ToolflowError(f"{path} cannot be read ({error}): {kind.remedy}") from error
    return kind.parse(text, path)


def save_record(record: Record, path: Path) -> None:
    """Write a record as indented JSON; a reader sees the old file or the new one, never a part."""
    unfinished = path.with_name(f"{path.name}.new")
    try:
        unfinished.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _of_another_version(kind: type[Record], where: object, version: int, why: str) -> str:
    return (
        f"{where} must be of schema version {kind.current()}, not {version}{why}: {kind.remedy}, or use the toolflow "
        "that wrote it"
    )


def _first_problem(error: ValidationError) -> str:
    """Return the first problem of a document and where it is."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"it has no '{place}'"
    return f"{first['msg']}, at '{place}'" if place else first["msg"]
