"""The manifest of a build folder: which stage made which file, and from which inputs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from toolflow import __version__
from toolflow.ir.artefacts import Part, Record, load_record, save_record
from toolflow.ir.errors import ToolflowError

MANIFEST = "toolflow.json"
_SOURCE_PACKAGES = ("toolflow", "quant", "rtl_sim", "hls_templates", "boards")
_BYPRODUCTS = {"__pycache__", ".ruff_cache"}  # left by Python and its tools, worth nothing to anyone


class Stage(Part):
    """One finished stage.

    Attributes:
        inputs: hash of everything that the stage came from.
        files: SHA-256 of every file that it made, under its path inside the folder.
        seconds: how long it took when it ran.
    """

    inputs: str
    files: dict[str, str]
    seconds: float

    @property
    def digest(self) -> str:
        """Hash of what the stage made, for the stages that read it."""
        return _hash_text(json.dumps(self.files, sort_keys=True))


class Manifest(Record):
    """The stages that have finished in a folder, in order."""

    remedy: ClassVar[str] = "restore it, or build into another --out"
    schema_version: Literal[1] = 1
    made_by: str = f"cascade-toolflow {__version__}"
    stages: dict[str, Stage] = Field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Save the manifest."""
        save_record(self, folder / MANIFEST)

    def intact(self, name: str, folder: Path) -> bool:
        """Return whether every file of a stage is still what the stage made."""
        return all(file_digest(folder / path) == digest for path, digest in self.stages[name].files.items())

    def strangers(self, folder: Path) -> list[str]:
        """Return the files that no stage made, or that were changed since, by path inside the folder."""
        made = {path: digest for stage in self.stages.values() for path, digest in stage.files.items()}
        return [
            path
            for path in files_below(folder)
            if path not in (MANIFEST, f"{MANIFEST}.new") and file_digest(folder / path) != made.get(path)
        ]


def read_manifest(folder: Path) -> Manifest | None:
    """Return a folder's manifest, or None if the folder holds none that this version reads."""
    try:
        return load_record(Manifest, folder / MANIFEST)
    except ToolflowError:
        return None


def files_below(folder: Path) -> list[str]:
    """Return every file under a folder as a sorted relative path, without the by-products of Python."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _BYPRODUCTS]
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in (*names, *links)]
    return sorted(found)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or "" if there is no regular file."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or that of the names and contents of a folder's files."""
    return _hash_text(json.dumps(_content(path))) if path.is_dir() else file_digest(path)


def fingerprint(inputs: Mapping[str, Any], earlier: Iterable[str] = ()) -> str:
    """Return the hash of everything that a stage comes from.

    Args:
        inputs: values that JSON can hold, and paths, which count by their content.
        earlier: digests of the stages that it reads.

    The toolflow's own sources are part of it: a newer toolflow reuses nothing.
    """
    values = {key: _content(value) for key, value in inputs.items()}
    return _hash_text(json.dumps([values, list(earlier), source_digest()], sort_keys=True))


def _content(value: Any) -> Any:
    if not isinstance(value, Path):
        return value
    if value.is_dir():
        return {path: file_digest(value / path) for path in files_below(value)}
    return {value.name: file_digest(value)}


@lru_cache(maxsize=1)
def source_digest() -> str:
    """Return the hash of this toolflow's sources."""
    root = Path(__file__).resolve().parents[2]
    return _hash_text(json.dumps([_content(root / package) for package in _SOURCE_PACKAGES]))


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
