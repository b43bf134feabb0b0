"""What a search found out so far, on disk: one that is cut short goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from quant.config import QuantiseConfig
from quant.search.sensitivity import Sensitivities
from toolflow.ir.graph import Graph

_SENSITIVITIES = TypeAdapter(Sensitivities)


class Notebook:
    """The measurement and the judgements of searches, each under what it comes from.

    Args:
        path: the file, None to keep nothing; another one for another version of this package. One that cannot be read
            counts as empty: nothing in it is irreplaceable.
        graph: the float network.
        arrays: images and classes, in the order in which the search takes them.
        settings: everything else that a result depends on, as JSON can hold it.
    """

    def __init__(
        self, path: Path | None, graph: Graph, arrays: Sequence[npt.NDArray[Any]], settings: Mapping[str, Any]
    ) -> None:
        self._path = path
        self._entries: dict[str, Any] = _read(path)
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(repr((graph.input_name, graph.output, sorted(graph.shapes.items()))).encode())
        for node in graph.nodes:
            digest.update(repr((node.name, node.op, node.inputs, sorted(node.weights))).encode())
            arrays = [*arrays, *(node.weights[name] for name in sorted(node.weights))]
        for array in arrays:
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        self._origin = digest.hexdigest()

    def measured(self, measure: Callable[[], Sensitivities]) -> Sensitivities:
        """Return what was measured, or measure it."""
        key = f"{self._origin} measured"
        try:
            return _SENSITIVITIES.validate_python(self._entries[key])
        except (KeyError, ValidationError):
            found = measure()
            self._keep(key, _SENSITIVITIES.dump_python(found, mode="json"))
            return found

    def judged(self, config: QuantiseConfig, judge: Callable[[], float]) -> float:
        """Return the accuracy of a configuration's network, or judge it."""
        key = f"{self._origin} judged {config.model_dump_json()}"
        if not isinstance(self._entries.get(key), float):
            self._keep(key, judge())
        return float(self._entries[key])

    def _keep(self, key: str, value: Any) -> None:
        self._entries[key] = value
        if self._path is not None:
            partial = self._path.with_name(f"{self._path.name}.partial")
            partial.write_text(json.dumps(self._entries), encoding="utf-8")
            partial.replace(self._path)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
