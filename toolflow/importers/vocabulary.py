"""The operations that both importers add to a `GraphBuilder`: one function for each meaning.

PyTorch and ONNX name and parametrise the same operation differently; each importer translates into
these calls, so that one network gives one graph whichever way it came. Every function notes a
problem and returns None if it cannot say what is meant.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolflow.importers import phases
from toolflow.importers.builder import MAX_ORDERED, Array, GraphBuilder, Place, Value
from toolflow.importers.views import Order, mean_windows, per_channel
from toolflow.ir.errors import ToolflowError
from toolflow.operators import Add, AvgPool, BatchNorm, Concat, MaxPool, Pad, Shortcut
from toolflow.operators.window import Pair

OPERATORS = (
    "convolution and transposed convolution of maps and signals, linear, batch norm, ReLU, ReLU6, LeakyReLU, PReLU, "
    "clip, hard sigmoid, absolute value, max, average and global pooling, sum, difference, concat, flatten, zero "
    "padding, constants per channel, slices, some channels, transpose, nearest-neighbour up-sampling, pixel shuffle, "
    "dropout, identity; at the end softmax over classes, sigmoid of one logit"
)
LOGGER = logging.getLogger(__name__)
SMOOTH = "use mode nearest, or a transposed convolution with constant weights"  # in place of other up-sampling
INSIDE = "use ReLU or ReLU6 and train on"  # in place of another activation


def chosen_output(model: str, names: Sequence[str], wanted: str | None) -> str:
    """Return the output of a model that the user chose.

    Args:
        model: the model's name in messages.
        names: its outputs.
        wanted: what the user asks for; None if there is only one.

    Raises:
        ToolflowError: there are several outputs and none was chosen, or no output has that name.
    """
    listed = ", ".join(f"'{name}'" for name in names)
    if wanted is None and len(names) != 1:
        raise ToolflowError(
            f"{model} must have one output, not {len(names)}: {listed}; "
            "name the one with the class scores: --output NAME"
        )
    if wanted is not None and wanted not in names:
        raise ToolflowError(f"--output must be one of {listed}, the outputs of {model}, not '{wanted}'")
    return names[0] if wanted is None else wanted


def scale_shift(
    build: GraphBuilder, place: Place, x: Value, scale: Array | None = None, shift: Array | None = None
) -> Value | None:
    """x·scale + shift with constants that are one number or one per channel; a batch norm, which folds."""
    if build.is_moved(x):
        return _scale_shift_moved(build, place, x, scale, shift)
    channels = x.shape[0]
    vectors = []
    for name, constant, neutral in (("factor", scale, 1.0), ("summand", shift, 0.0)):
        vector = np.full(channels, neutral) if constant is None else _per_channel(constant, x)
        if vector is None:
            shape = None if constant is None else constant.shape
            build.problem(place, f"constant {name}", f"of shape {shape}", "one number, or one for each channel")
            return None
        vectors.append(vector)
    weights = {"scale": vectors[0], "bias": vectors[1], "mean": np.zeros(channels), "variance": np.ones(channels)}
    return build.emit(place, BatchNorm(eps=0.0), [x], weights)


def _scale_shift_moved(
    build: GraphBuilder, place: Place, x: Value, scale: Array | None, shift: Array | None
) -> Value | None:
    """x·scale + shift of a tensor in another order, as that of the tensor itself."""
    made, order = build.made(x), build.order(x).reshape(-1)
    read = np.isin(np.arange(made.shape[0]), order // math.prod(made.shape[1:]))
    vectors = []
    for name, constant, neutral in (("factor", scale, 1.0), ("summand", shift, 0.0)):
        constant = np.full(1, neutral) if constant is None else constant
        try:
            elements = np.broadcast_to(constant, (1, *x.shape)).astype(np.float64).reshape(-1)
        except ValueError:
            elements = None
        vector = None if elements is None else per_channel(elements, order, made.shape)
        if vector is None:
            build.problem(place, f"constant {name}", f"of shape {constant.shape}", "one number, or one per channel")
            return None
        vectors.append(np.where(read, vector, neutral))
    zeros = np.zeros(made.shape[0])
    weights = {"scale": vectors[0], "bias": vectors[1], "mean": zeros, "variance": np.ones(made.shape[0])}
    result = build.emit(place, BatchNorm(eps=0.0), [made], weights)
    return None if result is None else replace(x, tensor=result.tensor)


def _per_channel(constant: Array, x: Value) -> Array | None:
    """Return a constant that broadcasts against (batch, *x.shape) as one number per channel, or None."""
    constant = np.asarray(constant, np.float64)
    if constant.size == 1:
        return np.full(x.shape[0], constant.reshape(()))
    rank = 1 + len(x.shape)
    padded = (1,) * (rank - constant.ndim) + constant.shape
    wanted = (1, x.shape[0], *([1] * (len(x.shape) - 1)))
    return constant.reshape(x.shape[0]) if padded == wanted else None


def add(build: GraphBuilder, place: Place, a: Value, b: Value, factor: float = 1.0) -> Value | None:
    """Return a + factor·b of two tensors of one shape; broadcasting is refused."""
    if a.shape != b.shape:
        build.problem(place, "operands", f"{a.shape} + {b.shape}", "two tensors of one shape")
        return None
    scaled = b if factor == 1 else scale_shift(build, place, b, np.full(1, factor))
    return None if scaled is None else build.emit(place, Add(), [a, scaled])


def concat(build: GraphBuilder, place: Place, values: Sequence[Value], axis: int) -> Value | None:
    """Concatenation; `axis` counts the batch as 0."""
    rank = 1 + len(values[0].shape)
    axis = position(axis, rank)
    if axis > 1 and rank in (3, 4) and len({value.shape[: axis - 1] + value.shape[axis:] for value in values}) == 1:
        return _beside(build, place, values, axis)
    if axis != 1:
        build.problem(place, "axis", axis, "1 (channels), or an axis of maps whose other sizes are equal")
        return None
    return values[0] if len(values) == 1 else build.emit(place, Concat(), values)


def _beside(build: GraphBuilder, place: Place, values: Sequence[Value], axis: int) -> Value | None:
    """Maps side by side: the sum of each with zeros in the places of the others."""
    rank, whole, start = 1 + len(values[0].shape), sum(value.shape[axis - 1] for value in values), 0
    total: Value | None = None
    for value in values:
        before, after = [0] * rank, [0] * rank
        before[axis], after[axis] = start, whole - start - value.shape[axis - 1]
        start += value.shape[axis - 1]
        padded = pad(build, place, value, before, after)
        if padded is None:
            return None
        total = padded if total is None else add(build, place, total, padded)
        if total is None:
            return None
    return total


def batch_norm(build: GraphBuilder, place: Place, x: Value, eps: float, arrays: dict[str, Array]) -> Value | None:
    """Batch normalisation with the statistics of training."""
    if x.order is None or any(array.shape != x.shape[:1] for array in arrays.values()):
        return build.emit(place, BatchNorm(eps), [x], arrays)
    scale = arrays["scale"] / np.sqrt(arrays["variance"] + eps)
    column = (-1, *([1] * (len(x.shape) - 1)))
    return scale_shift(
        build, place, x, scale.reshape(column), (arrays["bias"] - arrays["mean"] * scale).reshape(column)
    )


def resized(build: GraphBuilder, place: Place, x: Value, indices: Sequence[Order]) -> Value | None:
    """The nearest neighbours: for each axis of a map the positions that it repeats or leaves out."""

    def change(order: Order) -> Order:
        for axis, index in enumerate(indices):
            order = np.take(order, index, axis)
        return order

    return build.pick(place, x, change)


def depth_to_space(build: GraphBuilder, place: Place, x: Value, factor: int, by_column: bool) -> Value | None:
    """Channels into positions.

    Args:
        build: the graph.
        place: for messages.
        x: a map (C·factor², H, W).
        factor: of height and width.
        by_column: the channels of one pixel's positions lie beside each other; else those of one position do.
    """
    if len(x.shape) != 3 or factor < 1 or x.shape[0] % factor**2:
        build.problem(place, "input shape", x.shape, f"a feature map of a multiple of {factor}² channels")
        return None
    channels, height, width = x.shape[0] // factor**2, *x.shape[1:]
    split = (channels, factor, factor, height, width) if by_column else (factor, factor, channels, height, width)
    axes = (0, 3, 1, 4, 2) if by_column else (2, 3, 0, 4, 1)
    shape = (channels, height * factor, width * factor)
    return build.pick(place, x, lambda order: order.reshape(split).transpose(axes).reshape(shape))


def space_to_depth(build: GraphBuilder, place: Place, x: Value, factor: int, by_column: bool) -> Value | None:
    """Positions into channels, the inverse of `depth_to_space`."""
    if len(x.shape) != 3 or factor < 1 or x.shape[1] % factor or x.shape[2] % factor:
        build.problem(place, "input shape", x.shape, f"a feature map whose height and width {factor} divides")
        return None
    channels, height, width = x.shape[0], x.shape[1] // factor, x.shape[2] // factor
    split = (channels, height, factor, width, factor)
    axes = (0, 2, 4, 1, 3) if by_column else (2, 4, 0, 1, 3)
    shape = (channels * factor**2, height, width)
    return build.pick(place, x, lambda order: order.reshape(split).transpose(axes).reshape(shape))


def position(axis: int, rank: int) -> int:
    """Return an axis counted from the front, -1 if there is no such axis."""
    return axis % rank if -rank <= axis < rank else -1


def mean(build: GraphBuilder, place: Place, x: Value, axes: Sequence[int], keep: bool) -> Value | None:
    """Mean over height and width, in one step or in two, of a map in any order; `axes` count the batch as 0."""
    rank = 1 + len(x.shape)
    gone = sorted(position(axis, rank) for axis in axes)
    made = build.made(x)
    known = len(made.shape) == 3 and bool(gone) and gone[0] > 0 and len(set(gone)) == len(gone)
    stay = [axis for axis in range(1, rank) if axis not in gone]
    windows = None
    if known and math.prod(made.shape) <= MAX_ORDERED:
        moved = build.order(x).transpose([axis - 1 for axis in (*stay, *gone)])
        windows = mean_windows(moved.reshape(math.prod(moved.shape[: len(stay)]), -1), made.shape)
    if windows is None and known and gone == [2, 3] and (found := phases.mean(build, place, x)) is not None:
        return found if keep else build.view(place, found, found.shape[:1])
    if windows is None:
        build.problem(place, "axes", list(axes), "[2, 3] (height and width) of a feature map")
        return None
    window, which = windows
    pooled = _pooled(build, place, made, window)
    if pooled is None:
        return None
    shape = [1 if axis in gone else x.shape[axis - 1] for axis in range(1, rank) if keep or axis not in gone]
    return build.pick(place, pooled, lambda order: order.reshape(-1)[which].reshape(shape))


def _pooled(build: GraphBuilder, place: Place, x: Value, window: Pair) -> Value | None:
    """Average over windows that tile a map; over a whole map of row or column means, of the map before them."""
    before = build.maker(x)
    if window == x.shape[1:] and before is not None and isinstance(before.op, AvgPool):
        source = build.made(Value(before.inputs[0], ()))
        if before.op in (AvgPool(k, k) for k in ((1, source.shape[2]), (source.shape[1], 1))):
            x, window = source, (source.shape[1], source.shape[2])
    return build.emit(place, AvgPool(window, window), [x])


def avg_pool(build: GraphBuilder, place: Place, x: Value, op: AvgPool) -> Value | None:
    """Average pooling; if there is no padding, whether it counts is said in one way."""
    return build.emit(place, op if any(op.pads) else replace(op, count_include_pad=True), [x])


def sigmoid_at_end(build: GraphBuilder, place: Place, x: Value, is_end: bool) -> Value | None:
    """Sigmoid of the only output: left out, as sigmoid(z) > 0.5 exactly where z > 0."""
    if not is_end or math.prod(x.shape) != 1:
        found = f"a sigmoid of {math.prod(x.shape)} numbers" if is_end else "a sigmoid inside the network"
        rewrite = "leave it out if one class is the answer, it keeps their order" if is_end else INSIDE
        build.problem(place, "", found, "sigmoid of a single logit at the very end", rewrite)
        return None
    if x.tensor in build.left_out:
        build.problem(place, "", "a sigmoid of a sigmoid", "one sigmoid", "remove one: two are always above 0.5")
        return None
    build.left_out.add(x.tensor)
    LOGGER.warning("%s '%s' is left out: it is above 0.5 exactly if its input is above 0", place.operator, place.node)
    return x


@dataclass(frozen=True)
class Ending:
    """An operator over the classes that is left out if it stands at the very end.

    Attributes:
        inside, allowed: what is not handled elsewhere, and what is.
        one, remedy: what is allowed if there is one class alone, and what to do.
        why: it may be left out.
    """

    inside: str
    allowed: str
    one: str
    remedy: str
    why: str


SOFTMAX = Ending(
    "softmax inside the network",
    "softmax over the classes at the very end",
    "2 or more: the softmax of one class is always 1",
    "use a sigmoid",
    "it keeps the order of the classes",
)
DECISION = Ending(  # the class itself, the first of equal scores
    "a decision",
    "over the classes at the very end",
    "2 or more: of one class it is always 0",
    "leave it out of a single logit",
    "the device answers with the class",
)


def left_out_at_end(
    build: GraphBuilder, place: Place, ending: Ending, x: Value, axis: int, is_end: bool
) -> Value | None:
    """Return the scores that a softmax or a decision at the very end reads; `axis` counts the batch as 0."""
    if not is_end or position(axis, 1 + len(x.shape)) != 1:
        build.problem(place, "", ending.inside, ending.allowed)
        return None
    if not _is_vector(build, place, x):
        return None
    if x.shape[0] == 1:
        build.problem(place, "classes", 1, ending.one, ending.remedy)
        return None
    LOGGER.warning("%s '%s' is left out: %s", place.operator, place.node, ending.why)
    return x


def _is_vector(build: GraphBuilder, place: Place, x: Value) -> bool:
    """Return whether a tensor is one score for each class, not a map of them: the device compares all elements."""
    if math.prod(x.shape) == x.shape[0]:
        return True
    allowed = f"{(x.shape[0],)} or {(x.shape[0], *([1] * (len(x.shape) - 1)))}: one score for each class"
    build.problem(place, "input shape", x.shape, allowed, "pool the map to one position before it")
    return False


def maximum(build: GraphBuilder, place: Place, x: Value, axes: Sequence[int], keep: bool) -> Value | None:
    """Maximum over height and width, or over the length of a signal; `axes` count the batch as 0."""
    rank = 1 + len(x.shape)
    if rank not in (3, 4) or sorted(position(axis, rank) for axis in axes) != [*range(2, rank)]:
        build.problem(place, "axes", list(axes), "[2, 3] (height and width) of a feature map")
        return None
    size = window(x, x.shape[1:])
    found = build.emit(place, MaxPool(size, size), [x])
    return found if keep or found is None else build.view(place, found, found.shape[:1])


def total(build: GraphBuilder, place: Place, x: Value, axes: Sequence[int], keep: bool) -> Value | None:
    """Sum over what `mean` takes: the mean times the number of elements."""
    found = mean(build, place, x, axes, keep)
    if found is None:
        return None
    return scale_shift(build, place, found, np.full(1, math.prod(x.shape) / math.prod(found.shape)))


def window(x: Value, values: Sequence[int], row: int = 1) -> Pair:
    """Return (vertical, horizontal) of one number for each axis of a map, or of one for both.

    Args:
        x: the map (C, H, W), or a signal (C, length), which has height 1.
        values: one number, or two.
        row: the vertical number for a signal.
    """
    return (row if len(x.shape) == 2 else int(values[0]), int(values[-1]))


def pad(build: GraphBuilder, place: Place, x: Value, before: Sequence[int], after: Sequence[int]) -> Value | None:
    """Zeros in front and behind; one number for each axis, the batch first."""
    if not any(before) and not any(after):
        return x
    if len(x.shape) == 2:  # a signal
        before, after = (*before[:2], 0, *before[2:]), (*after[:2], 0, *after[2:])
    if len(before) != 4 or before[0] or after[0] or min(*before, *after) < 0:
        build.problem(
            place,
            "pads",
            f"{list(before)} before, {list(after)} after",
            "non-negative numbers for channels, height and width of a feature map",
        )
        return None
    return build.emit(place, Pad((before[2], before[3], after[2], after[3]), before[1], after[1]), [x])


def transpose(build: GraphBuilder, place: Place, x: Value, axes: Sequence[int]) -> Value | None:
    """The axes in another order, which changes addresses only; `axes` count the batch as 0, which must stay first."""
    rank = 1 + len(x.shape)
    chosen = [position(axis, rank) for axis in axes]
    if sorted(chosen) != list(range(rank)) or chosen[0] != 0:
        build.problem(place, "axes", list(axes), f"all {rank} axes, the batch first")
        return None
    return build.pick(place, x, lambda order: order.transpose([axis - 1 for axis in chosen[1:]]))


def take(build: GraphBuilder, place: Place, x: Value, axis: int, index: Order) -> Value | None:
    """x[.., index, ..] along one axis, the batch being axis 0: channels by their numbers."""
    axis = position(axis, 1 + len(x.shape))
    size = x.shape[axis - 1] if axis > 0 else 0
    if not index.size or index.min() < -size or index.max() >= size:
        build.problem(place, "index", f"axis {axis}: {index.tolist()}", "numbers of channels")
        return None
    return build.pick(place, x, lambda order: np.take(order, index, axis - 1))


def _is_sampling(x: Value, axis: int, start: int, end: int, step: int) -> bool:
    """Return whether x[start:end:step] takes every step-th row or column from the first on: `Shortcut`."""
    size = x.shape[axis - 1]
    return len(x.shape) == 3 and step > 0 and (start == 0 or start <= -size) and end >= size


def subsample(build: GraphBuilder, place: Place, x: Value, axis: int, start: int, end: int, step: int) -> Value | None:
    """x[start:end:step] along one axis, the batch being axis 0: of channels, or every step-th row or column."""
    rank = 1 + len(x.shape)
    axis = position(axis, rank)
    if axis > 0 and step and (axis == 1 or x.order is not None or not _is_sampling(x, axis, start, end, step)):
        return build.pick(place, x, lambda order: order[(*[slice(None)] * (axis - 1), slice(start, end, step))])
    size = x.shape[axis - 1] if axis > 0 else 1 << 30  # the batch has any size: only the whole of it passes
    begins, whole = start == 0 or start <= -size, end >= size
    if axis >= 0 and begins and whole and step == 1:
        return x
    if not begins or not whole or step < 1 or axis < 2 or rank != 4:
        build.problem(
            place,
            "slice",
            f"axis {axis}: [{start}:{end}:{step}]",
            "every n-th row or column from the first on, or some channels",
            "a convolution with constant weights can pick rows and columns",
        )
        return None
    return build.emit(place, Shortcut((step, 1) if axis == 2 else (1, step)), [x])
