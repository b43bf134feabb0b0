"""Shape rules of the operators, against PyTorch over many attributes, and the text of their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as fn

from toolflow.ir.operator import Operator, Shape
from toolflow.operators import Add, AvgPool, BatchNorm, Concat, Conv, Flatten, Linear, MaxPool, Pad, Relu, Shortcut

PAIR = st.tuples(st.integers(1, 4), st.integers(1, 4))
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def inferred(op: Operator, *shapes: Shape, **weights: Any) -> Shape | None:
    try:
        return op.infer_shape(shapes, weights)
    except ValueError:
        return None


@settings(max_examples=300)
@given(size=SIZES, kernel=PAIR, stride=PAIR, dilation=PAIR, data=st.data(), ceil=st.booleans(), maximum=st.booleans())
def test_pools_have_pytorchs_shapes(
    size: Any, kernel: Any, stride: Any, dilation: Any, data: st.DataObject, ceil: bool, maximum: bool
) -> None:
    pads = data.draw(st.tuples(*(st.integers(0, k // 2) for k in kernel)))
    x = torch.zeros(1, 2, *size)
    if maximum:
        op: Operator = MaxPool(kernel, stride, (*pads, *pads), dilation, ceil)
    else:
        op = AvgPool(kernel, stride, (*pads, *pads), ceil)
    try:
        if maximum:
            wanted = tuple(fn.max_pool2d(x, kernel, stride, pads, dilation, ceil).shape[1:])
        else:
            wanted = tuple(fn.avg_pool2d(x, kernel, stride, pads, ceil).shape[1:])
    except RuntimeError:
        wanted = None
    found = inferred(op, (2, *size))
    # PyTorch allows a window in the padding alone; its maximum is minus infinity, which no integer is.
    assert found == wanted or (found is None and maximum and _minus_infinity(x, kernel, stride, pads, dilation, ceil))


def _minus_infinity(x: torch.Tensor, *attributes: Any) -> bool:
    return bool(fn.max_pool2d(x, *attributes).isinf().any())


@settings(max_examples=200)
@given(size=SIZES, kernel=PAIR, stride=PAIR, dilation=PAIR, pads=PAIR, groups=st.sampled_from([1, 2, 4]))
def test_convolutions_have_pytorchs_shapes(
    size: Any, kernel: Any, stride: Any, dilation: Any, pads: Any, groups: int
) -> None:
    weight = torch.zeros(4, 4 // groups, *kernel)
    try:
        y = fn.conv2d(torch.zeros(1, 4, *size), weight, None, stride, pads, dilation, groups)
        wanted = tuple(y.shape[1:])
    except RuntimeError:
        wanted = None
    assert inferred(Conv(stride, (*pads, *pads), dilation, groups), (4, *size), weight=weight.numpy()) == wanted


@settings(max_examples=200)
@given(size=SIZES, kernel=PAIR, stride=PAIR, data=st.data(), ceil=st.booleans(), count=st.booleans())
def test_divisors_are_pytorchs(
    size: Any, kernel: Any, stride: Any, data: st.DataObject, ceil: bool, count: bool
) -> None:
    pads = data.draw(st.tuples(*(st.integers(0, k // 2) for k in kernel)))
    op = AvgPool(kernel, stride, (*pads, *pads), ceil, count)
    if inferred(op, (1, *size)) is None:
        return
    x = torch.ones(1, 1, *size, dtype=torch.float64)
    sums = fn.avg_pool2d(x, kernel, stride, pads, ceil, count, divisor_override=1)
    means = fn.avg_pool2d(x, kernel, stride, pads, ceil, count)
    np.testing.assert_allclose(sums[0, 0] / means[0, 0], op.divisors((1, *size)))


W33, B4 = np.zeros((4, 3, 3, 3)), np.zeros(4)


@pytest.mark.parametrize(
    ("op", "shapes", "weights", "text"),
    [
        (Conv(), [(3, 8)], {"weight": W33}, r"must be a feature map \(C, H, W\), not \(3, 8\)"),
        (Conv(), [(3, 0, 8)], {"weight": W33}, "every dimension of the input must be at least 1"),
        (Conv(), [], {"weight": W33}, "number of inputs must be 1 or 2, not 0"),
        (Conv(), [(3, 8, 8)], {"weight": np.zeros((4, 3))}, r"weight must have the shape \(K, C/groups, kh, kw\)"),
        (
            Conv(groups=2),
            [(3, 8, 8)],
            {"weight": W33},
            "divide the 3 input and 4 output channels, not be 2",
        ),
        (Conv(groups=0), [(3, 8, 8)], {"weight": W33}, "groups must divide"),
        (Conv(), [(5, 8, 8)], {"weight": W33}, "weight must have 5 channels per group, not 3"),
        (Conv(), [(3, 8, 8)], {"weight": W33, "bias": np.zeros(3)}, r"bias must have the shape \(4,\), not \(3,\)"),
        (Conv(stride=(0, 1)), [(3, 8, 8)], {"weight": W33}, r"stride must be at least 1, not \(0, 1\)"),
        (Conv(pads=(0, -1, 0, 0)), [(3, 8, 8)], {"weight": W33}, r"pads must be at least 0, not \(0, -1, 0, 0\)"),
        (Conv(dilation=(4, 1)), [(3, 8, 8)], {"weight": W33}, "at least as large as the dilated kernel, not 8 < 9"),
        (Conv(), [(3, 8, 8), (4, 8, 8)], {"weight": W33}, r"residual must have the output's shape \(4, 6, 6\)"),
        (Linear(), [(3, 1, 1)], {"weight": np.zeros((4, 3))}, r"flat vector \(F,\), not \(3, 1, 1\); flatten it first"),
        (Linear(), [(3,)], {"weight": np.zeros((4, 2))}, r"weight must have the shape \(K, 3\), not \(4, 2\)"),
        (Linear(), [(3,)], {"weight": np.zeros((4, 3)), "bias": np.zeros(1)}, r"bias must have the shape \(4,\)"),
        (Linear(), [(3,), (3,)], {"weight": np.zeros((4, 3))}, r"residual must have the output's shape \(4,\)"),
        (MaxPool((2, 2), (3, 3), (2, 2, 0, 0)), [(1, 4, 4)], {}, "every window must touch the input"),
        (AvgPool((2, 2), (2, 2), (2, 2, 0, 0), count_include_pad=False), [(1, 4, 4)], {}, "every window must touch"),
        (AvgPool((2, 2), (2, 2), divisor_override=0), [(1, 4, 4)], {}, "divisor_override must be at least 1, not 0"),
        (Add(), [(1, 4, 4), (1, 4, 5)], {}, r"both operands must have one shape, not \(1, 4, 4\) and \(1, 4, 5\)"),
        (Concat(), [], {}, "number of inputs must be at least 1"),
        (Concat(), [(1, 4, 4), (1, 4)], {}, "must have one height and width"),
        (Shortcut((0, 1)), [(1, 4, 4)], {}, "stride must be at least 1"),
        (Shortcut((1, 1), -1), [(1, 4, 4)], {}, r"channel padding must be at least 0, not \(-1, 0\)"),
        (Pad((0, 0, 0, -2)), [(1, 4, 4)], {}, "pads must be at least 0"),
        (Relu(5.0), [(1, 4, 4)], {}, "upper must be None or 6.0, not 5.0"),
        (BatchNorm(), [(3, 4, 4)], dict.fromkeys(("scale", "bias", "mean", "variance"), B4), r"\(3,\), not \(4,\)"),
        (BatchNorm(0.0), [(4, 1, 1)], dict.fromkeys(("scale", "bias", "mean", "variance"), B4), "must be positive"),
    ],
)
def test_errors(op: Operator, shapes: list[Shape], weights: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        op.infer_shape(shapes, weights)


def test_the_plain_rules() -> None:
    assert Flatten().infer_shape([(3, 4, 5)], {}) == (60,)
    assert Flatten().infer_shape([(7,)], {}) == (7,)
    assert Concat().infer_shape([(3, 4, 5), (2, 4, 5)], {}) == (5, 4, 5)
    assert Concat().infer_shape([(3,), (2,)], {}) == (5,)
    assert Shortcut((2, 3), 1, 2).infer_shape([(3, 5, 7)], {}) == (6, 3, 3)
    assert Pad((1, 2, 3, 4), 5, 6).infer_shape([(3, 5, 7)], {}) == (14, 9, 13)
    assert Linear().infer_shape([(3,), (4,)], {"weight": np.zeros((4, 3))}) == (4,)
    assert AvgPool((7, 7), (7, 7)).infer_shape([(3, 7, 7)], {}) == (3, 1, 1)
