"""`check` reports for each node how it runs, or why it does not."""

from __future__ import annotations

import pytest

from tests.unit.importers.import_tools import conv_node, norm_weights
from toolflow.ir.graph import Graph, Node
from toolflow.operators import Add, AvgPool, BatchNorm, Concat, Conv, Flatten, Linear, MaxPool, Pad, Relu, Shortcut
from toolflow.passes.check import Status, check


def report(*nodes: Node, shape: tuple[int, ...] = (4, 8, 8)) -> dict[str, tuple[Status, str]]:
    graph = Graph("test", "x", shape, nodes, nodes[-1].name)
    return {line.node: (line.status, line.reason) for line in check(graph)}


def test_a_residual_network() -> None:
    found = report(
        Node("pad", Pad((1, 1, 1, 1)), ("x",)),
        conv_node("c", Conv(), "pad", (4, 4, 3, 3)),
        Node("n", BatchNorm(), ("c",), norm_weights(4)),
        Node("s", Shortcut((1, 1), 0, 0), ("x",)),
        Node("a", Add(), ("n", "s")),
        Node("r", Relu(), ("a",)),
        Node("f", Flatten(), ("r",)),
        conv_node("l", Linear(), "f", (3, 256)),
    )
    assert found == {
        "pad": (Status.FOLDED, "folded into the operator that reads it"),
        "c": (Status.ENGINE, "as it is"),
        "n": (Status.FOLDED, "folded into the weights of the layer next to it"),
        "s": (Status.FOLDED, "merged into a sub-sampling shortcut"),
        "a": (Status.FOLDED, "added by the layer before it, with one rounding"),
        "r": (Status.FOLDED, "applied by the operator before it"),
        "f": (Status.ENGINE, "no cost: only addresses change"),
        "l": (Status.ENGINE, "as it is"),
    }


def test_what_stands_alone_runs_as_another_operator() -> None:
    found = report(
        Node("m", MaxPool((2, 2), (1, 1)), ("x",)),
        Node("n", BatchNorm(), ("m",), norm_weights(4)),
        Node("s", Shortcut((2, 2)), ("n",)),
        Node("k", Concat(), ("s", "s")),
        Node("r", Relu(), ("k",)),
        Node("o", Concat(), ("k", "r")),
    )
    assert found["n"] == (Status.ENGINE, "as conv")
    assert found["s"] == (Status.ENGINE, "as max_pool")
    assert found["r"] == (Status.ENGINE, "as conv")


def test_the_normalisation_of_the_image_is_part_of_the_input_table() -> None:
    found = report(
        Node("mean", BatchNorm(), ("x",), norm_weights(4)),
        Node("std", BatchNorm(), ("mean",), norm_weights(4)),
        conv_node("k", Conv(), "std", (4, 4, 3, 3)),
    )
    assert found["mean"] == found["std"] == (Status.FOLDED, "part of the input table")
    assert found["k"] == (Status.ENGINE, "as it is")


@pytest.mark.parametrize(
    "op", [AvgPool((3, 3), (2, 2), (1, 1, 1, 1), count_include_pad=False), AvgPool((3, 3), (2, 2), ceil_mode=True)]
)
def test_an_average_with_several_divisors_runs(op: AvgPool) -> None:
    found = report(Node("p", op, ("x",)))
    assert found["p"][0] is Status.ENGINE
    assert found["p"][1].startswith("as it is, the edges once more with their own divisors")


@pytest.mark.parametrize(
    ("nodes", "shape", "text"),
    [
        (
            [Node("p", AvgPool((3, 3), (2, 2), (3, 3, 0, 0), ceil_mode=True), ("x",))],
            (4, 9, 9),
            "its windows have several divisors, and some lie in the padding alone: pad by less than the kernel",
        ),
        ([Node("p", MaxPool((256, 1), (1, 1)), ("x",))], (4, 300, 2), "the kernel must be at most 255, not (256, 1)"),
        ([Node("p", MaxPool((2, 2), (300, 1)), ("x",))], (4, 8, 8), "the stride must be at most 255"),
        ([conv_node("p", Conv(pads=(0, 256, 0, 0)), "x", (4, 4, 1, 1))], (4, 8, 8), "the padding must be at most 255"),
        ([conv_node("p", Conv(dilation=(1, 256)), "x", (4, 4, 1, 1))], (4, 8, 8), "the dilation must be at most 255"),
        ([Node("p", MaxPool((1, 1), (1, 2)), ("x",))], (4, 70_000, 2), "must be at most 65535"),
        (
            [Node("f", Flatten(), ("x",)), conv_node("p", Linear(), "f", (2, 1024))],
            (1, 256, 4),
            "the flattened map must be at most 255, not (256, 4)",
        ),
        (
            [Node("f", Flatten(), ("x",)), Node("g", Flatten(), ("x",)), Node("p", Concat(), ("f", "g"))],
            (4, 8, 8),
            "it joins the flattened maps ['f', 'g']: concatenate before flattening",
        ),
        (
            [Node("f", Flatten(), ("x",)), Node("g", Flatten(), ("x",)), Node("p", Add(), ("f", "g"))],
            (4, 8, 8),
            "it adds the flattened maps ['f', 'g']: add maps of one shape before flattening",
        ),
        (
            [
                Node("f", Flatten(), ("x",)),
                conv_node("p", Linear(), "f", (256, 256)),
                Node("a", Add(), ("p", "f")),
            ],
            (4, 8, 8),
            "it adds the flattened maps ['f']: add maps of one shape before flattening",
        ),
    ],
)
def test_what_imports_but_does_not_run(nodes: list[Node], shape: tuple[int, ...], text: str) -> None:
    status, reason = report(*nodes, shape=shape)["p"]
    assert status is Status.IMPORTS_ONLY
    assert text in reason


def test_what_a_node_needs() -> None:
    assert report(Node("p", MaxPool((2, 2), (2, 2)), ("x",)))["p"] == (
        Status.ENGINE,
        "as it is; needs activations as wide as the image's integers",
    )
    nodes = [Node("f", Flatten(), ("x",)), conv_node("l", Linear(), "f", (2, 70_000))]
    assert report(*nodes, shape=(70, 50, 20))["l"] == (Status.ENGINE, "as it is; needs 2 or more slots")
