"""Integer Winograd convolution: exact transforms and sums, one requantisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolflow.ir.quantised import QuantisedNode
from toolflow.numerics.accumulator import exact_float, magnitude_bound
from toolflow.numerics.winograd import WINOGRAD, transformed_type
from toolflow.operators.integers import Integers, Types, apply_requantise, rule_of
from toolflow.operators.winograd.spec import WinogradConv


def reference(node: QuantisedNode, inputs: Sequence[Integers], types: Types) -> Integers:
    """Return (N, H', W', K) from x (N, H, W, C) and optionally a residual (N, H', W', K)."""
    return apply_requantise(accumulate(node, inputs[0], types), rule_of(node), *inputs[1:])


def accumulate(node: QuantisedNode, x: Integers, types: Types) -> Integers:
    """Return the accumulators Y before bias and requantisation: float64 integers."""
    op = node.op
    assert isinstance(op, WinogradConv)
    form = WINOGRAD[op.tile]
    weight = node.weights["weight"].astype(np.int64)
    images, height, width, channels = x.shape
    outputs, out_height, out_width = op.infer_shape([(channels, height, width)], node.weights)
    down, across = form.tiles(out_height, out_width)
    wide = transformed_type(form, types[node.inputs[0]].integer)
    dtype = exact_float(max(magnitude_bound(weight.transpose(0, 2, 3, 1).reshape(-1, channels), wide), wide.upper))
    v = transform_input(x.astype(dtype, copy=False), op)
    u: Integers = np.ascontiguousarray(
        weight.transpose(2, 3, 1, 0).reshape(form.taps**2, channels, outputs), dtype=dtype
    )
    sums = (v @ u).reshape(form.taps, form.taps, images, down, across, outputs)
    aligned = np.ldexp(sums.astype(np.float64), node.weights["exponent"][:, :, None, None, None, None])
    y = np.einsum("iy,jx,yxntuk->ntiujk", form.output, form.output, aligned, optimize=True)
    whole = y.reshape(images, down * op.tile, across * op.tile, outputs)
    return np.ascontiguousarray(whole[:, :out_height, :out_width])


def transform_input(x: Integers, op: WinogradConv) -> Integers:
    """Return V (t·t, N·tiles, C) of x (N, H, W, C), tiles row by row."""
    form = WINOGRAD[op.tile]
    images, height, width, channels = x.shape
    top, left, bottom, right = op.pads
    out = height + top + bottom - 2, width + left + right - 2
    down, across = form.tiles(*out)
    padded = np.zeros((images, down * op.tile + 2, across * op.tile + 2, channels), dtype=x.dtype)
    rows, columns = min(height, padded.shape[1] - top), min(width, padded.shape[2] - left)
    padded[:, top : top + rows, left : left + columns] = x[:, :rows, :columns]
    steps = np.lib.stride_tricks.sliding_window_view(padded, (form.taps, form.taps), axis=(1, 2))
    tiles = steps[:, :: op.tile, :: op.tile]  # (N, down, across, C, t, t)
    matrix = form.input.astype(x.dtype)
    v = np.einsum("yr,ndacrs,xs->yxndac", matrix, tiles, matrix, optimize=True)
    return np.ascontiguousarray(v).reshape(form.taps**2, images * down * across, channels)
