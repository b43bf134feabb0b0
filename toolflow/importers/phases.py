"""Up-sampled maps: views whose rows and columns take turns between channels of a smaller map.

    value (C, s·H, s·W) of a tensor (T, H, W):    value[c, s·y + p, s·x + q] = tensor[turns[c, p, q], y, x]

Nearest-neighbour up-sampling, depth-to-space and the results of transposed convolutions are such values. No operator
of the engine makes a map larger; here none must: a convolution that reads such a value is a convolution of the smaller
map, with a channel for each phase of its own result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.importers.builder import MAX_ORDERED, Array, GraphBuilder, Place, Value, as_map, as_signal
from toolflow.importers.views import Order, spread
from toolflow.ir.operator import Shape
from toolflow.operators import AvgPool, Conv

MAX_WEIGHTS = 1 << 26  # of a convolution with the channels of all phases
LARGEST_STEP = 1 << 12  # of strides, dilations, groups and kernels; more is a damaged model


def turns_of(order: Order, shape: Shape) -> Order | None:
    """Return the tensor's channel of each channel and phase of a value.

    Args:
        order: (C, H', W'), the position in the tensor of each of the value's elements.
        shape: (T, H, W) of the tensor.

    Returns:
        int64 (C, H'/H, W'/W); None if the value is no such view.
    """
    if order.ndim != 3 or len(shape) != 3 or order.shape[1] % shape[1] or order.shape[2] % shape[2]:
        return None
    channels, height, width = order.shape[0], shape[1], shape[2]
    parts = order.reshape(channels, height, order.shape[1] // height, width, order.shape[2] // width)
    turns = parts[:, 0, :, 0] // (height * width)
    places = np.arange(height * width).reshape(height, 1, width, 1)
    return turns if np.array_equal(parts, turns[:, None, :, None] * height * width + places) else None


@dataclass(frozen=True)
class _Axis:
    """How the taps of a kernel reach phases of its operand, along one axis.

    Attributes:
        taps: (phase of the result, tap, phase of the operand, steps from the place in the smaller map).
        phases: of the result.
        stride: in the smaller map.
        size: of the result.
    """

    taps: tuple[tuple[int, int, int, int], ...]
    phases: int
    stride: int
    size: int

    def window(self, size: int) -> tuple[int, int, int]:
        """Return (kernel, pad before, pad behind) on a smaller map of `size`."""
        steps = [tap[3] for tap in self.taps]
        first, last = min(0, *steps), max(0, *steps)
        count = -(-self.size // self.phases)
        behind = (count - 1) * self.stride + last + 1 - size
        return last - first + 1, -first, max(behind, 0)


def _direct(phases: int, kernel: int, stride: int, dilation: int, pad: int, size: int) -> _Axis:
    own = phases // math.gcd(phases, stride)
    read = [(p, tap, stride * p + dilation * tap - pad) for p in range(own) for tap in range(kernel)]
    taps = tuple((p, tap, at % phases, at // phases) for p, tap, at in read)
    return _Axis(taps, own, stride * own // phases, size)


def _transposed(phases: int, kernel: int, stride: int, dilation: int, pad: int, size: int) -> _Axis:
    own = phases * stride
    read = [(p, tap, p + pad - dilation * tap) for p in range(own) for tap in range(kernel)]
    taps = tuple((p, tap, at // stride % phases, at // stride // phases) for p, tap, at in read if at % stride == 0)
    return _Axis(taps, own, 1, size)


def convolution(build: GraphBuilder, place: Place, x: Value, op: Conv, weights: dict[str, Array]) -> Value | None:
    """Add a convolution; of an up-sampled map one with a channel for each phase."""
    if build.is_signal(x):
        return as_signal(convolution(build, place, as_map(x), op, weights))
    turns = None if x.order is None else turns_of(build.order(x), build.made(x).shape)
    if turns is None or turns.shape[1:] == (1, 1):
        return build.emit(place, op, [x], weights)
    try:
        _, *sizes = op.infer_shape([x.shape], weights)
    except ValueError as error:
        build.problem(place, "shapes", f"{x.shape} ({error})", "shapes that fit the attributes")
        return None
    kernel, channels = weights["weight"].shape[2:], x.shape[0]
    if len(weights["weight"]) * channels * math.prod(kernel) > MAX_WEIGHTS or max(kernel) > LARGEST_STEP:
        build.problem(place, "weight", f"of shape {weights['weight'].shape}", f"at most {MAX_WEIGHTS} without groups")
        return None
    axes = [_direct(turns.shape[1 + i], kernel[i], op.stride[i], op.dilation[i], op.pads[i], sizes[i]) for i in (0, 1)]
    return _phased(build, place, x, turns, _dense(weights["weight"], op.groups, x.shape[0]), weights["bias"], axes)


def transposed_convolution(
    build: GraphBuilder,
    place: Place,
    x: Value,
    op: Conv,
    more: Sequence[int],
    weight: Array,
    bias: Array | None,
) -> Value | None:
    """Add a transposed convolution.

    Args:
        build: the graph.
        place: for messages.
        x: a map (C, H, W).
        op: stride, pads, dilation and groups.
        more: rows and columns that the result has more (output padding).
        weight: (C, K/groups, kh, kw).
        bias: (K,), or None.
    """
    if build.is_signal(x):
        return as_signal(transposed_convolution(build, place, as_map(x), op, more, weight, bias))
    steps = (*op.stride, *op.dilation, op.groups)
    if min(steps) < 1 or max(steps) > LARGEST_STEP or min(*op.pads, *more) < 0:
        build.problem(
            place,
            "strides, dilations, group, pads, output padding",
            f"{op.stride}, {op.dilation}, {op.groups}, {op.pads}, {tuple(more)}",
            f"steps of 1 to {LARGEST_STEP}, and no negative padding",
        )
        return None
    if len(x.shape) != 3 or weight.ndim != 4 or len(weight) != x.shape[0] or x.shape[0] % op.groups:
        build.problem(place, "weight", f"of shape {weight.shape}", f"({x.shape[0]}, K/groups, kh, kw)")
        return None
    turns = turns_of(build.order(x), build.made(x).shape)
    if turns is None:
        x = build.whole(place, x) or x
        turns = turns_of(build.order(x), build.made(x).shape)
    if turns is None:
        return None
    groups, kernel = op.groups, weight.shape[2:]
    sizes = [
        (x.shape[1 + i] - 1) * op.stride[i]
        + op.dilation[i] * (kernel[i] - 1)
        + 1
        + more[i]
        - op.pads[i]
        - op.pads[i + 2]
        for i in (0, 1)
    ]
    if min(sizes) < 1:
        build.problem(place, "pads", list(op.pads), "a result of one row and column at least")
        return None
    if weight.size * groups > MAX_WEIGHTS or max(kernel) > LARGEST_STEP:
        build.problem(place, "weight", f"of shape {weight.shape}", f"at most {MAX_WEIGHTS} weights without groups")
        return None
    parts = [part.transpose(1, 0, 2, 3) for part in np.split(weight, groups)]
    whole = _dense(np.concatenate(parts), groups, x.shape[0])
    axes = [
        _transposed(turns.shape[1 + i], kernel[i], op.stride[i], op.dilation[i], op.pads[i], sizes[i]) for i in (0, 1)
    ]
    bias = np.zeros(len(whole)) if bias is None else bias
    return _phased(build, place, x, turns, whole, bias, axes)


def mean(build: GraphBuilder, place: Place, x: Value) -> Value | None:
    """Mean over an up-sampled map, (C, 1, 1): that of the smaller one, of the phases of each channel."""
    made = build.made(x)
    turns = turns_of(build.order(x), made.shape)
    if turns is None or turns.shape[1:] == (1, 1) or len(turns) * made.shape[0] > MAX_WEIGHTS:
        return None
    pooled = build.emit(place, AvgPool(made.shape[1:], made.shape[1:]), [made])  # type: ignore[arg-type]
    weight = np.zeros((len(turns), made.shape[0], 1, 1))
    np.add.at(weight[:, :, 0, 0], (np.arange(len(turns))[:, None, None], turns), 1 / math.prod(turns.shape[1:]))
    weights = {"weight": weight, "bias": np.zeros(len(turns))}
    return None if pooled is None else build.emit(place, Conv(), [pooled], weights)


def _dense(weight: Array, groups: int, channels: int) -> Array:
    """Return the weights (K, C/groups, ..) of a grouped convolution as those of one group, (K, C, ..)."""
    outputs, depth = len(weight) // groups, weight.shape[1]
    wide = np.zeros((len(weight), channels, *weight.shape[2:]))
    for group in range(groups):
        own = slice(group * outputs, (group + 1) * outputs)
        wide[own, group * depth : (group + 1) * depth] = weight[own]
    return wide


def _phased(
    build: GraphBuilder, place: Place, x: Value, turns: Order, weight: Array, bias: Array, axes: Sequence[_Axis]
) -> Value | None:
    """Add the convolution of the smaller map, and return its result as the larger one.

    Args:
        build: the graph.
        place: for messages.
        x: the up-sampled map.
        turns: its phases.
        weight: (K, C, kh, kw) in the order of `x`.
        bias: (K,).
        axes: the vertical and the horizontal one.
    """
    made, outputs = build.made(x), len(weight)
    (kh, top, bottom), (kw, left, right) = (axis.window(made.shape[1 + i]) for i, axis in enumerate(axes))
    phases = axes[0].phases * axes[1].phases
    if phases * outputs * made.shape[0] * kh * kw > MAX_WEIGHTS or axes[0].size * axes[1].size * outputs > MAX_ORDERED:
        build.problem(place, "output shape", (outputs, axes[0].size, axes[1].size), f"at most {MAX_WEIGHTS} weights")
        return None
    wide = np.zeros((phases, outputs, made.shape[0], kh, kw))
    for p, tap_y, phase_y, step_y in axes[0].taps:
        for q, tap_x, phase_x, step_x in axes[1].taps:
            kernel = spread(weight[:, :, tap_y, tap_x], turns[:, phase_y, phase_x], made.shape[0])
            wide[p * axes[1].phases + q, :, :, top + step_y, left + step_x] += kernel
    op = Conv((axes[0].stride, axes[1].stride), (top, left, bottom, right))
    weights = {"weight": wide.reshape(-1, *wide.shape[2:]), "bias": np.tile(bias, phases)}
    result = build.emit(place, op, [made], weights)
    if result is None:
        return None

    def seen(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        parts = order.reshape(axes[0].phases, axes[1].phases, outputs, *order.shape[1:]).transpose(2, 3, 0, 4, 1)
        rows, columns = order.shape[1] * axes[0].phases, order.shape[2] * axes[1].phases
        return parts.reshape(outputs, rows, columns)[:, : axes[0].size, : axes[1].size]

    return build.pick(place, result, seen)
