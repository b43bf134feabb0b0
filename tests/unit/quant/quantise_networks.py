"""Small float networks with seeded random weights. Together they hold every operator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant.config import Normalisation
from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Operator
from toolflow.operators import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Pad,
    Shortcut,
)

NORMALISATION = Normalisation(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
RELU, RELU6 = Activation.RELU, Activation.RELU6
SAME = (1, 1, 1, 1)


def images(count: int, seed: int = 0, size: int = 12, channels: int = 3) -> npt.NDArray[np.uint8]:
    """Return a black image, a white image, and smooth random images."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 4, size // 4, channels))
    out = np.clip(np.kron(coarse, np.ones((1, 4, 4, 1))) + rng.normal(0, 30, (count, size, size, channels)), 0, 255)
    out[0], out[1] = 0, 255
    return out.astype(np.uint8)


class Builder:
    """Collects nodes."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = []

    def conv(self, name: str, inputs: str, shape: tuple[int, int, int, int], op: Conv | None = None) -> str:
        fan_in = int(np.prod(shape[1:]))
        weight = self.rng.normal(0, np.sqrt(2 / fan_in), shape)
        bias = self.rng.normal(0, 0.2, shape[0])
        self.nodes.append(Node(name, op or Conv(), (inputs,), {"weight": weight, "bias": bias}))
        return name

    def linear(self, name: str, inputs: str, shape: tuple[int, int]) -> str:
        weight, bias = self.rng.normal(0, np.sqrt(1 / shape[1]), shape), self.rng.normal(0, 0.2, shape[0])
        self.nodes.append(Node(name, Linear(), (inputs,), {"weight": weight, "bias": bias}))
        return name

    def node(self, name: str, op: Operator, *inputs: str) -> str:
        self.nodes.append(Node(name, op, inputs))
        return name

    def graph(self, output: str, name: str = "network") -> Graph:
        return Graph(name, "image", (3, 12, 12), tuple(self.nodes), output)


def residual_network() -> Graph:
    """Residual, sub-sampling shortcut, an addition that no layer can host, pools, global average, linear."""
    b = Builder()
    x = b.conv("stem", "image", (8, 3, 3, 3), Conv(activation=RELU, pads=SAME))
    y = b.conv("a1", x, (8, 8, 3, 3), Conv(activation=RELU, pads=SAME))
    y = b.conv("a2", y, (8, 8, 3, 3), Conv(pads=SAME))
    x = b.node("a", Add(RELU), y, x)
    y = b.conv("b1", x, (16, 8, 3, 3), Conv(stride=(2, 2), activation=RELU, pads=SAME))
    y = b.conv("b2", y, (16, 16, 3, 3), Conv(pads=SAME))
    shortcut = b.node("b0", Shortcut((2, 2), 4, 4), x)
    x = b.node("b", Add(RELU), y, shortcut)
    pooled = b.node("c0", MaxPool((3, 3), (1, 1), (1, 1, 1, 1)), x)
    x = b.node("c", Add(), pooled, x)
    x = b.node("pool", AvgPool((6, 6), (6, 6)), x)
    return b.graph(b.linear("linear", b.node("flat", Flatten(), x), (5, 16)))


def wide_network() -> Graph:
    """Concat of unlike ranges and signs, of the image and of one tensor twice, and everything about windows.

    ReLU6, depthwise, dilation, asymmetric and ceil-mode windows, a pad, and an output that is a pooled map.
    """
    b = Builder(2)
    x = b.conv("stem", "image", (8, 3, 3, 3), Conv(pads=(0, 1, 2, 1), activation=RELU6))
    left = b.conv("left", x, (4, 8, 1, 1), Conv(activation=RELU))
    right = b.conv("right", x, (6, 8, 3, 3), Conv(pads=(2, 2, 2, 2), dilation=(2, 2)))
    both = b.node("both", Concat(), left, right, left)
    seen = b.node("seen", Concat(), both, "image")
    deep = b.conv("deep", seen, (17, 1, 3, 3), Conv(stride=(2, 2), pads=(0, 0, 1, 1), groups=17, activation=RELU6))
    smooth = b.node("smooth", AvgPool((3, 3), (1, 1), SAME, count_include_pad=False), deep)
    down = b.node("down", MaxPool((3, 3), (2, 2), ceil_mode=True), smooth)
    padded = b.node("padded", Pad((1, 0, 0, 1)), down)
    last = b.conv("last", padded, (6, 17, 2, 2), Conv(activation=RELU))
    return b.graph(b.node("flat", Flatten(), b.node("average", AvgPool((3, 3), (3, 3)), last)), "wide")


def image_network() -> Graph:
    """Return a network in which a layer, a residual, pools, a pad and a shortcut read the image."""
    b = Builder(3)
    whole = b.node("sum", Add(), b.conv("same", "image", (3, 3, 3, 3), Conv(pads=SAME)), "image")
    pooled = b.node("both", Add(RELU), b.node("top", MaxPool((2, 2), (2, 2)), "image"),
                    b.node("mean", AvgPool((2, 2), (2, 2)), "image"))  # fmt: skip
    wide = b.conv("wide", pooled, (6, 3, 3, 3), Conv(pads=SAME))
    joined = b.node("joined", Add(RELU), wide, b.node("small", Shortcut((2, 2), 1, 2), "image"))
    coarse = b.node("coarse", MaxPool((7, 7), (7, 7)), b.node("framed", Pad((1, 1, 1, 1)), "image"))
    parts = (
        b.node("coarse_flat", Flatten(), coarse),
        b.node("joined_flat", Flatten(), b.node("joined_mean", AvgPool((6, 6), (6, 6)), joined)),
        b.node("whole_flat", Flatten(), b.conv("last", whole, (2, 3, 12, 12))),
    )
    return b.graph(b.linear("linear", b.node("all", Concat(), *parts), (5, 20)), "image")


def plain_network() -> Graph:
    """Two blocks of two convolutions between pools."""
    b = Builder(5)
    x = b.conv("a1", "image", (16, 3, 3, 3), Conv(activation=RELU, pads=SAME))
    x = b.node("pool_a", MaxPool((2, 2), (2, 2)), b.conv("a2", x, (16, 16, 3, 3), Conv(activation=RELU, pads=SAME)))
    x = b.conv("b1", x, (24, 16, 3, 3), Conv(activation=RELU, pads=SAME))
    x = b.node("pool_b", MaxPool((2, 2), (2, 2)), b.conv("b2", x, (24, 24, 3, 3), Conv(activation=RELU, pads=SAME)))
    return b.graph(b.linear("linear", b.node("flat", Flatten(), x), (5, 24 * 9)))


NETWORKS = {"residual": residual_network, "wide": wide_network, "image": image_network}
