"""Every operator's integer reference against naive loops over Python integers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.conformance.cases import ALL_CASES, sweep_of
from toolflow.engine.config import EngineConfig
from toolflow.interpreter.run import run
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, verify_quantised
from toolflow.numerics.srbs import Pattern, obeys, shares_of
from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import Add, AvgPool, Concat, Conv, Flatten, Linear, MaxPool, Pad, Shortcut, WinogradConv

Map = list[list[list[int]]]  # [channel][row][column]


def requantised(node: QuantisedNode, k: int, acc: int, residual: int | None = None) -> int:
    """Apply the node's rule to one accumulator with exact fractions."""
    rule = node.requantise
    assert rule is not None

    def of(values: np.ndarray) -> int:
        return int(values[min(k, len(values) - 1)])

    total = (acc + of(rule.bias)) * of(rule.multiplier)
    if residual is not None:
        assert rule.residual_multiplier is not None
        left = 0 if rule.residual_shift is None else of(rule.residual_shift)
        total += residual * of(rule.residual_multiplier) * 2**left
    return min(max(round(Fraction(total, 1 << of(rule.shift))), rule.lower), rule.upper)


def shape_of(x: Map) -> tuple[int, int, int]:
    """Return (C, H, W)."""
    return len(x), len(x[0]), len(x[0][0])


def element(x: Map, c: int, y: int, z: int) -> int:
    """Return an element, 0 outside the map."""
    _, height, width = shape_of(x)
    return x[c][y][z] if 0 <= y < height and 0 <= z < width else 0


def conv(node: QuantisedNode, inputs: list[Map], shape: tuple[int, ...]) -> Map:
    """Seven nested loops."""
    op, x = node.op, inputs[0]
    assert isinstance(op, Conv)
    weight = node.weights["weight"]
    outputs, depth, kernel_h, kernel_w = weight.shape
    out = [[[0] * shape[2] for _ in range(shape[1])] for _ in range(outputs)]
    for k, y, z in product(range(outputs), range(shape[1]), range(shape[2])):
        first = k // (outputs // op.groups) * depth
        acc = 0
        for c, i, j in product(range(depth), range(kernel_h), range(kernel_w)):
            row = y * op.stride[0] + i * op.dilation[0] - op.pads[0]
            column = z * op.stride[1] + j * op.dilation[1] - op.pads[1]
            acc += int(weight[k, c, i, j]) * element(x, first + c, row, column)
        out[k][y][z] = requantised(node, k, acc, inputs[1][k][y][z] if len(inputs) == 2 else None)
    return out


def winograd(node: QuantisedNode, inputs: list[Map], shape: tuple[int, ...]) -> Map:
    """Each output from the transformed tile that it lies in, number by number."""
    op, x = node.op, inputs[0]
    assert isinstance(op, WinogradConv)
    form, weight, exponent = WINOGRAD[op.tile], node.weights["weight"], node.weights["exponent"]
    b, a, t = form.input.tolist(), form.output.tolist(), range(form.taps)
    depth, _height, _width = shape_of(x)
    sums: dict[tuple[int, int], list[list[list[int]]]] = {}
    for ty, tx in product(range(0, shape[1], op.tile), range(0, shape[2], op.tile)):
        tile = [[[element(x, c, ty + r - op.pads[0], tx + s - op.pads[1]) for s in t] for r in t] for c in range(depth)]
        half = [[[sum(b[i][r] * d[r][s] for r in t) for s in t] for i in t] for d in tile]
        v = [[[sum(b[j][s] * d[i][s] for s in t) for j in t] for i in t] for d in half]
        sums[ty, tx] = [
            [
                [sum(int(kernel[c, i, j]) * v[c][i][j] for c in range(depth)) << int(exponent[i, j]) for j in t]
                for i in t
            ]
            for kernel in weight
        ]
    out = [[[0] * shape[2] for _ in range(shape[1])] for _ in range(len(weight))]
    for k, y, z in product(range(len(weight)), range(shape[1]), range(shape[2])):
        mine = sums[y - y % op.tile, z - z % op.tile][k]
        acc = sum(a[y % op.tile][i] * a[z % op.tile][j] * mine[i][j] for i in t for j in t)
        out[k][y][z] = requantised(node, k, acc, inputs[1][k][y][z] if len(inputs) == 2 else None)
    return out


def linear(node: QuantisedNode, inputs: list[Map], shape: tuple[int, ...]) -> Map:
    """One dot product per output."""
    flat = [channel[0][0] for channel in inputs[0]]
    weight = node.weights["weight"].tolist()
    return [
        [[requantised(node, k, sum(w * a for w, a in zip(row, flat, strict=True)))]] for k, row in enumerate(weight)
    ]


def pool(node: QuantisedNode, inputs: list[Map], shape: tuple[int, ...]) -> Map:
    """Walk every window of max or average pooling; each divisor of an average has its own rules, in ascending order."""
    op, x = node.op, inputs[0]
    assert isinstance(op, MaxPool | AvgPool)
    dilation = op.dilation if isinstance(op, MaxPool) else (1, 1)
    channels, height, width = shape_of(x)
    out = [[[0] * shape[2] for _ in range(shape[1])] for _ in range(channels)]
    top, left, bottom, right = op.pads
    found = {}
    for c, y, z in product(range(channels), range(shape[1]), range(shape[2])):
        window = []
        counted = 0
        for i, j in product(range(op.kernel[0]), range(op.kernel[1])):
            row = y * op.stride[0] + i * dilation[0] - op.pads[0]
            column = z * op.stride[1] + j * dilation[1] - op.pads[1]
            if 0 <= row < height and 0 <= column < width:
                window.append(x[c][row][column])
            counted += -top <= row < height + bottom and -left <= column < width + right
        if isinstance(op, MaxPool):
            out[c][y][z] = max(window)
        else:
            divisor = op.divisor_override or (counted if op.count_include_pad else len(window))
            found[c, y, z] = sum(window), divisor
    divisors = sorted({divisor for _, divisor in found.values()})
    for (c, y, z), (total, divisor) in found.items():
        out[c][y][z] = requantised(node, divisors.index(divisor) * channels + c, total)
    return out


def add(node: QuantisedNode, inputs: list[Map], shape: tuple[int, ...]) -> Map:
    """Element by element."""
    a, b = inputs
    return [
        [[requantised(node, c, a[c][y][z], b[c][y][z]) for z in range(shape[2])] for y in range(shape[1])]
        for c in range(shape[0])
    ]


def flatten(node: QuantisedNode, inputs: list[Map], shape: tuple[int, ...]) -> Map:
    """Channels, rows, columns."""
    return [[[value]] for channel in inputs[0] for row in channel for value in row]


def shortcut(node: QuantisedNode, inputs: list[Map], shape: tuple[int, ...]) -> Map:
    """Sub-sample and pad the channels."""
    op, x = node.op, inputs[0]
    assert isinstance(op, Shortcut)
    empty = [[0] * shape[2] for _ in range(shape[1])]
    kept = [[row[:: op.stride[1]] for row in channel[:: op.stride[0]]] for channel in x]
    return [empty] * op.before + kept + [empty] * op.after


def concat(node: QuantisedNode, inputs: list[Map], shape: tuple[int, ...]) -> Map:
    """Put the operands side by side."""
    return [channel for x in inputs for channel in x]


def pad(node: QuantisedNode, inputs: list[Map], shape: tuple[int, ...]) -> Map:
    """Write the map into zeros."""
    op, x = node.op, inputs[0]
    assert isinstance(op, Pad)
    out = [[[0] * shape[2] for _ in range(shape[1])] for _ in range(shape[0])]
    channels, height, width = shape_of(x)
    for c, y, z in product(range(channels), range(height), range(width)):
        out[op.channels_before + c][op.pads[0] + y][op.pads[1] + z] = x[c][y][z]
    return out


NAIVE: dict[type, Callable[[QuantisedNode, list[Map], tuple[int, ...]], Map]] = {
    Add: add,
    AvgPool: pool,
    Concat: concat,
    Conv: conv,
    Flatten: flatten,
    Linear: linear,
    MaxPool: pool,
    Pad: pad,
    Shortcut: shortcut,
    WinogradConv: winograd,
}


def naive(graph: QuantisedGraph, image: np.ndarray) -> dict[str, Map]:
    """Run a graph on one image (H, W, C) with Python integers only."""
    channels = image.shape[2]
    tensors: dict[str, Any] = {
        graph.input_name: [
            [[int(graph.input_table[c, v]) for v in row] for row in image[:, :, c]] for c in range(channels)
        ]
    }
    for node in graph.nodes:
        tensors[node.name] = NAIVE[type(node.op)](node, [tensors[t] for t in node.inputs], graph.shapes[node.name])
    return tensors


SWEEP = sweep_of(EngineConfig(sub_row=4, tile=4))


@pytest.mark.parametrize(("bits", "extreme"), [(8, False), (8, True), (3, False)])
@pytest.mark.parametrize("name", [*ALL_CASES, *SWEEP])
def test_reference_equals_naive_loops(name: str, bits: int, extreme: bool) -> None:
    """Every tensor of every case."""
    builder, output = (ALL_CASES | SWEEP)[name].build(bits, bits, 11, extreme)
    graph = builder.build(output)
    verify_quantised(graph)
    images = builder.images(1)
    tensors = run(graph, images, keep=list(graph.shapes))
    expected = naive(graph, images[0])
    for tensor, values in tensors.items():
        np.testing.assert_array_equal(values[0].reshape(-1), np.array(expected[tensor]).reshape(-1), err_msg=tensor)


def test_result_does_not_depend_on_chunks() -> None:
    """Images are independent: one by one gives the same as all together."""
    builder, output = ALL_CASES["add/residual,8ch,signed=False"].build(8, 8, 3, False)
    graph = builder.build(output)
    images = builder.images(19)
    together = run(graph, images)[output]
    single = np.concatenate([run(graph, images[i : i + 1])[output] for i in range(19)])
    np.testing.assert_array_equal(together, single)


def test_wrong_images() -> None:
    """Shape and type of the images are checked."""
    builder, output = ALL_CASES["linear/(2,1,1)->()->3"].build(8, 8, 3, False)
    graph = builder.build(output)
    with pytest.raises(ToolflowError, match=r"images must be uint8 of shape \(N, 1, 1, 2\), not float64"):
        run(graph, np.zeros((1, 1, 1, 2)))  # type: ignore[arg-type]
    with pytest.raises(ToolflowError, match="tensors to keep must be in the graph"):
        run(graph, builder.images(1), keep=["nonsense"])


def test_the_sweep_is_complete() -> None:
    """Its networks hold each mode with each n and each width of weights, and the weights have that n and width."""
    found = set()
    for case in SWEEP.values():
        builder, output = case.build(8, 8, 3, False)
        for node in builder.build(output).nodes:
            if node.name.count("_") == 2 and isinstance(node.op, Conv | WinogradConv):
                mode, kept, bits = node.name.split("_")
                weight = node.weights["weight"]
                assert weight.shape[2:] == {"3x3": (3, 3), "1x1": (1, 1), "F2": (4, 4), "F4": (6, 6)}[mode]
                shared = mode.startswith("F")
                assert obeys(weight, Pattern(int(kept) or 4, 4), shared)
                shares = shares_of(weight, 4)
                most = shares.mean() if shared else shares.max()  # values of few bits may be 0
                assert (int(kept) or 4) - 1 < most
                assert np.abs(weight).max() < 1 << (int(bits[1:]) - 1)
                found.add((mode, kept, bits))
    assert len(found) == 4 * 5 * 7
