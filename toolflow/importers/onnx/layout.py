"""The ONNX operators that only move elements: shapes, axes, parts of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolflow.importers import vocabulary
from toolflow.importers.builder import Value
from toolflow.importers.onnx.call import Call


def _seen_as(call: Call, x: Value, shape: Sequence[int]) -> Value | None:
    """See a tensor in a shape that includes the batch."""
    if not shape or shape[0] != call.batch:
        call.problem("shape", list(shape), "a shape that keeps the batch first")
        return None
    return call.build.view(call.place, x, tuple(shape[1:]))


def flatten(call: Call) -> Value | None:
    """All of an image's elements in one axis."""
    x, axis = call.value(0), call.attribute("axis", 1)
    if x is None:
        return None
    if axis not in (1, -len(x.shape)):
        call.problem("axis", axis, "1")
        return None
    return call.build.view(call.place, x, (int(np.prod(x.shape)),))


def reshape(call: Call) -> Value | None:
    """A constant shape; the batch stays first."""
    x, target, allow_zero = call.value(0), call.constant(1), call.flag("allowzero", 0)
    if x is None or target is None:
        return None
    own = (call.batch, *x.shape)
    shape = [int(size) for size in target]
    if not allow_zero:
        shape = [own[i] if size == 0 and i < len(own) else size for i, size in enumerate(shape)]
    if shape.count(-1) == 1:
        rest = -int(np.prod(shape))
        shape = [int(np.prod(own)) // rest if size == -1 and rest else size for size in shape]
    return _seen_as(call, x, shape)


def squeeze(call: Call) -> Value | None:
    """Without some axes of size 1."""
    x, axes = call.value(0), call.integers("axes", 1, 13)
    if x is None:
        return None
    own = (call.batch, *x.shape)
    if axes is None:
        call.problem("axes", "none", "a list without the batch")
        return None
    gone = {vocabulary.position(axis, len(own)) for axis in axes}
    if min(gone, default=1) < 1 or any(own[axis] != 1 for axis in gone):
        call.problem("axes", axes, f"axes of size 1 without the batch, of {own}")
        return None
    return _seen_as(call, x, [size for axis, size in enumerate(own) if axis not in gone])


def unsqueeze(call: Call) -> Value | None:
    """With some axes of size 1 more."""
    x, axes = call.value(0), call.integers("axes", 1, 13)
    if x is None or axes is None:
        return None
    rank = 1 + len(x.shape) + len(axes)
    new = {vocabulary.position(axis, rank) for axis in axes}
    if min(new, default=1) < 1 or len(new) < len(axes):
        call.problem("axes", axes, f"different axes of {rank}, without the batch")
        return None
    sizes = iter((call.batch, *x.shape))
    return _seen_as(call, x, [1 if axis in new else next(sizes) for axis in range(rank)])


def part(call: Call) -> Value | None:
    """Slice: one range for each of some axes."""
    x = call.value(0)
    starts, ends = call.integers("starts", 1, 10), call.integers("ends", 2, 10)
    axes, steps = call.integers("axes", 3, 10), call.integers("steps", 4, 10)
    if x is None or starts is None or ends is None:
        return None
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        call.problem("starts, ends, axes, steps", f"{starts}, {ends}, {axes}, {steps}", "lists of one length")
        return None
    y: Value | None = x
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if y is not None:
            y = vocabulary.subsample(call.build, call.place, y, axis, start, end, step)
    return y


def transpose(call: Call) -> Value | None:
    """The batch stays first."""
    x = call.value(0)
    axes = call.attribute("perm", None)
    if x is None:
        return None
    axes = list(range(len(x.shape), -1, -1)) if axes is None else axes
    return vocabulary.transpose(call.build, call.place, x, axes)


def gather(call: Call) -> Value | None:
    """Constant numbers along one axis."""
    x, index, axis = call.value(0), call.constant(1), call.attribute("axis", 0)
    return None if x is None or index is None else vocabulary.take(call.build, call.place, x, axis, index)


def split(call: Call) -> list[Value | None] | None:
    """Parts along one axis, of equal size (the last one perhaps smaller) or of the sizes that are given."""
    x, sizes, axis = call.value(0), call.integers("split", 1, 13), call.attribute("axis", 0)
    count = call.attribute("num_outputs", call.outputs)
    if x is None:
        return None
    axis = vocabulary.position(axis, 1 + len(x.shape))
    if axis < 1:
        call.problem("axis", axis, f"an axis of {1 + len(x.shape)} but the batch")
        return None
    whole = x.shape[axis - 1]
    if sizes is None:
        part = -(-whole // count)
        sizes = [min(part, whole - i * part) for i in range(count)]
    if len(sizes) != call.outputs or sum(sizes) != whole or min(sizes) < 1:
        call.problem("split", sizes, f"{call.outputs} sizes that add up to {whole}")
        return None
    ends = np.cumsum(sizes)
    return [
        vocabulary.take(call.build, call.place, x, axis, np.arange(end - size, end))
        for size, end in zip(sizes, ends, strict=True)
    ]


def depth_to_space(call: Call) -> Value | None:
    """Channels into positions."""
    x, factor, mode = call.value(0), call.attribute("blocksize", 0), call.attribute("mode", "DCR")
    if x is None:
        return None
    return vocabulary.depth_to_space(call.build, call.place, x, factor, by_column=mode == "CRD")


def space_to_depth(call: Call) -> Value | None:
    """Positions into channels."""
    x, factor, mode = call.value(0), call.attribute("blocksize", 0), call.attribute("mode", "DCR")
    if x is None:
        return None
    return vocabulary.space_to_depth(call.build, call.place, x, factor, by_column=mode == "CRD")
