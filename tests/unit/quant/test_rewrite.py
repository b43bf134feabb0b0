"""Rewrites of a float graph against oracles: zeroed weights, numpy's decompositions, and the network itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import pytest
import torch

from quant.float_network import float_logits
from quant.mechanisms.rewrite import channels as rewrite_channels
from quant.mechanisms.rewrite.blocks import with_halved_block
from quant.mechanisms.rewrite.channels import ChannelMap
from quant.mechanisms.rewrite.factorise import factorised, largest_ranks, partial_tucker
from quant.mechanisms.rewrite.layers import bypasses, with_activations, without_layer
from tests.unit.quant.quantise_networks import NETWORKS, RELU, SAME, Builder, residual_network
from toolflow.ir.activation import Activation
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.operators import Add, BatchNorm, Conv, Flatten, MaxPool, Relu
from toolflow.passes.fuse_residual import fuse_residual


def normalised_network() -> Graph:
    """Batch norms and rectifiers of their own, a grouped and a widening depthwise convolution, a wide linear layer."""
    b = Builder(4)
    x = b.conv("stem", "image", (8, 3, 3, 3), Conv(pads=SAME))
    values = {name: np.abs(b.rng.normal(1, 0.3, 8)) for name in ("scale", "bias", "mean", "variance")}
    b.nodes.append(Node("norm", BatchNorm(), (x,), values))
    x = b.node("relu", Relu(), "norm")
    y = b.conv("grouped", x, (12, 4, 3, 3), Conv(pads=SAME, groups=2, activation=RELU))
    y = b.conv("depthwise", y, (24, 1, 3, 3), Conv(pads=SAME, groups=12))
    y = b.conv("back", y, (8, 24, 1, 1))
    x = b.node("sum", Add(RELU), y, x)
    x = b.node("flat", Flatten(), b.node("small", MaxPool((4, 4), (4, 4)), x))
    return b.graph(b.linear("last", b.linear("hidden", x, (10, 72)), (5, 10)), "normalised")


ALL: dict[str, Callable[[], Graph]] = {
    **NETWORKS,
    "normalised": normalised_network,
    "fused": lambda: fuse_residual(residual_network()),
}


def answers(graph: Graph) -> torch.Tensor:
    return float_logits(
        graph, torch.randn(2, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )


def zeroed(channels: ChannelMap, removed: Collection[int]) -> Graph:
    """Return the network in which every channel of these classes is 0 where it is made."""
    nodes = []
    for node in channels.graph.nodes:
        gone = np.isin(channels.classes[node.name], list(removed))
        weights = {name: array.copy() for name, array in node.weights.items()}
        for name in ("weight", "bias", "scale"):
            if name in weights:
                weights[name][gone] = 0
        nodes.append(replace(node, weights=weights))
    return replace(channels.graph, nodes=tuple(nodes))


def some_classes(channels: ChannelMap, seed: int) -> set[int]:
    rng = np.random.default_rng(seed)
    return {
        int(each)
        for width in channels.widths
        for each in rng.choice(width.classes, rng.integers(1, len(width.classes) // 2 + 1), replace=False)
    }


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_a_removed_channel_is_a_zeroed_one(name: str, seed: int) -> None:
    channels = ChannelMap.of(ALL[name]())
    removed = some_classes(channels, seed)
    assert removed
    narrow = channels.without(removed)
    assert sum(node.weights["weight"].size for node in narrow.nodes if node.op.has_weights) < sum(
        node.weights["weight"].size for node in channels.graph.nodes if node.op.has_weights
    )
    torch.testing.assert_close(answers(narrow), answers(zeroed(channels, removed)), rtol=1e-9, atol=1e-9)


def test_a_wrong_channel_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions that drop the neighbour of the right input channel."""
    channels = ChannelMap.of(residual_network())
    removed = some_classes(channels, 0)
    real = rewrite_channels._rule

    class Shifted:
        @staticmethod
        def narrowed(op, inputs, output, weights):  # type: ignore[no-untyped-def]
            rule = real(Node("", op, ()))
            assert rule is not None
            return rule.narrowed(op, [np.roll(mask, 1) for mask in inputs] if op.convolves else inputs, output, weights)

    monkeypatch.setattr(rewrite_channels, "_rule", lambda _: Shifted)
    assert not torch.allclose(answers(channels.without(removed)), answers(zeroed(channels, removed)))


def test_the_widths_of_a_residual_network() -> None:
    """The trunk is one width, whose shortcut pads it; the first layer of each block is free."""
    found = {width.layers: len(width.classes) for width in ChannelMap.of(residual_network()).widths}
    assert found == {("stem", "a2", "b2"): 16, ("a1",): 8, ("b1",): 16}


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        (lambda channels: channels.classes["image"][:1], "channels of 'image' must stay"),
        (lambda channels: channels.classes["linear"][:1], "channels of 'linear' must stay"),
        (lambda channels: channels.classes["a1"], "'a1' must keep a channel, not lose all 8"),
    ],
)
def test_what_must_stay(removed, message: str) -> None:  # type: ignore[no-untyped-def]
    channels = ChannelMap.of(residual_network())
    with pytest.raises(ToolflowError, match=message):
        channels.without(set(map(int, removed(channels))))


def test_an_operator_without_a_rule_keeps_its_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    real = rewrite_channels._rule
    monkeypatch.setattr(rewrite_channels, "_rule", lambda node: None if node.name == "c0" else real(node))
    found = {width.layers: len(width.classes) for width in ChannelMap.of(residual_network()).widths}
    assert found == {("a1",): 8, ("b1",): 16}


@pytest.mark.parametrize("name", ["stem", "a1", "b1", "linear"])
def test_full_ranks_change_nothing(name: str) -> None:
    graph = residual_network()
    made = factorised(graph, name, largest_ranks(graph.by_name[name]))
    torch.testing.assert_close(answers(made), answers(graph), rtol=1e-7, atol=1e-7)


def test_partial_tucker_against_numpy() -> None:
    """No worse than the truncated higher-order SVD, no better than each unfolding's best approximation."""
    weight = np.random.default_rng(0).normal(size=(9, 7, 3, 3))
    ranks = {0: 4, 1: 3}
    u_out, core, u_in = partial_tucker(weight, ranks[1], ranks[0])
    error = np.linalg.norm(weight - np.einsum("srxy,ks,cr->kcxy", core, u_out, u_in))
    truncated, bound = weight, 0.0
    for mode, rank in ranks.items():
        unfolded = np.moveaxis(weight, mode, 0).reshape(weight.shape[mode], -1)
        left, values, _ = np.linalg.svd(unfolded, full_matrices=False)
        projection = left[:, :rank] @ left[:, :rank].T
        truncated = np.moveaxis(np.tensordot(projection, np.moveaxis(truncated, mode, 0), 1), 0, mode)
        bound = max(bound, float(np.linalg.norm(values[rank:])))
    assert bound - 1e-9 <= error <= np.linalg.norm(weight - truncated) + 1e-9
    np.testing.assert_allclose(u_out.T @ u_out, np.eye(4), atol=1e-9)


@pytest.mark.parametrize("form", ["linear", "strided"])
def test_a_matrix_is_truncated_as_numpy_does(form: str) -> None:
    b = Builder(5)
    x = "image"
    if form == "strided":
        x = b.conv("layer", x, (6, 3, 1, 1), Conv(stride=(2, 2), activation=RELU))
        graph = b.graph(b.node("flat", Flatten(), x))
    else:
        x = b.node("flat", Flatten(), b.node("small", MaxPool((6, 6), (6, 6)), x))
        graph = b.graph(b.linear("layer", x, (6, 12)))
    weight = graph.by_name["layer"].weights["weight"].astype(float).reshape(6, -1)
    left, values, right = np.linalg.svd(weight, full_matrices=False)
    best = (left[:, :2] * values[:2] @ right[:2]).reshape(graph.by_name["layer"].weights["weight"].shape)
    layer = replace(graph.by_name["layer"], weights={**graph.by_name["layer"].weights, "weight": best})
    nodes = tuple(layer if node.name == "layer" else node for node in graph.nodes)
    made = factorised(graph, "layer", (2,))
    torch.testing.assert_close(answers(made), answers(replace(graph, nodes=nodes)))


@pytest.mark.parametrize(
    ("name", "ranks", "message"),
    [
        ("a1", (9, 8), r"the ranks of 'a1' must be 2 numbers of 1 to \(8, 8\), not \(9, 8\)"),
        ("a1", (3,), "must be 2 numbers"),
        ("a", (3,), "'a' must be a layer of network with one channel group"),
        ("none", (3,), "'none' must be a layer of network"),
    ],
)
def test_ranks_that_cannot_be(name: str, ranks: tuple[int, ...], message: str) -> None:
    with pytest.raises(ToolflowError, match=message):
        factorised(residual_network(), name, ranks)


def test_a_block_is_removed_and_what_only_it_read() -> None:
    graph = residual_network()
    made = without_layer(graph, "a", "stem")
    assert set(graph.by_name) - set(made.by_name) == {"a", "a1", "a2"}
    expected = [node for node in graph.nodes if node.name not in ("a1", "a2")]
    adding = replace(graph.by_name["a"], op=MaxPool((1, 1), (1, 1)), inputs=("stem",))
    kept = replace(graph, nodes=tuple(adding if node.name == "a" else node for node in expected))
    torch.testing.assert_close(answers(made), answers(kept))
    assert bypasses(graph)["a"] == ("a2", "stem")
    with pytest.raises(ToolflowError, match="an operand of its result's shape must be one of a2, stem, not 'b1'"):
        without_layer(graph, "a", "b1")
    with pytest.raises(ToolflowError, match="'b1' cannot be removed: an operand of its result's shape must exist"):
        without_layer(graph, "b1")


def test_an_activation_is_exchanged() -> None:
    graph = residual_network()
    made = with_activations(graph, {"stem": Activation.RELU6, "a": Activation.NONE})
    assert made.by_name["stem"].op.activation is Activation.RELU6
    assert not torch.allclose(answers(made), answers(graph))
    with pytest.raises(ToolflowError, match="'pool' must be a node of network that can apply an activation"):
        with_activations(graph, {"pool": Activation.RELU})


def test_a_halved_block_keeps_its_width() -> None:
    b = Builder(6)
    x = b.conv("one", "image", (8, 3, 3, 3), Conv(pads=SAME, activation=RELU))
    x = b.conv("two", x, (12, 8, 3, 3), Conv(pads=SAME, activation=RELU))
    x = b.conv("three", x, (4, 12, 3, 3), Conv(activation=RELU))
    graph = b.graph(b.node("flat", Flatten(), x))
    made = with_halved_block(graph, ["one", "two"])
    shapes = {node.name: node.weights["weight"].shape for node in made.nodes if node.op.has_weights}
    assert shapes == {"one": (4, 3, 3, 3), "two.narrow": (6, 4, 3, 3), "two": (12, 6, 1, 1), "three": (4, 12, 3, 3)}
    assert made.by_name["two"].op.activation is RELU  # as soon as it is trained it makes negative values
    torch.testing.assert_close(answers(with_halved_block(graph, ["one", "two"], 1.0)), answers(graph))
    channels = ChannelMap.of(graph)
    gone = set(channels.classes["two"][~made.by_name["two"].weights["weight"].any(axis=(1, 2, 3))].tolist())
    norms = np.abs(graph.by_name["one"].weights["weight"]).sum(axis=(1, 2, 3))
    gone |= set(channels.classes["one"][np.argsort(norms)[:4]].tolist())
    torch.testing.assert_close(answers(made), answers(zeroed(channels, gone)))
    with pytest.raises(ToolflowError, match="'stem' must be read inside its block only, but it is tied to a2, b2"):
        with_halved_block(residual_network(), ["stem", "a1"])
