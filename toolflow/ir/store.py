"""Quantised graphs on disk: one `.npz` of integers and one `.json` of everything else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveInt, TypeAdapter, ValidationError

from toolflow.ir.arrays import read_arrays
from toolflow.ir.artefacts import Record, load_record, save_record
from toolflow.ir.errors import UNREADABLE, ToolflowError
from toolflow.ir.operator import Operator
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType, verify_quantised
from toolflow.numerics.requantise import Requantise
from toolflow.numerics.srbs import Pattern
from toolflow.numerics.types import IntegerType

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)
_RULE_ARRAYS = ("bias", "multiplier", "shift", "residual_multiplier", "residual_shift")


class _StoredType(BaseModel):
    model_config = _STRICT

    bits: int
    signed: bool
    scale: float


class _StoredNode(BaseModel):
    model_config = _STRICT

    name: str
    kind: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    weight_bits: int
    clip: tuple[int, int] | None


class StoredGraph(Record):
    """The JSON file of a quantised graph; its arrays are in the `.npz` beside it.

    Attributes:
        schema_version: 1.
        source: hash of what the graph came from.
        name, variant, family, input_name, input_shape, output: as in `QuantisedGraph`.
        types: type of every tensor by name.
        nodes: nodes in topological order.
    """

    model_config = _STRICT

    schema_version: Literal[1] = 1
    source: str
    name: str
    variant: str
    family: Literal["fixed-point", "multiplier"]
    input_name: str
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    output: str
    types: dict[str, _StoredType]
    nodes: tuple[_StoredNode, ...]


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
            _StoredNode(
                name=node.name,
                kind=node.op.kind,
                attributes={f.name: _plain(getattr(node.op, f.name)) for f in fields(node.op)},  # type: ignore[arg-type]
                inputs=node.inputs,
                weights=tuple(sorted(node.weights)),
                weight_bits=node.weight_bits,
                clip=None if rule is None else (rule.lower, rule.upper),
            )
        )
    document = StoredGraph(
        source=source,
        name=graph.name,
        variant=graph.variant,
        family=graph.family,  # type: ignore[arg-type]  # checked by the model
        input_name=graph.input_name,
        input_shape=graph.input_shape,  # type: ignore[arg-type]  # checked by the model
        output=graph.output,
        types={name: _StoredType(**asdict(kind.integer), scale=kind.scale) for name, kind in graph.types.items()},
        nodes=tuple(nodes),
    )
    text, data = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.npz")
    save_record(document, text)
    np.savez_compressed(data, **arrays)  # type: ignore[arg-type]  # numpy's stub takes a flag among the arrays
    return text, data


def load_quantised(stem: Path, operators: Mapping[str, type[Operator]]) -> QuantisedGraph:
    """Read a graph that `save_quantised` wrote, and check it as strictly as one that was just made.

    Args:
        stem: path without an ending.
        operators: specification of every operator by its kind (`toolflow.operators.folders.by_kind`).

    Raises:
        ToolflowError: a file is missing or damaged, or of another schema version.
    """
    text, data = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.npz")
    stored, arrays = load_record(StoredGraph, text), read_arrays(data)
    try:
        graph = QuantisedGraph(
            name=stored.name,
            variant=stored.variant,
            family=stored.family,
            input_name=stored.input_name,
            input_shape=stored.input_shape,
            input_table=_taken(arrays, "input_table"),
            nodes=tuple(_node(index, item, arrays, operators) for index, item in enumerate(stored.nodes)),
            output=stored.output,
            types={
                name: TensorType(IntegerType(kind.bits, kind.signed), kind.scale) for name, kind in stored.types.items()
            },
        )
        verify_quantised(graph)
        if arrays:
            raise ValueError(f"no node has the array '{min(arrays)}'")
    except (*UNREADABLE, ToolflowError) as error:
        said = str(error) or type(error).__name__
        raise ToolflowError(
            f"{text} and {data.name} must hold a quantised graph, but cannot be read ({said}): build again"
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
    index: int, item: _StoredNode, arrays: dict[str, np.ndarray], operators: Mapping[str, type[Operator]]
) -> QuantisedNode:
    """Return a stored node; its arrays are taken out of `arrays`."""
    if item.kind not in operators:
        raise ValueError(f"the operator of '{item.name}' must be one of {', '.join(operators)}, not '{item.kind}'")
    operator = operators[item.kind]
    names = {field.name for field in fields(operator)}  # type: ignore[arg-type]  # every specification is a dataclass
    if set(item.attributes) != names:
        raise ValueError(
            f"{item.kind} '{item.name}' must have the attributes {sorted(names)}, not {sorted(item.attributes)}"
        )
    try:
        op = TypeAdapter(operator).validate_json(json.dumps(item.attributes), strict=True)
        rule = None
        if item.clip is not None:
            columns: dict[str, Any] = {name: arrays.pop(f"{index}.rule.{name}", None) for name in _RULE_ARRAYS}
            missing = [name for name in _RULE_ARRAYS[:3] if columns[name] is None]
            if missing:
                raise ValueError(f"its {missing[0]} is missing")
            rule = Requantise(**columns, lower=item.clip[0], upper=item.clip[1])
        weights = {name: _taken(arrays, f"{index}.{name}") for name in item.weights}
    except UNREADABLE as error:
        said = _first(error) if isinstance(error, ValidationError) else str(error)
        raise ValueError(f"{item.kind} '{item.name}': {said}") from error
    return QuantisedNode(item.name, op, item.inputs, weights, rule, item.weight_bits)


def _taken(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"the array '{name}' is missing")
    return arrays.pop(name)


def _first(error: ValidationError) -> str:
    """Return the first problem of a document with its place."""
    problem = error.errors()[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def _plain(value: Any) -> Any:
    if isinstance(value, Pattern):
        return value.numbers
    return value.value if isinstance(value, Enum) else value
