"""Winograd convolution in integers: against direct convolution, and the widths that it needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolflow.ir.quantised import QuantisedNode, TensorType
from toolflow.numerics.types import IntegerType
from toolflow.numerics.winograd import WINOGRAD, output_bits, transformed_type
from toolflow.operators import Conv, WinogradConv
from toolflow.operators.conv.reference import accumulate as direct
from toolflow.operators.winograd.reference import accumulate

SCALE = {2: 4, 4: 576}
# U and V of 8-, 6- and 4-bit operands: (tile, bits, signed) -> bits of V
TRANSFORMED = {
    (2, 8, True): 10, (2, 8, False): 11, (4, 8, True): 15, (4, 8, False): 16,
    (2, 6, True): 8, (2, 6, False): 9, (4, 6, True): 13, (4, 6, False): 14,
    (2, 4, True): 6, (2, 4, False): 7, (4, 4, True): 11, (4, 4, False): 11,
}  # fmt: skip


@st.composite
def problems(draw: st.DrawFn) -> tuple[int, tuple[int, int, int, int], IntegerType, np.ndarray, np.ndarray]:
    """Return tile, pads, the input's type, an input (N, H, W, C), all extremes or not, and a kernel (K, C, 3, 3)."""
    tile = draw(st.sampled_from([2, 4]))
    pads = tuple(draw(st.integers(0, 3)) for _ in range(4))
    height, width = draw(st.integers(3, 11)), draw(st.integers(3, 9))
    kind = IntegerType(draw(st.integers(2, 8)), draw(st.booleans()))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    extreme = draw(st.booleans())
    shape, kernel = (2, height, width, draw(st.integers(1, 9))), (draw(st.integers(1, 5)),)
    if extreme:
        x = rng.choice([kind.lower, kind.upper], shape)
        weight = rng.choice([-127, 127], (*kernel, shape[3], 3, 3))
    else:
        x = rng.integers(kind.lower, kind.upper + 1, shape)
        weight = rng.integers(-127, 128, (*kernel, shape[3], 3, 3))
    return tile, pads, kind, x, weight  # type: ignore[return-value]


@settings(max_examples=60, deadline=None)
@given(problems())
def test_exact_weights_give_multiples_of_the_direct_sums(problem) -> None:  # type: ignore[no-untyped-def]
    """With U = the exact transform of a kernel, Y is 4 or 576 times the direct accumulator, everywhere."""
    tile, pads, kind, x, weight = problem
    form = WINOGRAD[tile]
    types = {"x": TensorType(kind, 1.0)}
    plain = QuantisedNode("d", Conv(pads=pads), ("x",), {"weight": weight})
    exponent = np.zeros((form.taps, form.taps), dtype=np.int64)
    exact = np.einsum("ya,kcab,xb->kcyx", form.weight, weight, form.weight)
    weights = {"weight": exact, "exponent": exponent}
    node = QuantisedNode("w", WinogradConv(tile, pads), ("x",), weights)
    found = accumulate(node, x.astype(np.float32), types)
    assert (found == SCALE[tile] * direct(plain, x.astype(np.float32), types)).all()


@pytest.mark.parametrize(("case", "bits"), TRANSFORMED.items())
def test_width_of_transformed_operands(case: tuple[int, int, bool], bits: int) -> None:
    """Some tile of extreme values needs the full width, and no tile needs more."""
    tile, width, signed = case
    form, kind = WINOGRAD[tile], IntegerType(width, signed)
    assert transformed_type(form, kind).bits == bits
    taps = np.einsum("yr,xs->yxrs", form.input, form.input)
    highest = np.where(taps > 0, kind.upper, kind.lower)
    values = (
        np.einsum("yxrs,yxrs->yx", taps, highest),
        np.einsum("yxrs,yxrs->yx", taps, kind.upper + kind.lower - highest),
    )
    narrower = IntegerType(bits - 1, signed=True)
    assert max(int(v.max()) for v in values) > narrower.upper or min(int(v.min()) for v in values) < narrower.lower


@pytest.mark.parametrize("tile", [2, 4])
def test_width_of_outputs_is_reached_and_never_left(tile: int) -> None:
    """The worst tile of each output fits `output_bits`, and one of them does not fit one bit less."""
    form, rng, kind = WINOGRAD[tile], np.random.default_rng(5), IntegerType(8, signed=False)
    u = rng.integers(-127, 128, (3, 4, form.taps, form.taps))
    exponent = rng.integers(0, 4, (form.taps, form.taps))
    bits = output_bits(form, u, exponent, kind)
    types = {"x": TensorType(kind, 1.0)}
    node = QuantisedNode("w", WinogradConv(tile, (0,) * 4), ("x",), {"weight": u, "exponent": exponent})
    basis = np.zeros((4 * form.taps**2, form.taps, form.taps, 4), dtype=np.float32)
    for n in range(len(basis)):
        basis[n].reshape(-1)[n] = 1
    response = accumulate(node, basis, types).reshape(len(basis), -1)  # every output of every input alone
    highest = np.where(response > 0, response, 0).sum(axis=0) * 255
    lowest = np.where(response < 0, response, 0).sum(axis=0) * 255
    wide, narrow = IntegerType(bits, signed=True), IntegerType(bits - 1, signed=True)
    assert highest.max() <= wide.upper
    assert lowest.min() >= wide.lower
    assert highest.max() > narrow.upper or lowest.min() < narrow.lower
