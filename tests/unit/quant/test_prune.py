"""Pruning without training, and the file that holds a pruned network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import quant.sparsity.support
from quant.arrangement.forms import multiplications, multiplications_by_layer
from quant.float_network import float_logits
from quant.sparsity.choice import Choice, choose_layers, shaped
from quant.sparsity.prune import prune_graph
from quant.sparsity.pruned_file import FORMAT, load_pruned, save_pruned
from tests.unit.quant.quantise_networks import NORMALISATION, Builder, images, residual_network, wide_network
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.numerics.srbs import Pattern, obeys, support
from toolflow.operators import AvgPool, Conv, Flatten, WinogradConv

HALF = Pattern(2, 4)


@pytest.fixture(scope="module")
def dense() -> Graph:
    return residual_network()


def six_outputs() -> Graph:
    """Return a network whose only layer that may take a pattern has 6 output channels."""
    b = Builder(2)
    x = b.conv("stem", "image", (4, 3, 3, 3), Conv(pads=(1, 1, 1, 1)))
    x = b.conv("a", x, (6, 4, 3, 3), Conv(pads=(1, 1, 1, 1)))
    x = b.node("pool", AvgPool((12, 12), (12, 12)), x)
    return b.graph(b.linear("linear", b.node("flat", Flatten(), x), (5, 6)))


@pytest.fixture(scope="module")
def choices(dense: Graph) -> dict[str, Choice]:
    """Two tiled layers with patterns, one tiled and dense, a strided one with its own pattern; two share places."""
    chosen, _ = choose_layers(dense, 2, HALF, {"a2": None, "b1": Pattern(2, 8, 2), "b2": Pattern(2, 4, 4)})
    return chosen


@pytest.fixture(scope="module")
def pruned(dense: Graph, choices: dict[str, Choice]) -> Graph:
    return prune_graph(dense, images(96), NORMALISATION, choices)


@pytest.fixture
def saved(pruned: Graph, tmp_path: Path) -> Path:
    path = tmp_path / "pruned.safetensors"
    save_pruned(pruned, path)
    return path


def _inputs(count: int) -> torch.Tensor:
    return torch.as_tensor(NORMALISATION.apply(images(count, seed=9))).float()


def _error(wanted: Graph, found: Graph) -> float:
    """Return error energy over signal energy of the logits, on images that pruning has not seen."""
    truth, guess = float_logits(wanted, _inputs(64)), float_logits(found, _inputs(64))
    return float(((truth - guess) ** 2).mean() / truth.var())


def test_layers_that_take_a_pattern(dense: Graph, choices: dict[str, Choice]) -> None:
    assert choices == {
        "a1": Choice(2, HALF),
        "a2": Choice(2, None),
        "b1": Choice(0, Pattern(2, 8, 2)),
        "b2": Choice(2, Pattern(2, 4, 4)),
    }
    _, notes = choose_layers(dense, 2, Pattern(2, 16), {})
    assert notes == ("a1, a2 stayed dense: 8 input channels are fewer than the 16 of a sub-row",)


@pytest.mark.parametrize(
    ("graph", "pattern", "named", "message"),
    [
        (residual_network, Pattern(3, 32), {}, "must have 32 input channels or more"),
        (residual_network, HALF, {"a1": Pattern(3, 16)}, "'a1' cannot carry the pattern 3:16: 8 input channels"),
        (residual_network, HALF, {"stem": Pattern(2, 4)}, "'stem' cannot carry the pattern 2:4: 3 input channels"),
        (
            six_outputs,
            HALF,
            {"a": Pattern(2, 4, 4)},
            "'a' cannot carry the pattern 2:4x4: 6 output channels are no multiple of the 4 that share an index; "
            "possible: 2:4 or 2:4x2",
        ),
        (six_outputs, Pattern(2, 4, 4), {}, "must have 4 input channels or more, and a multiple of 4 output chann"),
        (residual_network, HALF, {"linear": HALF}, "must be given to convolutions of the network, not to linear"),
        (wide_network, HALF, {"deep": HALF}, "'deep' cannot carry the pattern 2:4: 17 channel groups"),
    ],
)
def test_patterns_that_no_layer_can_carry(
    graph: Callable[[], Graph], pattern: Pattern, named: dict[str, Pattern | None], message: str
) -> None:
    with pytest.raises(ToolflowError, match=message):
        choose_layers(graph(), 4, pattern, named)


@pytest.mark.parametrize("tile", [2, 4])
def test_a_new_form_alone_changes_nothing(dense: Graph, tile: int) -> None:
    formed = shaped(dense, choose_layers(dense, tile, Pattern(4, 4), {})[0])
    assert _error(dense, formed) < 1e-9


def test_pruned_layers_obey_and_are_better_than_their_largest_values(
    dense: Graph, choices: dict[str, Choice], pruned: Graph
) -> None:
    for name, choice in choices.items():
        node = pruned.by_name[name]
        assert isinstance(node.op, WinogradConv if choice.tile else Conv)
        if choice.pattern is not None:
            assert obeys(node.weights["weight"], choice.pattern, shared=choice.tile > 0)
            assert node.op.pattern == choice.pattern
    assert _error(dense, pruned) < 0.5 * _error(dense, _cut(dense, choices))


def test_wide_layers_are_solved_a_few_channels_at_a_time(
    dense: Graph, choices: dict[str, Choice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quant.sparsity.support, "MAX_COLUMNS", 64)
    pruned = prune_graph(dense, images(96), NORMALISATION, choices)
    for name, choice in choices.items():
        weight = pruned.by_name[name].weights["weight"]
        assert choice.pattern is None or obeys(weight, choice.pattern, shared=choice.tile > 0)
    assert _error(dense, pruned) < 0.7 * _error(dense, _cut(dense, choices))


def _cut(dense: Graph, choices: dict[str, Choice]) -> Graph:
    """Return the network with only the largest values of each layer."""
    formed = shaped(dense, choices)
    return replace(formed, nodes=tuple(_largest(node, choices) for node in formed.nodes))


def _largest(node: Node, choices: dict[str, Choice]) -> Node:
    choice = choices.get(node.name)
    if choice is None or choice.pattern is None:
        return node
    weight = node.weights["weight"]
    return replace(node, weights={**node.weights, "weight": weight * support(weight, choice.pattern, choice.tile > 0)})


def test_a_support_that_is_there_is_kept(choices: dict[str, Choice], pruned: Graph) -> None:
    again = prune_graph(pruned, images(96, seed=3), NORMALISATION, choices)
    for name in choices:
        zeros = pruned.by_name[name].weights["weight"] == 0
        assert (again.by_name[name].weights["weight"][zeros] == 0).all()


def test_multiplications(dense: Graph, pruned: Graph) -> None:
    direct, now = multiplications_by_layer(dense), multiplications_by_layer(pruned)
    assert direct["a1"] == 8 * 8 * 9 * 144
    assert now["a1"] == 8 * 4 * 16 * 36  # half of the channels, 16 taps, a tile for 4 outputs
    assert now["a2"] == 8 * 8 * 16 * 36
    assert now["b1"] == direct["b1"] // 4
    assert now["linear"] == direct["linear"] == 5 * 16


def test_multiplications_of_taps_that_share() -> None:
    """Each tap counts the values that it keeps; a shorter last sub-row has no more than its channels."""
    held = np.zeros((2, 6, 4, 4))
    held[:, :, 1, 1] = 1  # all of both sub-rows: 4 and 2 channels
    for y, x in np.ndindex(4, 4):
        held[:, [0, 5], y, x] = 1  # one of each
    op = WinogradConv(2, (1, 1, 1, 1), HALF)
    assert multiplications(op, held, (2, 8, 8)) == int(held.sum()) * 16


def test_a_file_round_trip(dense: Graph, pruned: Graph, saved: Path) -> None:
    loaded = load_pruned(dense, saved, tile=2)
    for ours, theirs in zip(pruned.nodes, loaded.nodes, strict=True):
        assert ours.op == theirs.op
        for name, values in ours.weights.items():
            assert (theirs.weights[name] == values.astype(np.float32)).all()
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def _rewritten(path: Path, arrays: dict[str, np.ndarray] | None = None, **changed: object) -> Path:
    with safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()[FORMAT])
    save_file({**load_file(path), **(arrays or {})}, path, {FORMAT: json.dumps({**document, **changed})})
    return path


def test_what_is_no_pruned_network(dense: Graph, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolflowError, match="must be a pruned wide, not another network"):
        load_pruned(wide_network(), saved)
    with pytest.raises(ToolflowError, match=r"cannot be read as a pruned network"):
        load_pruned(dense, tmp_path / "nothing.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(ToolflowError, match=r"cannot be read as a pruned network"):
        load_pruned(dense, tmp_path / "text.safetensors")
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ToolflowError, match=r"cannot be read as a pruned network"):
        load_pruned(dense, saved)
    save_file({"a1.weight": np.zeros(3, np.float32)}, tmp_path / "plain.safetensors")
    with pytest.raises(ToolflowError, match="must be a pruned network that 'toolflow prune' wrote"):
        load_pruned(dense, tmp_path / "plain.safetensors")


def test_another_tile_or_pattern_than_asked_for(dense: Graph, saved: Path) -> None:
    with pytest.raises(ToolflowError, match="must hold layers of pattern 3:16, but 'a1' was pruned to 2:4"):
        load_pruned(dense, saved, pattern=Pattern(3, 16))
    with pytest.raises(ToolflowError, match=r"must hold layers of tile 4, but 'a1' is F\(2,3\) there"):
        load_pruned(dense, saved, tile=4)


def test_a_file_of_another_version(dense: Graph, saved: Path) -> None:
    with pytest.raises(ToolflowError, match="must be of schema version 1, not 7: prune again"):
        load_pruned(dense, _rewritten(saved, schema_version=7))


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        (
            {"a1": {"tile": 2, "pattern": "5:4"}},
            r"n of a pattern n:S must be 1 to S = 4, not 5, at 'layers\.a1\.pattern'",
        ),
        ({"a1": {"pattern": "2:4"}}, r"it has no 'layers\.a1\.tile'"),
        ([1], "Input should be an object, at 'layers'"),
        (None, "Input should be an object, at 'layers'"),
    ],
)
def test_damaged_metadata(dense: Graph, saved: Path, layers: object, problem: str) -> None:
    with pytest.raises(ToolflowError, match=rf"pruned\.safetensors is damaged \(.*{problem}\): prune again"):
        load_pruned(dense, _rewritten(saved, layers=layers))


def test_forms_that_a_layer_cannot_have(dense: Graph, saved: Path) -> None:
    for layer, held, reason in (
        ("a1", {"tile": 3, "pattern": None}, "no Winograd form of tile 3"),
        ("a1", {"tile": 2, "pattern": "3:16"}, "8 input channels are fewer than the 16"),
    ):
        with pytest.raises(ToolflowError, match=f"'{layer}' cannot be as it says, .*{reason}"):
            load_pruned(dense, _rewritten(saved, layers={layer: held}))


def test_weights_that_are_not_what_they_must_be(dense: Graph, pruned: Graph, saved: Path) -> None:
    full = np.ones((8, 8, 4, 4), np.float32)
    for weight, message in (
        (full, "the weights of 'a1' must obey its pattern 2:4"),
        (full[:, :, :3], r"'a1.weight' must be finite numbers \(8, 8, 4, 4\)"),
        (full * np.nan, r"'a1.weight' must be finite numbers"),
    ):
        with pytest.raises(ToolflowError, match=message):
            load_pruned(dense, _rewritten(saved, {"a1.weight": np.ascontiguousarray(weight)}))
