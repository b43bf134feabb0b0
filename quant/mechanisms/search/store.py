"""Results of judged candidates on disk, a line each: what was judged before an interruption is not judged again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Store:
    """Results by key.

    Args:
        path: the file, or None to keep them in memory only. Lines that are damaged, as where a run was cut short, do
            not count: their results can be found again.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, Any] = {}
        if path is None or not path.is_file():
            return
        lines = path.read_bytes().split(b"\n")
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, list) and len(entry) == 2:
                self._known[str(entry[0])] = entry[1]
        if lines[-1]:  # cut short: the next line must not continue it
            with path.open("ab") as file:
                file.write(b"\n")

    def get(self, key: str) -> Any:
        """Return a result, None if there is none."""
        return self._known.get(key)

    def put(self, key: str, value: Any) -> None:
        """Keep a result, a value that JSON can hold."""
        self._known[key] = value
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, value]) + "\n")
