"""The ONNX operators that make maps larger: transposed convolution and resizing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from toolflow.importers import phases, vocabulary
from toolflow.importers.builder import MAX_ORDERED, Array, Value
from toolflow.importers.onnx.call import Call
from toolflow.importers.views import Order
from toolflow.operators import Conv


def conv_transpose(call: Call) -> Value | None:
    """A convolution of the smaller map."""
    x, weight, bias = call.value(0), call.weight(1), call.weight(2)
    if x is None or weight is None:
        return None
    axes = len(x.shape) - 1
    if axes not in (1, 2) or weight.ndim != 2 + axes:
        call.problem("weight", f"of shape {weight.shape}", f"(C, K/groups, kh, kw) for a feature map, not {x.shape}")
        return None
    kernel = call.numbers("kernel_shape", weight.shape[2:], axes)
    stride, dilation = call.numbers("strides", (1,) * axes, axes), call.numbers("dilations", (1,) * axes, axes)
    pads, more = call.numbers("pads", (0,) * 2 * axes, 2 * axes), call.numbers("output_padding", (0,) * axes, axes)
    mode, wanted = call.attribute("auto_pad", "NOTSET"), call.attribute("output_shape", None)
    if kernel is None or stride is None or dilation is None or pads is None or more is None:
        return None
    if tuple(kernel) != weight.shape[2:]:
        call.problem("kernel_shape", kernel, f"{list(weight.shape[2:])}, the kernel of the weight")
        return None
    if mode in ("SAME_UPPER", "SAME_LOWER") and wanted is None:
        wanted = [size * step for size, step in zip(x.shape[1:], stride, strict=True)]
    if wanted is not None:
        for axis, size in enumerate(wanted[-axes:]):
            total = stride[axis] * (x.shape[1 + axis] - 1) + more[axis] + dilation[axis] * (kernel[axis] - 1) + 1 - size
            more[axis] += max(-total, 0)
            small, large = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
            pads[axis], pads[axis + axes] = (small, large) if mode == "SAME_UPPER" else (large, small)
    op = Conv(
        vocabulary.window(x, stride),
        (*vocabulary.window(x, pads[:axes], 0), *vocabulary.window(x, pads[axes:], 0)),
        vocabulary.window(x, dilation),
        call.attribute("group", 1),
    )
    weight = weight.reshape(*weight.shape[:2], *vocabulary.window(x, kernel))
    added = vocabulary.window(x, more, 0)
    return phases.transposed_convolution(call.build, call.place, x, op, added, weight, bias)


def upsample(call: Call) -> Value | None:
    """Nearest neighbours by factors."""
    x, mode = call.value(0), call.attribute("mode", "nearest")
    scales = call.attribute("scales", None) if call.opset < 9 else call.constant(1)
    if x is None or scales is None:
        return None
    if mode != "nearest":
        call.problem("mode", mode, "nearest", vocabulary.SMOOTH)
        return None
    return _nearest(call, x, [float(scale) for scale in scales], None, "asymmetric", "floor")


def resize(call: Call) -> Value | None:
    """Nearest neighbours by factors or to sizes."""
    x, mode = call.value(0), call.attribute("mode", "nearest")
    where = call.attribute("coordinate_transformation_mode", "half_pixel") if call.opset > 10 else "asymmetric"
    rounding = call.attribute("nearest_mode", "round_prefer_floor") if call.opset > 10 else "floor"
    roi = call.constant(1) if call.opset > 10 else None
    scales, sizes = call.constant(2 if call.opset > 10 else 1), call.constant(3) if call.opset > 10 else None
    axes = call.attribute("axes", None)
    policy = call.attribute("keep_aspect_ratio_policy", "stretch")
    for name in ("cubic_coeff_a", "exclude_outside", "extrapolation_value"):
        call.attribute(name, None)  # of other modes
    antialias = call.flag("antialias", 0)
    if x is None:
        return None
    if mode != "nearest" or antialias:
        call.problem("mode", mode, "nearest without antialias", vocabulary.SMOOTH)
        return None
    if axes is not None or policy != "stretch" or where == "tf_crop_and_resize" or (roi is not None and roi.size):
        call.problem("axes, roi, keep_aspect_ratio_policy", f"{axes}, {policy}, {where}", "all axes, whole, stretch")
        return None
    factors = None if scales is None or not scales.size else [float(scale) for scale in scales]
    return _nearest(call, x, factors, None if sizes is None else [int(size) for size in sizes], where, rounding)


def _nearest(
    call: Call, x: Value, scales: list[float] | None, sizes: list[int] | None, where: str, rounding: str
) -> Value | None:
    own = (call.batch, *x.shape)
    given = scales if sizes is None else sizes
    if given is None or len(given) != len(own):
        call.problem("scales, sizes", f"{scales}, {sizes}", f"one number for each of the {len(own)} axes")
        return None
    wanted: Sequence[float] = sizes or [before * scale for before, scale in zip(own, scales or [], strict=True)]
    if not all(0 < size <= MAX_ORDERED for size in wanted):
        call.problem("scales, sizes", f"{scales}, {sizes}", f"sizes of 1 to {MAX_ORDERED}")
        return None
    results = sizes or [int(np.floor(size * scale)) for size, scale in zip(own, scales or [], strict=True)]
    factors = scales if sizes is None else None
    factors = factors or [after / before for before, after in zip(own, results, strict=True)]
    if results[:2] != list(own[:2]) or min(results) < 1 or math.prod(results[1:]) > MAX_ORDERED:
        call.problem("scales, sizes", results, "a factor of 1 for the batch and the channels")
        return None
    indices = [
        _indices(before, after, factor, where, rounding)
        for before, after, factor in zip(own[2:], results[2:], factors[2:], strict=True)
    ]
    if any(index is None for index in indices):
        call.problem("coordinate_transformation_mode, nearest_mode", f"{where}, {rounding}", "those of the standard")
        return None
    return vocabulary.resized(
        call.build, call.place, x, [np.arange(own[1]), *(index for index in indices if index is not None)]
    )


def _indices(before: int, after: int, factor: float, where: str, rounding: str) -> Order | None:
    """Return the position in an axis of size `before` that each of `after` positions takes."""
    at = np.arange(after, dtype=np.float64)
    places = {
        "asymmetric": at / factor,
        "half_pixel": (at + 0.5) / factor - 0.5,
        "half_pixel_symmetric": before / 2 * (1 - after / (factor * before)) + (at + 0.5) / factor - 0.5,
        "pytorch_half_pixel": (at + 0.5) / factor - 0.5 if after > 1 else at * 0,
        "align_corners": at * (before - 1) / (after - 1) if after > 1 else at * 0,
    }
    roundings: dict[str, Callable[[Array], Array]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda place: np.asarray(np.ceil(place - 0.5)),
        "round_prefer_ceil": lambda place: np.asarray(np.floor(place + 0.5)),
    }
    if where not in places or rounding not in roundings:
        return None
    index: Order = np.clip(roundings[rounding](places[where]), 0, before - 1).astype(np.int64)
    return index
