"""The notebook of a search: its measurements on disk, from which an interrupted search continues."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from quant.config import QuantiseConfig
from quant.mechanisms.search.store import Store
from quant.search.problem import Problem
from quant.search.sensitivity import Sensitivities

_SENSITIVITIES = TypeAdapter(Sensitivities)


class Notebook:
    """The measurements and judgements of searches, each under a hash of its inputs.

    Args:
        path: the file, or None to keep nothing. Each version of this package has its own file. What cannot be read does
            not count: everything in it can be measured again.
        problem: the problem of the search. A judgement depends neither on the allowed loss nor on the target.
    """

    def __init__(self, path: Path | None, problem: Problem) -> None:
        self._store = Store(path)
        self._origin = _origin(problem)

    def measurement(self) -> Sensitivities | None:
        """Return the stored measurement, or None."""
        try:
            return _SENSITIVITIES.validate_python(self._store.get(f"{self._origin} measured"))
        except ValidationError:
            return None

    def keep_measurement(self, found: Sensitivities) -> None:
        """Store a measurement."""
        self._store.put(f"{self._origin} measured", _SENSITIVITIES.dump_python(found, mode="json"))

    def accuracy(self, config: QuantiseConfig) -> float | None:
        """Return the accuracy of a configuration's network, or None if it was not judged."""
        known = self._store.get(self._judged(config))
        return known if isinstance(known, float) else None

    def keep_accuracy(self, config: QuantiseConfig, accuracy: float) -> None:
        """Store the accuracy of a configuration's network."""
        self._store.put(self._judged(config), accuracy)

    def _judged(self, config: QuantiseConfig) -> str:
        return f"{self._origin} judged {config.model_dump_json()}"


def _origin(problem: Problem) -> str:
    """Return the SHA-256 of all inputs of a measurement or a judgement."""
    settings = {"config": problem.config.model_dump(mode="json"), "space": asdict(problem.space)}
    settings |= problem.normalisation.model_dump()
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    graph = problem.graph
    arrays: list[npt.NDArray[Any]] = [problem.images, problem.judged.images, problem.judged.classes]
    digest.update(repr((graph.input_name, graph.output, sorted(graph.shapes.items()))).encode())
    for node in graph.nodes:
        digest.update(repr((node.name, node.op, node.inputs, sorted(node.weights))).encode())
        arrays += [node.weights[name] for name in sorted(node.weights)]
    for array in arrays:
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
