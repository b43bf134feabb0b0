"""Damage to a file as plain data: drawn to suit its content, applied to it, and stored as JSON."""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import yaml

Path = tuple[str | int, ...]

# values that are invalid for all or for some fields
ABSURD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 255, 4096, 1 << 31, 1 << 63, 10**30, 0.5, -0.0, 1e300, 1e-300, float("nan"), float("inf"),
    "", "x", "é\n'", "0", "../x", [], [0], [[]], {}, {"x": 1}, [1, 2, 3, 4, 5],
)  # fmt: skip
ARRAY_DAMAGE = (
    "gone",
    "float",
    "double",
    "text",
    "nan",
    "huge",
    "flat",
    "empty",
    "short",
    "more",
    "object",
    "negative",
)
ONNX_DAMAGE = (
    "node gone", "input renamed", "output renamed", "operator", "attribute number", "attribute gone", "constant gone",
    "constant short", "constant type", "constant nan", "dims", "opset", "twice", "order", "image shape", "no graph",
)  # fmt: skip


@dataclass(frozen=True)
class Edit:
    """One change of one file.

    Attributes:
        kind: a key of `apply_edit`.
        place: for changes of bytes, the place as a share of the file; otherwise a number in [0, 1) that picks the part
            to change.
        path: the place in a JSON or YAML document.
        value: the new value there; for other kinds, the variant of the change.
    """

    kind: str
    place: float = 0.0
    path: Path = ()
    value: Any = None

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Edit:
        """Read the output of `asdict`."""
        return cls(document["kind"], document["place"], tuple(document["path"]), document["value"])


def draw_edit(rng: random.Random, name: str, content: bytes) -> Edit:
    """Return a change that suits a file with this name and content."""
    suffix = name.rpartition(".")[2]
    if rng.random() < 0.7:
        if suffix in ("json", "yaml", "safetensors"):
            paths = list(_paths(_document(suffix, content)))
            path = rng.choice(paths)
            if rng.random() < 0.2 and path:
                return Edit(f"{suffix} gone", path=path)
            return Edit(f"{suffix} value", path=path, value=rng.choice(ABSURD))
        if suffix == "npz":
            return Edit("array", rng.random(), value=rng.choice(ARRAY_DAMAGE))
        if suffix == "onnx":
            return Edit("onnx", rng.random(), (rng.choice(ABSURD[1:10]),), rng.choice(ONNX_DAMAGE))
    kind = rng.choice(["flip", "flip", "flip", "cut", "cut", "zeros", "noise", "insert", "repeat", "empty"])
    return Edit(kind, rng.random(), value=rng.randrange(1 << 16))


def apply_edit(edit: Edit, content: bytes) -> bytes:
    """Return the changed content."""
    suffix, _, what = edit.kind.partition(" ")
    if suffix in ("json", "yaml", "safetensors"):
        document = _document(suffix, content)
        document = _changed(document, edit.path, edit.value, gone=what == "gone")
        return _written(suffix, document, content)
    if edit.kind == "array":
        return _arrays(edit, content)
    if edit.kind == "onnx":
        return _onnx(edit, content)
    return _bytes(edit, content)


def _bytes(edit: Edit, content: bytes) -> bytes:
    at = min(int(edit.place * len(content)), max(len(content) - 1, 0))
    number = int(edit.value)
    size = number % 64 + 1
    match edit.kind:
        case "flip":
            return content[:at] + bytes([content[at] ^ (1 << number % 8)]) + content[at + 1 :] if content else b"\0"
        case "cut":
            return content[:at]
        case "zeros":
            return content[:at] + bytes(len(content[at : at + size])) + content[at + size :]
        case "noise":
            return content[:at] + random.Random(number).randbytes(size) + content[at + size :]
        case "insert":
            return content[:at] + random.Random(number).randbytes(size) + content[at:]
        case "repeat":
            return content[: at + size] + content[at:]
        case _:
            return b""


def _document(suffix: str, content: bytes) -> Any:
    """Return a file's document, for safetensors the header; an empty one if the file holds no document."""
    try:
        if suffix == "yaml":
            return yaml.safe_load(content)
        if suffix == "safetensors":
            return json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
        return json.loads(content)
    except (ValueError, yaml.YAMLError, struct.error):
        return {}


def _written(suffix: str, document: Any, content: bytes) -> bytes:
    if suffix == "yaml":
        return yaml.safe_dump(document).encode()
    if suffix == "safetensors":
        end = 8 + struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else len(content)
        header = json.dumps(document).encode()
        return struct.pack("<Q", len(header)) + header + content[end:]
    return json.dumps(document).encode()


def _paths(document: Any, path: Path = ()) -> list[Path]:
    """Return the paths of all values in a document; of a long list, only those of its first and last items."""
    found = [path]
    if isinstance(document, dict):
        for key, value in document.items():
            found += _paths(value, (*path, key))
    elif isinstance(document, list):
        for index in dict.fromkeys([*range(min(len(document), 3)), *range(max(len(document) - 1, 0), len(document))]):
            found += _paths(document[index], (*path, index))
    return found


def _changed(document: Any, path: Sequence[str | int], value: Any, *, gone: bool) -> Any:
    """Return a document with a new value at a path, or without that value; unchanged if the path is missing."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(document, dict) and key in document:
        if gone and not rest:
            return {name: each for name, each in document.items() if name != key}
        return {**document, key: _changed(document[key], rest, value, gone=gone)}
    if isinstance(document, list) and isinstance(key, int) and key < len(document):
        kept = [] if gone and not rest else [_changed(document[key], rest, value, gone=gone)]
        return [*document[:key], *kept, *document[key + 1 :]]
    return document


def _arrays(edit: Edit, content: bytes) -> bytes:
    """Return an .npz file in which one array is changed."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = sorted(arrays)[int(edit.place * len(arrays))] if arrays else "x"
    array = arrays.get(name, np.zeros(1))
    match edit.value:
        case "gone":
            arrays.pop(name, None)
        case "float":
            arrays[name] = array.astype(np.float32) if array.dtype.kind in "iufb" else array
        case "double":
            arrays[name] = array.astype(np.float64) * 1e300 if array.dtype.kind in "iufb" else array
        case "text":
            arrays[name] = np.array(["x"] * max(len(array), 1)) if array.ndim else np.array("x")
        case "nan":
            arrays[name] = np.full(array.shape, np.nan, np.float32)
        case "huge":
            arrays[name] = np.full(array.shape, np.iinfo(np.int64).max)
        case "flat":
            arrays[name] = array.reshape(-1)
        case "empty":
            arrays[name] = array[:0] if array.ndim else np.zeros(0)
        case "short":
            arrays[name] = array[:-1] if array.ndim else array
        case "more":
            arrays["extra"] = np.zeros(3)
        case "object":
            arrays[name] = np.array([None, {}], dtype=object)
        case _:
            arrays[name] = -array.astype(np.int64) - 1 if array.dtype.kind in "iufb" else array
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _onnx(edit: Edit, content: bytes) -> bytes:
    """Return an ONNX model in which one part is changed."""
    model = onnx.load_from_string(content)
    graph = model.graph

    def pick(items: Any) -> Any:
        return items[int(edit.place * len(items))]

    number = int(edit.path[0])
    node, constant = pick(graph.node), pick(graph.initializer)
    attributes = [(n, a) for n in graph.node for a in n.attribute]
    match edit.value:
        case "node gone":
            graph.node.remove(node)
        case "input renamed":
            node.input[0] = "nowhere"
        case "output renamed":
            node.output[0] = pick(graph.node).output[0] if number % 2 else "elsewhere"
        case "operator":
            node.op_type = ("Gelu", "Relu", "Conv", "If", "Gemm", "")[number % 6]
        case "attribute number":
            _, attribute = pick(attributes)
            attribute.i = min(number, (1 << 63) - 1)
            if attribute.ints:
                attribute.ints[0] = min(number, (1 << 63) - 1)
        case "attribute gone":
            owner, attribute = pick(attributes)
            owner.attribute.remove(attribute)
        case "constant gone":
            graph.initializer.remove(constant)
        case "constant short":
            constant.raw_data = constant.raw_data[:-3]
        case "constant type":
            constant.data_type = number % 30
        case "constant nan":
            constant.raw_data = b"\xff" * len(constant.raw_data)
        case "dims":
            constant.dims[0] = min(number, 1 << 40)
        case "opset":
            model.opset_import[0].version = min(number, (1 << 63) - 1)
        case "twice":
            graph.node.append(node)
        case "order":
            nodes = list(graph.node)
            del graph.node[:]
            graph.node.extend(reversed(nodes))
        case "image shape":
            graph.input[0].type.tensor_type.shape.dim[1 + number % 3].dim_value = min(number, 1 << 40)
        case _:
            model.ClearField("graph")
    data: bytes = model.SerializeToString()
    return data
