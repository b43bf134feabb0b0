"""Quantised graphs on disk: one `.npz` of integers and one `.json` of everything else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from enum import Enum
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from toolflow.ir.errors import ToolflowError
from toolflow.ir.operator import Operator
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType, verify_quantised
from toolflow.numerics.requantise import Requantise
from toolflow.numerics.types import IntegerType

SCHEMA_VERSION = 1
_RULE_ARRAYS = ("bias", "multiplier", "shift", "residual_multiplier", "residual_shift")


def save_quantised(graph: QuantisedGraph, stem: Path, source: str = "") -> tuple[Path, Path]:
    """Write `stem`.json and `stem`.npz and return both paths.

    Args:
        graph: what to save.
        stem: path without an ending.
        source: hash of what the graph came from.
    """
    arrays: dict[str, np.ndarray] = {"input_table": graph.input_table}
    nodes = []
    for index, node in enumerate(graph.nodes):
        for name, values in node.weights.items():
            arrays[f"{index}.{name}"] = np.asarray(values)
        rule = node.requantise
        if rule is not None:
            for name in _RULE_ARRAYS:
                if getattr(rule, name) is not None:
                    arrays[f"{index}.rule.{name}"] = getattr(rule, name)
        nodes.append(
            {
                "name": node.name,
                "kind": node.op.kind,
                "attributes": {f.name: _plain(getattr(node.op, f.name)) for f in fields(node.op)},  # type: ignore[arg-type]
                "inputs": node.inputs,
                "weights": sorted(node.weights),
                "weight_bits": node.weight_bits,
                "clip": None if rule is None else [rule.lower, rule.upper],
            }
        )
    document = {
        "schema_version": SCHEMA_VERSION,
        "source": source,
        "name": graph.name,
        "variant": graph.variant,
        "family": graph.family,
        "input_name": graph.input_name,
        "input_shape": graph.input_shape,
        "output": graph.output,
        "types": {name: {**asdict(kind.integer), "scale": kind.scale} for name, kind in graph.types.items()},
        "nodes": nodes,
    }
    text, data = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.npz")
    text.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    np.savez_compressed(data, **arrays)  # type: ignore[arg-type]  # numpy's stub takes a flag among the arrays
    return text, data


def load_quantised(stem: Path, operators: Mapping[str, type[Operator]]) -> QuantisedGraph:
    """Read a graph that `save_quantised` wrote.

    Args:
        stem: path without an ending.
        operators: specification of every operator by its kind (`toolflow.operators.BY_KIND`).

    Raises:
        ToolflowError: a file is missing or damaged, or of another schema version.
    """
    text, data = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.npz")
    try:
        document = json.loads(text.read_text(encoding="utf-8"))
        with np.load(data, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if document["schema_version"] != SCHEMA_VERSION:
            raise ToolflowError(
                f"{text} must be of schema version {SCHEMA_VERSION}, not {document['schema_version']}: build it again"
            )
        graph = QuantisedGraph(
            name=document["name"],
            variant=document["variant"],
            family=document["family"],
            input_name=document["input_name"],
            input_shape=tuple(document["input_shape"]),
            input_table=arrays["input_table"],
            nodes=tuple(_node(index, item, arrays, operators) for index, item in enumerate(document["nodes"])),
            output=document["output"],
            types={
                name: TensorType(IntegerType(kind["bits"], kind["signed"]), kind["scale"])
                for name, kind in document["types"].items()
            },
        )
        verify_quantised(graph)
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise ToolflowError(
            f"{text} and {data.name} must hold a quantised graph, but cannot be read ({error}): build it again"
        ) from error
    return graph


def digest(graph: QuantisedGraph) -> str:
    """Return the SHA-256 of a graph's integers: weights, requantisation and input table."""
    sha = hashlib.sha256(np.ascontiguousarray(graph.input_table).tobytes())
    for node in graph.nodes:
        sha.update(f"{node.name}{node.op}{node.inputs}".encode())
        for name in sorted(node.weights):
            sha.update(np.ascontiguousarray(node.weights[name]).tobytes())
        if node.requantise is not None:
            rule = node.requantise
            sha.update(f"{rule.lower},{rule.upper}".encode())
            for name in _RULE_ARRAYS:
                if getattr(rule, name) is not None:
                    sha.update(np.ascontiguousarray(getattr(rule, name)).tobytes())
    return sha.hexdigest()


def _node(
    index: int, item: Mapping[str, Any], arrays: Mapping[str, np.ndarray], operators: Mapping[str, type[Operator]]
) -> QuantisedNode:
    operator = operators[item["kind"]]
    attributes = {key: _attribute(getattr(operator, key, None), value) for key, value in item["attributes"].items()}
    rule = None
    if item["clip"] is not None:
        columns = {name: arrays.get(f"{index}.rule.{name}") for name in _RULE_ARRAYS}
        rule = Requantise(**columns, lower=item["clip"][0], upper=item["clip"][1])  # type: ignore[arg-type]
    return QuantisedNode(
        name=item["name"],
        op=operator(**attributes),
        inputs=tuple(item["inputs"]),
        weights={name: arrays[f"{index}.{name}"] for name in item["weights"]},
        requantise=rule,
        weight_bits=item["weight_bits"],
    )


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _attribute(default: Any, value: Any) -> Any:
    """Undo JSON: a list was a tuple, and a text stands for a member of the default's enumeration."""
    if isinstance(default, Enum):
        return type(default)(value)
    return tuple(value) if isinstance(value, list) else value
