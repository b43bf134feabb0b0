"""Quantised graphs are equal after saving and loading, and damage is reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conformance.cases import ALL_CASES
from toolflow.interpreter.run import run
from toolflow.ir.errors import ToolflowError
from toolflow.ir.store import digest, load_quantised, save_quantised
from toolflow.operators.folders import by_kind


@pytest.mark.parametrize("name", ALL_CASES)
def test_round_trip(name: str, tmp_path: Path) -> None:
    """The graph that comes back has the same integers and gives the same results."""
    builder, output = ALL_CASES[name].build(8, 8, 2, False)
    graph = builder.build(output)
    save_quantised(graph, tmp_path / "high", source="abc")
    back = load_quantised(tmp_path / "high", by_kind())
    assert digest(back) == digest(graph)
    assert back.types == graph.types
    assert [node.op for node in back.nodes] == [node.op for node in graph.nodes]
    images = builder.images(2)
    np.testing.assert_array_equal(run(back, images)[output], run(graph, images)[output])


def test_digest_sees_one_weight(tmp_path: Path) -> None:
    """Another integer is another digest."""
    builder, output = ALL_CASES["linear/(2,1,1)->()->3"].build(8, 8, 2, False)
    graph = builder.build(output)
    before = digest(graph)
    graph.nodes[-1].weights["weight"][0, 0] += 1
    assert digest(graph) != before


@pytest.mark.parametrize("damage", ["missing", "truncated", "version"])
def test_damage_is_said(damage: str, tmp_path: Path) -> None:
    """A missing, truncated or foreign file gives one message."""
    builder, output = ALL_CASES["linear/(2,1,1)->()->3"].build(8, 8, 2, False)
    text, data = save_quantised(builder.build(output), tmp_path / "low")
    if damage == "missing":
        data.unlink()
    elif damage == "truncated":
        data.write_bytes(data.read_bytes()[:100])
    else:
        text.write_text(text.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(ToolflowError, match="build again"):
        load_quantised(tmp_path / "low", by_kind())


CONCAT = "concat/(8,8),nested=False"


def stored(tmp_path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the document and the arrays of a stored network with convolutions, a concat and a pooling."""
    builder, output = ALL_CASES[CONCAT].build(8, 8, 2, False)
    text, data = save_quantised(builder.build(output), tmp_path / "high")
    with np.load(data) as archive:
        return json.loads(text.read_text()), dict(archive)


def refused(tmp_path: Path, document: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Store the changed network and return the message of reading it."""
    (tmp_path / "high.json").write_text(json.dumps(document))
    np.savez(tmp_path / "high.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub takes a flag among the arrays
    with pytest.raises(ToolflowError) as caught:
        load_quantised(tmp_path / "high", by_kind())
    said = str(caught.value)
    if f"{tmp_path / 'high.json'} is damaged (" not in said:  # its form is right, its graph is wrong
        assert said.startswith(
            f"{tmp_path / 'high.json'} and high.npz must hold a quantised graph, but cannot be read ("
        )
    assert said.endswith("): build again")
    return said


def node(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a node of a stored document."""
    found: dict[str, Any] = next(item for item in document["nodes"] if item["name"] == name)
    return found


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda d: d["types"]["joined"].update(bits=7), "concat 'joined': all operands must have one type and scale"),
        (lambda d: d["types"]["branch1"].update(scale=0.5), "concat 'joined': all operands must have one type and sc"),
        (
            lambda d: d["types"]["pool"].update(signed=True),
            "max_pool 'pool': all operands must have one type and scale",
        ),
        (
            lambda d: d["types"]["stem"].update(scale=-1.0),
            "tensor 'stem' must have at most 32 bits and a positive scale",
        ),
        (
            lambda d: d["types"]["stem"].update(bits=33),
            "tensor 'stem' must have at most 32 bits and a positive scale, no",
        ),
        (lambda d: d["types"]["stem"].update(signed=1), "Input should be a valid boolean, at 'types.stem.signed'"),
        (lambda d: d["types"].pop("stem"), "tensor 'stem' has no integer type"),
        (lambda d: d["types"].update(odd=d["types"]["stem"]), "the type of 'odd' is no tensor's"),
        (lambda d: d.update(output="nothing"), "the output 'nothing' is made by no node"),
        (lambda d: d.update(input_shape=[2, 5]), "it has no 'input_shape.2'"),
        (lambda d: d.update(input_shape=[2, 5, 0]), "Input should be greater than 0, at 'input_shape.2'"),
        (lambda d: d.update(family="floating"), "Input should be 'fixed-point' or 'multiplier', at 'family'"),
        (lambda d: node(d, "pool").update(kind="relu"), "relu 'pool' must have the attributes "),
        (lambda d: node(d, "pool").update(kind="magic"), "the operator of 'pool' must be one of add, avg_pool, "),
        (lambda d: node(d, "pool")["attributes"].update(ceil_mode=7), "max_pool 'pool': ceil_mode: Input should be a"),
        (lambda d: node(d, "pool")["attributes"].update(stride=[2, 0]), "max_pool 'pool': stride must be at least 1"),
        (
            lambda d: node(d, "pool")["attributes"].pop("pads"),
            "max_pool 'pool' must have the attributes ['ceil_mode', ",
        ),
        (lambda d: node(d, "pool").update(clip=[0, 1]), "max_pool 'pool': its bias is missing"),
        (lambda d: node(d, "conv").update(clip=None), "conv 'conv' must have a requantisation"),
        (lambda d: node(d, "conv").update(clip=[0, 1 << 20]), "'conv' clips to [0, 1048576], which must lie within ["),
        (lambda d: node(d, "conv").update(weight_bits=2), "weight of 'conv' must lie within [-2, 1], not ["),
        (lambda d: node(d, "conv").update(weight_bits=0), "weight of 'conv' must have 1 to 32 bits, not 0"),
        (lambda d: node(d, "conv").update(weights=[]), "conv 'conv': its weight is missing"),
        (lambda d: node(d, "conv").update(inputs=["pool", "pool"]), "the residual must have the output's shape"),
        (
            lambda d: node(d, "branch1").update(inputs=["stem", "branch0"]),
            "conv 'branch1' must have a residual multipl",
        ),
        (lambda d: node(d, "stem").update(inputs=["pool"]), "node 'stem' reads ['pool'], which no earlier node makes"),
        (lambda d: d.update(extra=1), "Extra inputs are not permitted, at 'extra'"),
    ],
)
def test_a_document_that_describes_no_network_is_refused(
    change: Callable[[dict[str, Any]], object], text: str, tmp_path: Path
) -> None:
    """The file and the node are named, before anything computes with it."""
    document, arrays = stored(tmp_path)
    change(document)
    assert text in refused(tmp_path, document, arrays)


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("rule.bias", lambda v: v[:-1], "bias of 'conv' must be int64 of shape (9,) or (1,), not int64 (8,)"),
        (
            "rule.bias",
            lambda v: v.astype(float),
            "bias of 'conv' must be int64 of shape (9,) or (1,), not float64 (9,)",
        ),
        ("rule.shift", lambda v: v + 48, "conv 'conv': shift must lie within [0, 47]"),
        ("rule.multiplier", lambda v: None, "conv 'conv': its multiplier is missing"),
        ("weight", lambda v: v.astype(float), "weight of 'conv' must be int64, not float64"),
        ("weight", lambda v: v[:, :-1], "conv 'conv': weight must have 16 channels per group, not 15"),
        ("weight", lambda v: v + 1000, "weight of 'conv' must lie within ["),
        ("weight", lambda v: None, ".weight' is missing"),
    ],
)
def test_arrays_that_are_no_networks_are_refused(
    name: str, change: Callable[[np.ndarray], np.ndarray | None], text: str, tmp_path: Path
) -> None:
    document, arrays = stored(tmp_path)
    key = f"{[item['name'] for item in document['nodes']].index('conv')}.{name}"
    changed = change(arrays.pop(key))
    if changed is not None:
        arrays[key] = changed
    assert text in refused(tmp_path, document, arrays)


def test_an_input_table_of_another_shape_is_refused(tmp_path: Path) -> None:
    document, arrays = stored(tmp_path)
    short = {**arrays, "input_table": arrays["input_table"][:, :255]}
    assert "the input table must be int64 (2, 256), not int64 (2, 255)" in refused(tmp_path, document, short)
    assert "no node has the array 'odd'" in refused(tmp_path, document, {**arrays, "odd": np.zeros(1)})


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_no_damage_reaches_a_computation(suffix: str, tmp_path: Path) -> None:
    """Bits are flipped and ends cut at random: the file is refused, or its network still runs."""
    stored(tmp_path)
    path = tmp_path / f"high{suffix}"
    original, rng = path.read_bytes(), np.random.default_rng(11)
    images = np.zeros((1, 5, 5, 2), np.uint8)
    refusals = 0
    for _ in range(150):
        damaged = bytearray(original)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(damaged if rng.random() < 0.7 else damaged[: rng.integers(len(damaged))]))
        try:
            graph = load_quantised(tmp_path / "high", by_kind())
        except ToolflowError as error:
            refusals += f"high{suffix}" in str(error)
        else:
            run(graph, images)
    assert refusals > 50
