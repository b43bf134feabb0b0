"""One convolution layer with batch norm, residual and activation, and its gradients, in C++.

Maps are blocked, (N / LANES, C, H, W, LANES), between such layers. A layer is nothing but a list of weights, each with
the column that it reads (a channel of a tap, or a place of the window) and the output that it gives to: dense, sparse,
grouped, direct and Winograd layers differ in their lists alone.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from quant.training.native.library import lanes, library
from toolflow.ir.operator import Operator
from toolflow.operators import Activation, Conv, WinogradConv
from toolflow.operators.window import window_shape

Tensor = torch.Tensor
Mask = npt.NDArray[np.bool_]

BLOCKED = 5  # dimensions of blocked maps
_LARGEST = float(np.finfo(np.float32).max)


class _Layer(ctypes.Structure):
    """`Layer` of layer.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("groups", "channels", "height", "width")),
        *((name, ctypes.c_int64) for name in ("outputs", "out_height", "out_width", "tile")),
        *((name, ctypes.c_int64) for name in ("kernel_height", "kernel_width", "stride_y", "stride_x")),
        *((name, ctypes.c_int64) for name in ("dilation_y", "dilation_x", "top", "left")),
        *((name, ctypes.c_int64) for name in ("taps", "columns", "weights")),
        *((name, ctypes.c_void_p) for name in ("of_output", "output_place", "output_k", "output_column")),
        *((name, ctypes.c_void_p) for name in ("of_column", "column_place", "column_k")),
        ("threads", ctypes.c_int64),
    ]


@dataclass(frozen=True)
class _Lists:
    """The weights of a layer, by tap and output, then by tap and column.

    Attributes:
        of_output, of_column: int64, where the weights of each row begin, and where the last end.
        output_place, column_place: int32, the place of each in the weight, in these orders.
        output_k, column_k: int32, the output that it gives to.
        output_column: int32, the column that it reads.
    """

    of_output: npt.NDArray[np.int64]
    output_place: npt.NDArray[np.int32]
    output_k: npt.NDArray[np.int32]
    output_column: npt.NDArray[np.int32]
    of_column: npt.NDArray[np.int64]
    column_place: npt.NDArray[np.int32]
    column_k: npt.NDArray[np.int32]


class NativeLayer:
    """The description of a layer for the library.

    Args:
        op: the operator.
        shape: of its weight, (K, C/groups, kh, kw) or U's (K, C, t, t).
        mask: which weights there are, of that shape; None for all.
    """

    def __init__(self, op: Operator, shape: tuple[int, ...], mask: Mask | None) -> None:
        assert isinstance(op, Conv | WinogradConv)
        self.op, self.shape = op, shape
        kept = np.ones(shape, dtype=bool) if mask is None else mask
        self.lists = _lists(op, kept)

    def described(self, x: Tensor) -> tuple[_Layer, tuple[int, ...]]:
        """Return the structure for blocked inputs x, and the shape of its outputs.

        Raises:
            ValueError: no window fits.
        """
        op, (outputs, depth, kernel_height, kernel_width) = self.op, self.shape
        groups, channels, height, width, _ = x.shape
        layer = _Layer(groups=groups, channels=channels, height=height, width=width, outputs=outputs)
        top, left, bottom, right = op.pads
        layer.top, layer.left = top, left
        layer.kernel_height, layer.kernel_width = kernel_height, kernel_width
        layer.stride_y = layer.stride_x = layer.dilation_y = layer.dilation_x = 1
        if isinstance(op, WinogradConv):
            out = height + top + bottom - 2, width + left + right - 2
            layer.tile, layer.taps, layer.columns = op.tile, kernel_height * kernel_width, channels
        else:
            kernel = kernel_height, kernel_width
            out = window_shape((channels, height, width), kernel, op.stride, op.pads, op.dilation)
            layer.taps, layer.columns = 1, channels * kernel_height * kernel_width
            (layer.stride_y, layer.stride_x), (layer.dilation_y, layer.dilation_x) = op.stride, op.dilation
        assert channels == depth * op.groups  # the library reads where it is told to
        layer.out_height, layer.out_width = out
        layer.weights = outputs * depth * kernel_height * kernel_width
        for field in fields(self.lists):
            setattr(layer, field.name, getattr(self.lists, field.name).ctypes.data)
        layer.threads = torch.get_num_threads()
        return layer, (groups, outputs, *out, lanes())

    def ordered(self, weight: Tensor) -> Tensor:
        """Return the weight as the lists count it: Winograd's by tap, its scale taken in."""
        if self.op.tile:
            return weight.permute(2, 3, 0, 1).contiguous() / self.op.sum_scale
        return weight.contiguous()


def can_run(x: Tensor) -> bool:
    """Return whether the library is there and takes such maps, plain or blocked ones."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or library() is None:
        return False
    return x.dim() == BLOCKED or (x.dim() == BLOCKED - 1 and len(x) % lanes() == 0)


def blocked(x: Tensor) -> Tensor:
    """Return maps (N, C, H, W) as (N / LANES, C, H, W, LANES); blocked ones stay as they are."""
    if x.dim() == BLOCKED:
        return x.contiguous()
    return x.reshape(-1, lanes(), *x.shape[1:]).permute(0, 2, 3, 4, 1).contiguous()


def plain(x: Tensor) -> Tensor:
    """Return maps as (N, C, H, W)."""
    return x.permute(0, 4, 1, 2, 3).flatten(0, 1) if x.dim() == BLOCKED else x


def infer(
    layer: NativeLayer,
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
    residual: Tensor | None,
    activation: Activation,
) -> Tensor:
    """Return activation(scale · sums + shift + residual), blocked.

    Args:
        layer: the layer.
        x: (N, C, H, W) or blocked.
        weight: as in `NativeLayer`.
        scale: (K,).
        shift: (K,).
        residual: (N, K, H', W') or blocked, or None.
        activation: what ends the layer.
    """
    x, weight = blocked(x), layer.ordered(weight)
    described, out = layer.described(x)
    y = x.new_empty(out)
    added = None if residual is None else blocked(residual)
    scale, shift = scale.contiguous(), shift.contiguous()
    _call("layer_forward", described, x, weight, scale, shift, added, *_bounds(activation), y, None)
    return y


def train(
    layer: NativeLayer,
    x: Tensor,
    weight: Tensor,
    norm: nn.BatchNorm2d,
    residual: Tensor | None,
    activation: Activation,
) -> Tensor:
    """Return activation(norm(sums) + residual), blocked, with the batch's statistics, which move those of the norm.

    Args:
        layer: the layer.
        x: (N, C, H, W) or blocked.
        weight: as in `NativeLayer`.
        norm: of the K output channels.
        residual: (N, K, H', W') or blocked, or None.
        activation: what ends the layer.
    """
    added = None if residual is None else blocked(residual)
    given = blocked(x), layer.ordered(weight), norm.weight, norm.bias, added
    value, moments = _Train.apply(*given, layer, norm.eps, activation)  # type: ignore[no-untyped-call]
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    norm.running_mean.lerp_(moments[0], norm.momentum)
    norm.running_var.lerp_(moments[1], norm.momentum)
    return cast(Tensor, value)


class _Train(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        gain: Tensor,
        bias: Tensor,
        residual: Tensor | None,
        layer: NativeLayer,
        eps: float,
        activation: Activation,
    ) -> tuple[Tensor, Tensor]:
        described, out = layer.described(x)
        y = x.new_empty(out)
        moments = torch.empty(2, described.outputs, dtype=torch.float64)
        _call("layer_forward", described, x, weight, None, None, None, *_bounds(Activation.NONE), y, moments)
        count = y.numel() // described.outputs
        mean = moments[0] / count
        variance = (moments[1] / count - mean**2).clamp(min=0)
        rate = 1 / (variance + eps).sqrt()
        scale = gain.double() * rate
        shift = (bias.double() - mean * scale).float()
        value = torch.empty_like(y)
        lower, upper = _bounds(activation)
        _call("layer_finish", described, y, scale.float(), shift, residual, lower, upper, value)
        ctx.layer, ctx.activation, ctx.has_residual = layer, activation, residual is not None
        ctx.save_for_backward(x, weight, y, value, mean, rate, scale)
        unbiased = variance * (count / max(count - 1, 1))
        found = torch.stack([mean, unbiased]).float()
        ctx.mark_non_differentiable(found)
        return value, found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y, value, mean, rate, scale = ctx.saved_tensors
        described, _ = ctx.layer.described(x)
        given = gradients[0].contiguous()
        of_sum, sums = torch.empty_like(y), torch.empty(2, described.outputs, dtype=torch.float64)
        bounds = _bounds(ctx.activation)
        _call("layer_reduce", described, given, value, y, mean.float(), *bounds, of_sum, sums)
        count = y.numel() // described.outputs
        of_bias, of_gain = sums[0], sums[1] * rate
        slope = -scale * rate * of_gain / count
        offset = -scale * of_bias / count - slope * mean
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        of_weight = torch.empty_like(weight)
        rows = (scale.float(), slope.float(), offset.float())
        _call("layer_backward", described, x, weight, of_sum, y, *rows, of_x, of_weight)
        of_residual = of_sum if ctx.has_residual else None
        return of_x, of_weight, of_gain.float(), of_bias.float(), of_residual, None, None, None


def _bounds(activation: Activation) -> tuple[float, float]:
    """Return what an activation clamps to."""
    if activation is Activation.NONE:
        return -_LARGEST, _LARGEST
    return 0.0, _LARGEST if activation.upper is None else activation.upper


def _call(name: str, layer: _Layer, *arguments: Tensor | float | None) -> None:
    """Call a function of the library; tensors must live until it returns, which those of the caller do.

    Raises:
        MemoryError: there is not enough.
    """
    found = library()
    assert found is not None
    given: list[Any] = [ctypes.byref(layer)]
    for argument in arguments:
        if isinstance(argument, Tensor):
            assert argument.is_contiguous()
            given.append(ctypes.c_void_p(argument.data_ptr()))
        else:
            given.append(None if argument is None else ctypes.c_float(argument))
    if getattr(found, name)(*given):
        raise MemoryError(f"{name} of {layer.channels} to {layer.outputs} channels")


def _lists(op: Operator, kept: Mask) -> _Lists:
    """Return the lists of a weight's support (K, C/groups, kh, kw)."""
    outputs, depth = kept.shape[:2]
    if op.tile:
        places = kept.transpose(2, 3, 0, 1).reshape(-1, outputs, depth)
        tap, k, column = np.nonzero(places)
        columns, place = depth, np.flatnonzero(places)
    else:
        flat = kept.reshape(outputs, -1)
        k, local = np.nonzero(flat)
        tap, place = np.zeros_like(k), np.flatnonzero(flat)
        column = local + k // (outputs // op.groups) * flat.shape[1]
        columns = flat.shape[1] * op.groups
    taps = kept.shape[2] * kept.shape[3] if op.tile else 1
    outputs_of_taps, columns_of_taps = tap * outputs + k, tap * columns + column
    by_output, by_column = (np.argsort(row, kind="stable") for row in (outputs_of_taps, columns_of_taps))
    return _Lists(
        of_output=_begins(outputs_of_taps, taps * outputs),
        output_place=place[by_output].astype(np.int32),
        output_k=k[by_output].astype(np.int32),
        output_column=column[by_output].astype(np.int32),
        of_column=_begins(columns_of_taps, taps * columns),
        column_place=place[by_column].astype(np.int32),
        column_k=k[by_column].astype(np.int32),
    )


def _begins(row: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))]).astype(np.int64)
