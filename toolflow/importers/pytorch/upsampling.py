"""The ATen operators that make maps larger, or their channels into positions."""

from __future__ import annotations

import numpy as np

from toolflow.importers import phases, vocabulary
from toolflow.importers.builder import Value
from toolflow.importers.pytorch.call import Call
from toolflow.operators import Conv


def conv_transpose(call: Call) -> Value | None:
    """A convolution of the smaller map."""
    x, weight, bias = call.tensor("input"), call.constant("weight"), call.take("bias")
    if weight is None:
        return None
    if isinstance(bias, Value) or weight.ndim != 1 + len(x.shape) or len(x.shape) not in (2, 3):
        call.problem("weight", f"of shape {weight.shape}", f"constants of {1 + len(x.shape)} axes")
        return None
    pads = call.pair("padding", x, row=0)
    op = Conv(call.pair("stride", x), (*pads, *pads), call.pair("dilation", x), call.take("groups"))
    more = call.pair("output_padding", x, row=0)
    weight = weight.reshape(*weight.shape[:2], *vocabulary.window(x, weight.shape[2:]))
    shift = None if bias is None else np.asarray(bias.double().numpy(), np.float64)
    return phases.transposed_convolution(call.build, call.place, x, op, more, weight, shift)


def nearest(call: Call) -> Value | None:
    """Nearest neighbours: the first of each step, or in the exact form the one in its middle."""
    x = call.tensor("self" if "self" in call.args else "input")
    exact = "exact" in str(call.node.target)
    given = (
        [call.args.get(name) for name in ("scales_h", "scales_w")] if len(x.shape) == 3 else [call.args.get("scales")]
    )
    factors = call.args.get("scale_factors") or given
    call.args.clear()  # the output's shape says the rest
    sizes = [int(size) for size in call.node.meta["val"].shape[2:]]
    indices = [np.arange(x.shape[0])]
    for before, after, factor in zip(x.shape[1:], sizes, factors, strict=True):
        step = 1 / factor if factor else before / after
        places = (np.arange(after) + (0.5 if exact else 0.0)) * step
        indices.append(np.minimum(np.floor(places), before - 1).astype(np.int64))
    return vocabulary.resized(call.build, call.place, x, indices)


def pixel_shuffle(call: Call) -> Value | None:
    """Channels into positions."""
    return vocabulary.depth_to_space(call.build, call.place, call.tensor(), call.take("upscale_factor"), by_column=True)


def pixel_unshuffle(call: Call) -> Value | None:
    """Positions into channels."""
    factor = call.take("downscale_factor")
    return vocabulary.space_to_depth(call.build, call.place, call.tensor(), factor, by_column=True)
