"""Each pass alone and all in order: what a pass changes, what it keeps, and that no value changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.importers.import_tools import conv_node, norm_weights, random_array, run_graph
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node, verify_graph
from toolflow.ir.operator import Operator, Shape
from toolflow.operators import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Pad,
    Relu,
    Shortcut,
)
from toolflow.passes.bounds import non_negative
from toolflow.passes.complete_windows import complete_windows
from toolflow.passes.express_shortcuts import express_shortcuts
from toolflow.passes.fold_batch_norm import fold_batch_norm
from toolflow.passes.fold_input import fold_input
from toolflow.passes.fold_pad import fold_pad
from toolflow.passes.fuse_relu import fuse_relu
from toolflow.passes.fuse_residual import fuse_residual
from toolflow.passes.hoist_relu import hoist_relu
from toolflow.passes.merge_shortcuts import merge_shortcuts
from toolflow.passes.pipeline import PIPELINE, simplify

CHANNELS, SIZE = 4, (7, 6)
FINAL = (Conv, Linear, MaxPool, AvgPool, Add, Concat, Flatten, Shortcut)


def graph_of(*nodes: Node, shape: tuple[int, ...] = (CHANNELS, *SIZE)) -> Graph:
    graph = Graph("test", "x", shape, tuple(nodes), nodes[-1].name)
    verify_graph(graph)
    return graph


def conv(name: str, source: str, op: Conv | None = None, outputs: int = CHANNELS, kernel: int = 3) -> Node:
    op = op or Conv(pads=(1, 1, 1, 1))
    return conv_node(name, op, source, (outputs, CHANNELS // op.groups, kernel, kernel), seed=sum(name.encode()))


def norm(name: str, source: str, channels: int = CHANNELS) -> Node:
    return Node(name, BatchNorm(0.01), (source,), norm_weights(channels))


def node(name: str, op: Operator, *inputs: str) -> Node:
    return Node(name, op, inputs)


def equal(before: Graph, after: Graph) -> Graph:
    """Check that a pass changed no value; inputs of both signs and all zero."""
    verify_graph(after)
    x = random_array(3, *before.input_shape, seed=3) * 4
    x[1] = 0
    np.testing.assert_allclose(run_graph(after, x), run_graph(before, x), rtol=1e-9, atol=1e-9)
    return after


def kinds(graph: Graph) -> list[str]:
    return [each.op.kind for each in graph.nodes]


def ops(graph: Graph) -> list[Operator]:
    return [each.op for each in graph.nodes]


# ---- batch norm ---------------------------------------------------------------------------


def test_batch_norm_folds_into_its_convolution() -> None:
    graph = graph_of(conv("c", "x", Conv(groups=2)), norm("n", "c"))
    assert kinds(equal(graph, fold_batch_norm(graph))) == ["conv"]
    chain = graph_of(conv("c", "x"), norm("n", "c"), norm("m", "n"), node("r", Relu(), "m"))
    assert kinds(equal(chain, fold_batch_norm(chain))) == ["conv", "relu"]


@pytest.mark.parametrize(
    "nodes",
    [
        (norm("n", "x"),),
        (conv("c", "x"), node("r", Relu(), "c"), norm("n", "r")),
        (conv("c", "x", Conv(activation=Activation.RELU)), norm("n", "c")),
        (conv("c", "x"), norm("n", "c"), node("a", Add(), "c", "n")),
        (conv("c", "x"), node("s", Add(), "c", "x"), norm("n", "s")),
    ],
)
def test_batch_norm_elsewhere_becomes_a_depthwise_convolution(nodes: tuple[Node, ...]) -> None:
    graph = graph_of(*nodes)
    after = equal(graph, fold_batch_norm(graph))
    assert after.by_name["n"].op == Conv(groups=CHANNELS)
    assert "c" not in graph.by_name or after.by_name["c"] == graph.by_name["c"]


def test_batch_norm_of_a_vector_folds_forward() -> None:
    features = CHANNELS * SIZE[0] * SIZE[1]
    flat = node("f", Flatten(), "x")
    graph = graph_of(flat, norm("n", "f", features), conv_node("l", Linear(), "n", (3, features)))
    assert kinds(equal(graph, fold_batch_norm(graph))) == ["flatten", "linear"]
    alone = graph_of(flat, norm("n", "f", features), norm("m", "n", features))
    assert kinds(equal(alone, fold_batch_norm(alone))) == ["flatten", "linear"]


def test_a_long_vector_is_not_scaled_alone() -> None:
    graph = graph_of(node("f", Flatten(), "x"), norm("n", "f", 4200), shape=(42, 10, 10))
    with pytest.raises(ToolflowError, match="the limit is 4096 values; move the scaling before the flatten"):
        simplify(graph)


def test_batch_norm_is_folded_in_float64() -> None:
    layer = conv("c", "x")
    graph = graph_of(
        replace(layer, weights={k: v.astype(np.float32) for k, v in layer.weights.items()}), norm("n", "c")
    )
    assert all(array.dtype == np.float64 for array in fold_batch_norm(graph).nodes[0].weights.values())


# ---- the image's own map -------------------------------------------------------------------


def depthwise(name: str, source: str, **changed: Any) -> Node:
    return conv(name, source, Conv(groups=CHANNELS, **changed), kernel=1)


@pytest.mark.parametrize(
    "nodes",
    [
        (norm("a", "x"),),
        (norm("a", "x"), norm("b", "a")),
        (depthwise("a", "x"), norm("b", "a"), depthwise("c", "b")),
    ],
)
def test_what_is_done_to_each_channel_of_the_image_becomes_its_map(nodes: tuple[Node, ...]) -> None:
    """The padding behind it stays zeros of the mapped image: `equal` runs the map in front of the padded layer."""
    graph = graph_of(*nodes, node("p", Pad((1, 1, 1, 1)), nodes[-1].name), conv("k", "p"))
    after = equal(graph, simplify(graph))
    assert ops(after) == [Conv(pads=(2, 2, 2, 2))]
    x = random_array(2, CHANNELS, *SIZE)
    inner = graph_of(*nodes)
    assert after.input_map is not None
    scale, shift = (np.array(values).reshape(-1, 1, 1) for values in (after.input_map.scale, after.input_map.shift))
    np.testing.assert_allclose(x * scale + shift, run_graph(inner, x), rtol=1e-9)


@pytest.mark.parametrize(
    "nodes",
    [
        (norm("n", "x"), node("a", Add(), "n", "x")),  # the image is read elsewhere too
        (norm("n", "x"),),  # the output
        (node("r", Relu(), "x"), norm("n", "r")),
        (node("p", Pad((1, 1, 1, 1)), "x"), norm("n", "p"), conv("k", "n")),  # the zeros are mapped too
        (depthwise("n", "x", activation=Activation.RELU), conv("k", "n")),
        (depthwise("n", "x", pads=(1, 0, 0, 0)), conv("k", "n")),
        (depthwise("n", "x", stride=(2, 1)), conv("k", "n")),
        (conv("n", "x", Conv(groups=2), kernel=1), conv("k", "n")),
        (Node("n", BatchNorm(), ("x",), {**norm_weights(CHANNELS), "scale": np.array([1.0, 0, 1, 1])}), conv("k", "n")),
    ],
)
def test_what_is_no_map_of_each_channel_stays(nodes: tuple[Node, ...]) -> None:
    graph = graph_of(*nodes)
    assert fold_input(graph) == graph
    equal(graph, simplify(graph))


# ---- rectifiers ---------------------------------------------------------------------------


@pytest.mark.parametrize("upper", [None, 6.0])
@pytest.mark.parametrize(
    "between",
    [
        MaxPool((3, 3), (2, 2), (1, 1, 0, 0), ceil_mode=True),
        Shortcut((2, 1), 1, 2),
        Pad((1, 0, 2, 1), 1, 0),
        Flatten(),
    ],
)
def test_a_rectifier_moves_in_front(between: Operator, upper: float | None) -> None:
    graph = graph_of(conv("c", "x"), node("b", between, "c"), node("r", Relu(upper), "b"))
    after = equal(graph, hoist_relu(graph))
    assert kinds(after) == ["conv", "relu", between.kind]
    assert kinds(equal(graph, fuse_relu(after))) == ["conv", between.kind]


def test_a_rectifier_moves_in_front_of_every_operand_of_a_concat() -> None:
    graph = graph_of(
        conv("c", "x"),
        conv("d", "x"),
        node("k", Concat(), "c", "d", "c"),
        node("r", Relu(), "k"),
        node("p", MaxPool((2, 2), (2, 2)), "r"),
    )
    after = equal(graph, fuse_relu(hoist_relu(graph)))
    assert kinds(after) == ["conv", "conv", "concat", "max_pool"]
    assert [each.op.activation for each in after.nodes[:2] if isinstance(each.op, Conv)] == [Activation.RELU] * 2


@pytest.mark.parametrize(
    "nodes",
    [
        (conv("c", "x"), node("p", MaxPool((2, 2), (2, 2)), "c"), node("r", Relu(), "p"), node("a", Add(), "r", "p")),
        (conv("c", "x"), node("p", AvgPool((2, 2), (2, 2)), "c"), node("r", Relu(), "p")),
        (node("p", MaxPool((2, 2), (2, 2)), "x"), node("r", Relu(), "p")),
        (conv("c", "x"), node("k", Concat(), "c", "x"), node("r", Relu(), "k"), node("o", Concat(), "r", "c")),
    ],
)
def test_a_rectifier_stays_where_moving_it_would_change_another_tensor(nodes: tuple[Node, ...]) -> None:
    graph = graph_of(*nodes)
    assert hoist_relu(graph) == graph
    after = equal(graph, fuse_relu(graph))
    assert after.by_name["r"].op == Conv(groups=after.shapes["r"][0], activation=Activation.RELU)


@pytest.mark.parametrize("source", ["conv", "add", "linear"])
@pytest.mark.parametrize("uppers", [(None,), (6.0,), (None, 6.0), (6.0, None), (None, None)])
def test_rectifiers_fuse_into_their_producer(source: str, uppers: Sequence[float | None]) -> None:
    layer = {
        "conv": [conv("c", "x")],
        "add": [conv("d", "x"), node("c", Add(), "d", "x")],
        "linear": [node("f", Flatten(), "x"), conv_node("c", Linear(), "f", (5, CHANNELS * SIZE[0] * SIZE[1]))],
    }[source]
    relus = [node(f"r{i}", Relu(upper), f"r{i - 1}" if i else "c") for i, upper in enumerate(uppers)]
    graph = graph_of(*layer, *relus)
    after = equal(graph, fuse_relu(graph))
    assert kinds(after)[-1] == source
    last = after.nodes[-1].op
    assert isinstance(last, Conv | Add | Linear)
    assert last.activation is (Activation.RELU6 if 6.0 in uppers else Activation.RELU)


def test_a_rectifier_of_the_input_or_of_a_vector_becomes_an_identity() -> None:
    graph = graph_of(node("r", Relu(6.0), "x"))
    assert ops(equal(graph, fuse_relu(graph))) == [Conv(groups=CHANNELS, activation=Activation.RELU6)]
    flat = graph_of(node("f", Flatten(), "x"), node("r", Relu(), "f"), node("k", Concat(), "f", "r"))
    assert kinds(equal(flat, fuse_relu(flat))) == ["flatten", "linear", "concat"]


def test_bounds() -> None:
    graph = graph_of(
        conv("c", "x"),
        node("r", Relu(), "c"),
        node("p", AvgPool((2, 2), (1, 1)), "r"),
        node("k", Concat(), "p", "p"),
        node("q", Pad((0, 0, 1, 1)), "k"),
        node("m", MaxPool((1, 1), (1, 1)), "x"),
        node("n", Concat(), "c", "r"),
        node("o", Concat(), "q", "m", "n"),
    )
    assert non_negative(graph) == {"r", "p", "k", "q"}


# ---- padding ------------------------------------------------------------------------------

PADDED = Pad((1, 0, 2, 1))


@pytest.mark.parametrize(
    ("before", "reader", "folded"),
    [
        ([], Conv(pads=(0, 1, 0, 0)), True),
        ([], MaxPool((2, 2), (2, 2)), False),
        ([node("r", Relu(), "x")], MaxPool((3, 3), (2, 2)), True),
        ([node("r", Relu(), "x")], MaxPool((2, 2), (2, 2)), False),  # the last window is 0, padding alone
        ([], AvgPool((3, 3), (2, 2)), True),
        ([], AvgPool((3, 3), (2, 2), (1, 0, 0, 0), count_include_pad=False), False),
        ([], AvgPool((3, 3), (2, 2), (1, 0, 0, 0)), True),
        ([], AvgPool((3, 3), (3, 3), ceil_mode=True), None),
        ([], AvgPool((3, 3), (2, 2), divisor_override=4), True),
        ([], Flatten(), False),
    ],
)
def test_padding_folds_only_where_no_value_changes(before: list[Node], reader: Operator, folded: bool | None) -> None:
    source = before[-1].name if before else "x"
    last = conv("o", "p", reader) if isinstance(reader, Conv) else node("o", reader, "p")
    graph = graph_of(*before, node("p", PADDED, source), last)
    after = equal(graph, fold_pad(graph))
    assert "pad" not in kinds(after)
    if folded is not None:
        assert ("p" not in after.by_name) == folded


def test_padding_is_folded_for_each_reader_alone() -> None:
    graph = graph_of(
        node("p", PADDED, "x"),
        node("q", Pad((0, 1, 0, 0)), "p"),
        conv("c", "q", Conv()),
        conv("d", "p", Conv(), kernel=3),
        node("m", MaxPool((2, 2), (1, 1)), "p"),
        node("f", Flatten(), "c"),
        node("g", Flatten(), "d"),
        node("h", Flatten(), "m"),
        node("k", Concat(), "f", "g", "h"),
    )
    after = equal(graph, fold_pad(graph))
    assert after.by_name["c"].op == Conv(pads=(1, 1, 2, 1))
    assert after.by_name["d"].op == Conv(pads=(1, 0, 2, 1))
    assert after.by_name["p"].op == Conv(pads=(1, 0, 2, 1), groups=CHANNELS)


# ---- pools and shortcuts ------------------------------------------------------------------


@settings(max_examples=150)
@given(
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 1)] * 4),
    ceil=st.booleans(),
    count=st.booleans(),
    maximum=st.booleans(),
)
def test_windows_are_completed(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    ceil: bool,
    count: bool,
    maximum: bool,
) -> None:
    op = MaxPool(kernel, stride, pads, ceil_mode=ceil) if maximum else AvgPool(kernel, stride, pads, ceil, count)
    try:
        graph = graph_of(node("p", op, "x"), shape=(2, *size))
    except ToolflowError:
        return
    for every in (complete_windows, simplify):
        after = equal(graph, every(graph))
        assert not maximum or not any(isinstance(o, MaxPool) and o.ceil_mode for o in ops(after))
    assert complete_windows(complete_windows(graph)) == complete_windows(graph)


def test_shortcut_pieces_merge() -> None:
    graph = graph_of(
        node("a", Shortcut((2, 1)), "x"),
        node("b", Shortcut((1, 2)), "a"),
        node("p", Pad((0, 0, 0, 0), 1, 3), "b"),
        node("q", Pad((0, 0, 0, 0), 0, 2), "p"),
    )
    assert ops(equal(graph, merge_shortcuts(graph))) == [Shortcut((2, 2), 1, 5)]
    pool = graph_of(node("a", AvgPool((1, 1), (2, 2)), "x"), node("b", MaxPool((1, 1), (2, 2)), "a"))
    assert ops(equal(pool, merge_shortcuts(pool))) == [Shortcut((4, 4))]
    both = graph_of(node("p", Pad((1, 1, 0, 0), 2, 0), "x"))
    assert ops(equal(both, merge_shortcuts(both))) == [Pad((1, 1, 0, 0)), Shortcut((1, 1), 2, 0)]
    nothing = graph_of(conv("c", "x"), node("a", MaxPool((1, 1), (1, 1)), "c"))
    assert kinds(equal(nothing, merge_shortcuts(nothing))) == ["conv"]


def test_shortcuts_stay_for_additions_only() -> None:
    added = graph_of(
        conv("c", "x", Conv((2, 2), (1, 1, 1, 1)), 7),
        node("s", Shortcut((2, 2), 1, 2), "x"),
        node("a", Add(), "c", "s"),
    )
    assert kinds(equal(added, express_shortcuts(added))) == ["conv", "shortcut", "add"]
    alone = graph_of(node("s", Shortcut((2, 2), 1, 2), "x"), node("r", MaxPool((2, 2), (1, 1)), "s"))
    assert ops(equal(alone, express_shortcuts(alone))) == [Conv((2, 2)), MaxPool((2, 2), (1, 1))]
    output = graph_of(node("s", Shortcut((2, 3)), "x"))
    assert ops(equal(output, express_shortcuts(output))) == [MaxPool((1, 1), (2, 3))]


# ---- residuals ----------------------------------------------------------------------------


def test_the_later_layer_takes_the_residual() -> None:
    graph = graph_of(conv("c", "x"), conv("d", "x"), node("a", Add(Activation.RELU), "d", "c"), conv("e", "a"))
    after = equal(graph, fuse_residual(graph))
    assert [(each.name, each.inputs) for each in after.nodes] == [("c", ("x",)), ("d", ("x", "c")), ("e", ("d",))]
    assert after.by_name["d"].op == Conv(pads=(1, 1, 1, 1), activation=Activation.RELU)
    swapped = replace(graph, nodes=tuple(replace(n, inputs=n.inputs[::-1]) for n in graph.nodes))
    assert fuse_residual(swapped) == after


def test_a_layer_moves_behind_the_residual() -> None:
    graph = graph_of(
        conv("c", "x"), conv("d", "x"), node("r", MaxPool((1, 1), (1, 1)), "d"), node("a", Add(), "r", "c")
    )
    after = equal(graph, fuse_residual(graph))
    assert [each.name for each in after.nodes] == ["d", "r", "c"]
    assert after.output == "c"


@pytest.mark.parametrize(
    "nodes",
    [
        (conv("c", "x"), node("a", Add(), "c", "c")),
        (conv("c", "x"), node("a", Add(), "c", "x"), node("k", Concat(), "a", "c")),
        (conv("c", "x", Conv(pads=(1, 1, 1, 1), activation=Activation.RELU)), node("a", Add(), "c", "x")),
        (node("m", MaxPool((1, 1), (1, 1)), "x"), node("a", Add(), "m", "x")),
        (node("a", Add(), "x", "x"),),
    ],
)
def test_no_layer_takes_a_residual_where_its_own_value_is_needed(nodes: tuple[Node, ...]) -> None:
    graph = graph_of(*nodes)
    assert equal(graph, fuse_residual(graph)) == graph


def test_a_chain_of_additions() -> None:
    graph = graph_of(
        conv("c", "x"),
        conv("d", "x"),
        conv("e", "x"),
        node("a", Add(), "c", "d"),
        node("b", Add(Activation.RELU), "a", "e"),
    )
    after = equal(graph, fuse_residual(graph))
    assert [(each.name, each.inputs) for each in after.nodes] == [("c", ("x",)), ("d", ("x", "c")), ("e", ("x", "d"))]


# ---- all together -------------------------------------------------------------------------

SINGLE: list[Operator] = [
    Relu(),
    Relu(6.0),
    MaxPool((2, 2), (1, 1)),
    MaxPool((3, 2), (2, 2), (1, 0, 1, 1), ceil_mode=True),
    MaxPool((1, 1), (2, 2)),
    AvgPool((2, 2), (1, 1)),
    AvgPool((2, 2), (2, 2), (1, 1, 0, 0), count_include_pad=False),
    Pad((1, 0, 0, 1)),
    Pad((0, 0, 0, 0), 0, 2),
    Shortcut((2, 1)),
    BatchNorm(),
    Conv(),
]


@settings(max_examples=80)
@given(data=st.data())
def test_random_networks_keep_their_values(data: st.DataObject) -> None:
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {"x": (CHANNELS, 9, 8)}
    for i in range(data.draw(st.integers(1, 9))):
        source = data.draw(st.sampled_from(sorted(shapes)[-3:]))
        channels = shapes[source][0]
        partners = [t for t in shapes if shapes[t] == shapes[source]]
        op = data.draw(st.sampled_from([*SINGLE, Add(), Concat()]))
        name = f"t{i:02}"
        match op:
            case Conv():
                made = conv_node(name, Conv(pads=(1, 1, 1, 1)), source, (channels, channels, 3, 3), seed=i)
            case BatchNorm():
                made = norm(name, source, channels)
            case Add() | Concat():
                made = node(name, op, source, data.draw(st.sampled_from(partners)))
            case _:
                made = node(name, op, source)
        try:
            shape = made.op.infer_shape([shapes[t] for t in made.inputs], made.weights)
        except ValueError:
            continue
        nodes.append(made)
        shapes[name] = shape
    if not nodes:
        return
    whole = Graph("random", "x", shapes["x"], tuple(nodes), nodes[-1].name)
    needed = {whole.output}
    for each in reversed(nodes):
        if each.name in needed:
            needed.update(each.inputs)
    graph = replace(whole, nodes=tuple(each for each in nodes if each.name in needed))
    after = equal(graph, simplify(graph))
    assert all(isinstance(op, FINAL) for op in ops(after))
    fused = equal(graph, fuse_residual(after))
    assert kinds(simplify(after)) == kinds(after)
    assert all(len(each.inputs) == 2 for each in fused.nodes if isinstance(each.op, Add))


def test_the_pipeline_says_why() -> None:
    assert all(step.does and step.order for step in PIPELINE)
    with pytest.raises(ToolflowError, match="is made by no node"):
        simplify(replace(graph_of(conv("c", "x")), output="z"))
