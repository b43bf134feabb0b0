"""The description of `summary.json`, made from the docstrings of its sections (docs/summary.md)."""

from __future__ import annotations

import inspect
import itertools
import operator
import types
import typing
from enum import Enum

from pydantic import BaseModel

from toolflow.ir.artefacts import PatternText
from toolflow.report.summary import Summary

HEAD = f"""# summary.json

Every figure of a build, schema version {Summary.current()}: `toolflow build` writes it, `toolflow verify` completes it.
Made by `python -m toolflow.report.schema_text`; change the docstrings, not this page.

Shares are 0 to 1. A loss is a share too: 0.005 is half a point. Intervals are [lower, upper].
"""


def schema_text() -> str:
    """Return the page: one table for each section, in the order in which they are first met.

    Raises:
        ValueError: a field is not described by its section's docstring.
    """
    return "\n".join([HEAD, *(_section(model) for model in _sections(Summary))])


def described_fields(model: type[BaseModel]) -> dict[str, str]:
    """Return what the "Attributes:" of a section's docstring say, by field; one entry may describe several."""
    _, _, attributes = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in attributes.splitlines():
        if line.startswith("    ") and not line.startswith("     ") and ":" in line:
            before, _, text = line.partition(":")
            names = [name.strip() for name in before.split(",")]
            found.update(dict.fromkeys(names, text.strip()))
        elif line.startswith("     "):
            found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return found


def _sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    found = [model]
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            found += [section for section in _sections(inner) if section not in found]
    return found


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _section(model: type[BaseModel]) -> str:
    texts = described_fields(model)
    missing = [name for name in model.model_fields if name not in texts]
    if missing:
        raise ValueError(f"{model.__name__} must describe its fields {missing}")
    first = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    described = ((name, (_type(field.annotation), texts[name])) for name, field in model.model_fields.items())
    rows = [
        f"| {', '.join(f'`{name}`' for name, _ in same)} | {kind} | {text} |"
        for (kind, text), same in itertools.groupby(described, key=operator.itemgetter(1))
    ]
    return "\n".join([f"## {model.__name__}", "", first, "", "| key | type | |", "|---|---|---|", *rows, ""])


def _type(annotation: object) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is typing.Literal:
        return " or ".join(repr(part).replace("'", '"') for part in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(part) for part in parts)
    if origin is tuple:
        if parts[-1] is Ellipsis:
            return f"list of {_type(parts[0])}"
        return f"[{', '.join(_type(part) for part in parts)}]"
    if origin is dict:
        return f"object of {_type(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f'"{member.value}"' for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return {str: "text", PatternText: "text", int: "whole number", float: "number", bool: "true or false"}[
        typing.cast(type, annotation)
    ]


if __name__ == "__main__":
    print(schema_text(), end="")
