"""The ONNX operators that can be imported: a function for each turns a node into nodes of the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from toolflow.importers import activations, phases, vocabulary
from toolflow.importers.builder import GraphBuilder, Place, Value
from toolflow.importers.onnx import endings, upsampling
from toolflow.importers.onnx import layout as onnx_layout
from toolflow.importers.onnx.call import Call
from toolflow.operators import AvgPool, Conv, Linear, MaxPool, Segments
from toolflow.operators.segments.onnx_form import WEIGHTS as SEGMENTS
from toolflow.operators.window import Pads, Pair

RELU_HINT = vocabulary.INSIDE
REWRITES: Mapping[str, str] = {
    **dict.fromkeys(
        ("Celu", "Elu", "Gelu", "HardSwish", "Mish", "Selu", "Softplus", "Softsign", "Swish", "Tanh"), RELU_HINT
    ),
    **dict.fromkeys(
        ("LayerNormalization", "GroupNormalization", "InstanceNormalization", "LRN"), "use batch normalisation"
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), "export only the branch that inference takes"),
}
QUANTISERS = frozenset(
    {
        "BipolarQuant", "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "FloatQuant", "IntQuant",
        "MatMulInteger", "MultiThreshold", "QLinearAdd", "QLinearConv", "QLinearMatMul", "Quant", "QuantizeLinear",
        "Trunc",
    }
)  # fmt: skip
DECISIONS = frozenset({"ArgMax", "TopK"})
ENDINGS = DECISIONS | {"LogSoftmax", "Sigmoid", "Softmax"}  # left out at the output: they keep the order of the classes
RESHAPING = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def _axes(x: Value) -> int:
    """Return how many axes a window has: one on a signal (C, length)."""
    return len(x.shape) - 1


def _window(call: Call, x: Value, kernel: Pair) -> tuple[Pair, Pads, Pair] | None:
    """Return stride, pads and dilation from strides, pads, dilations and auto_pad; None after a problem."""
    axes = _axes(x)
    strides, dilations = call.numbers("strides", (1,) * axes, axes), call.numbers("dilations", (1,) * axes, axes)
    mode = call.attribute("auto_pad", "NOTSET")
    pads = call.numbers("pads", (0,) * 2 * axes, 2 * axes)
    if strides is None or dilations is None or pads is None:
        return None
    stride, dilation = vocabulary.window(x, strides), vocabulary.window(x, dilations)
    if mode == "NOTSET":
        before, after = vocabulary.window(x, pads[:axes], 0), vocabulary.window(x, pads[axes:], 0)
        return stride, (*before, *after), dilation
    if mode not in ("VALID", "SAME_UPPER", "SAME_LOWER") or any(pads):
        call.problem(
            "auto_pad", f"{mode} with pads {pads}", "NOTSET with pads, or VALID, SAME_UPPER, SAME_LOWER without"
        )
        return None
    if mode == "VALID":
        return stride, (0, 0, 0, 0), dilation
    sides = []
    for axis, size in enumerate(vocabulary.window(x, x.shape[1:])):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        total = max((-(-size // stride[axis]) - 1) * stride[axis] + reach - size, 0)
        small, large = total // 2, total - total // 2
        sides.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return stride, (sides[0][0], sides[1][0], sides[0][1], sides[1][1]), dilation


def _is_map(call: Call, x: Value) -> bool:
    if len(x.shape) not in (2, 3):
        call.problem("input shape", x.shape, "a feature map (C, H, W) or (C, length)")
        return False
    return True


def _conv(call: Call) -> Value | None:
    x, weight, bias = call.value(0), call.weight(1), call.weight(2)
    if x is None or weight is None or not _is_map(call, x):
        return None
    if weight.ndim != 2 + _axes(x):
        call.problem("weight", f"of shape {weight.shape}", f"{2 + _axes(x)} axes for an input {x.shape}")
        return None
    given = call.numbers("kernel_shape", weight.shape[2:], _axes(x))
    if given is not None and tuple(given) != weight.shape[2:]:
        call.problem("kernel_shape", given, f"{list(weight.shape[2:])}, the kernel of the weight")
        return None
    kernel = vocabulary.window(x, weight.shape[2:])
    weight = weight.reshape(*weight.shape[:2], *kernel)
    window = _window(call, x, kernel)
    if window is None:
        return None
    op = Conv(*window, call.attribute("group", 1))
    bias = np.zeros(weight.shape[0]) if bias is None else bias
    return phases.convolution(call.build, call.place, x, op, {"weight": weight, "bias": bias})


def _gemm(call: Call) -> Value | None:
    x, weight, bias = call.value(0), call.weight(1), call.weight(2)
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    transposed, first = call.flag("transB", 0), call.flag("transA", 0)
    if x is None or weight is None:
        return None
    if first:
        call.problem("transA", first, "0")
        return None
    if weight.ndim != 2:
        call.problem("input 1", f"of shape {weight.shape}", "a matrix")
        return None
    weight = alpha * (weight if transposed else weight.T)
    outputs = weight.shape[0]
    if bias is not None and bias.size != 1 and (bias.size, *bias.shape[-1:]) != (outputs, outputs):
        call.problem("input 2", f"of shape {bias.shape}", f"one number for each of the {outputs} outputs")
        return None
    shift = np.zeros(outputs) if bias is None else beta * np.broadcast_to(bias.reshape(-1), (outputs,))
    return call.build.emit(call.place, Linear(), [x], {"weight": weight, "bias": shift})


def _matmul(call: Call) -> Value | None:
    x, weight = call.value(0), call.weight(1)
    if x is None or weight is None:
        return None
    if weight.ndim != 2:
        call.problem("input 1", f"of shape {weight.shape}", "a matrix (F, K)")
        return None
    return call.build.emit(call.place, Linear(), [x], {"weight": weight.T, "bias": np.zeros(weight.shape[1])})


def _batch_norm(call: Call) -> Value | None:
    x = call.value(0)
    arrays = [call.weight(index) for index in range(1, 5)]
    call.attribute("momentum", 0.9)  # updates the running statistics in training only
    eps, training = call.attribute("epsilon", 1e-5), call.flag("training_mode", 0)
    if call.opset < 9 and not call.flag("spatial", 1):
        call.problem("spatial", 0, "1: statistics per channel")
        return None
    if training:
        call.problem("training_mode", 1, "0")
    if x is None or training:
        return None
    weights = {
        name: array
        for name, array in zip(("scale", "bias", "mean", "variance"), arrays, strict=True)
        if array is not None
    }
    return vocabulary.batch_norm(call.build, call.place, x, eps, weights) if len(weights) == 4 else None


def _segments(call: Call) -> Value | None:
    """Import a function that compressed networks call, by its name."""
    x, arrays = call.value(0), [call.weight(index) for index in range(1, 1 + len(SEGMENTS))]
    weights = {name: array for name, array in zip(SEGMENTS, arrays, strict=True) if array is not None}
    return (
        call.build.emit(call.place, Segments(), [x], weights) if x is not None and len(weights) == len(arrays) else None
    )


def _relu(call: Call) -> Value | None:
    x = call.value(0)
    return activations.clip(call.build, call.place, x, 0.0, None)


def _clip(call: Call) -> Value | None:
    x, lower, upper = call.value(0), call.number("min", 1, 11), call.number("max", 2, 11)
    return activations.clip(call.build, call.place, x, lower, upper)


def _leaky_relu(call: Call) -> Value | None:
    x, slope = call.value(0), call.attribute("alpha", 0.01)
    return None if x is None else activations.leaky_relu(call.build, call.place, x, np.full(1, slope))


def _p_relu(call: Call) -> Value | None:
    x, slope = call.value(0), call.weight(1)
    return None if x is None or slope is None else activations.leaky_relu(call.build, call.place, x, slope)


def _abs(call: Call) -> Value | None:
    x = call.value(0)
    return None if x is None else activations.leaky_relu(call.build, call.place, x, np.full(1, -1.0))


def _hard_sigmoid(call: Call) -> Value | None:
    x, slope, middle = call.value(0), call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    return None if x is None else activations.hard_sigmoid(call.build, call.place, x, slope, middle)


def _max_pool(call: Call) -> Value | None:
    x = call.value(0)
    call.flag("storage_order", 0)  # order of the indices, an output that is not used
    ceil_mode = call.flag("ceil_mode", 0)
    if x is None or not _is_map(call, x) or (size := call.numbers("kernel_shape", (), _axes(x))) is None:
        return None
    kernel = vocabulary.window(x, size)
    window = _window(call, x, kernel)
    return None if window is None else call.build.emit(call.place, MaxPool(kernel, *window, ceil_mode), [x])


def _avg_pool(call: Call) -> Value | None:
    x = call.value(0)
    ceil_mode = call.flag("ceil_mode", 0)
    count_pads = call.flag("count_include_pad", 0)
    if x is None or not _is_map(call, x) or (size := call.numbers("kernel_shape", (), _axes(x))) is None:
        return None
    kernel = vocabulary.window(x, size)
    window = _window(call, x, kernel)
    if window is None:
        return None
    stride, pads, dilation = window
    if dilation != (1, 1):
        if ceil_mode or (any(pads) and not count_pads):
            allowed = "[1, 1], or a window that counts its padding, without ceil mode"
            call.problem("dilations", list(dilation), allowed, "use a depthwise convolution with constant weights")
            return None
        channels = x.shape[0]
        mean = np.full((channels, 1, *kernel), 1 / math.prod(kernel))
        op = Conv(stride, pads, dilation, groups=channels)
        return phases.convolution(call.build, call.place, x, op, {"weight": mean, "bias": np.zeros(channels)})
    return vocabulary.avg_pool(call.build, call.place, x, AvgPool(kernel, stride, pads, ceil_mode, count_pads))


def _global_average(call: Call) -> Value | None:
    x = call.value(0)
    return None if x is None else vocabulary.mean(call.build, call.place, x, range(2, 1 + len(x.shape)), keep=True)


def _global_max(call: Call) -> Value | None:
    x = call.value(0)
    return None if x is None else vocabulary.maximum(call.build, call.place, x, range(2, 1 + len(x.shape)), keep=True)


def _reduce_mean(call: Call) -> Value | None:
    return _reduced(call, vocabulary.mean, 18)


def _reduce_max(call: Call) -> Value | None:
    return _reduced(call, vocabulary.maximum, 18)


def _reduce_sum(call: Call) -> Value | None:
    return _reduced(call, vocabulary.total, 13)


def _reduced(
    call: Call, reduction: Callable[[GraphBuilder, Place, Value, Sequence[int], bool], Value | None], since: int
) -> Value | None:
    x, axes = call.value(0), call.integers("axes", 1, since)
    keep = call.flag("keepdims", 1)
    does_nothing = call.flag("noop_with_empty_axes", 0) and not axes
    if x is None or does_nothing:
        return x
    return reduction(call.build, call.place, x, axes or [], keep)


def _extreme(call: Call, sign: float) -> Value | None:
    """Import Max or Min of maps and numbers."""
    operands = [call.inputs.pop(index) for index in sorted(call.inputs)]
    numbers = [value for value in operands if isinstance(value, np.ndarray)]
    if any(number.size != 1 for number in numbers):
        call.problem("constant", f"of shape {[number.shape for number in numbers]}", "one number")
        return None
    found, *rest = [value for value in operands if isinstance(value, Value)]
    for value in rest:
        result = activations.larger(call.build, call.place, found, value, sign)
        if result is None:
            return None
        found = result
    if not numbers:
        return found
    bound = sign * max(sign * float(number.reshape(())) for number in numbers)
    bounds = (bound, None) if sign > 0 else (None, bound)
    return activations.clip(call.build, call.place, found, *bounds)


def _max(call: Call) -> Value | None:
    return _extreme(call, 1.0)


def _min(call: Call) -> Value | None:
    return _extreme(call, -1.0)


def _sum_of(call: Call, sign: float) -> Value | None:
    """Import a sum or a difference: a + sign·b."""
    a, b = call.inputs.pop(0), call.inputs.pop(1)
    if isinstance(a, Value) and isinstance(b, Value):
        return vocabulary.add(call.build, call.place, a, b, sign)
    if isinstance(a, Value) and isinstance(b, np.ndarray):
        return vocabulary.scale_shift(call.build, call.place, a, shift=sign * b.astype(np.float64))
    if isinstance(b, Value) and isinstance(a, np.ndarray):
        return vocabulary.scale_shift(call.build, call.place, b, np.full(1, sign), a.astype(np.float64))
    return None


def _add(call: Call) -> Value | None:
    return _sum_of(call, 1.0)


def _sub(call: Call) -> Value | None:
    return _sum_of(call, -1.0)


def _neg(call: Call) -> Value | None:
    x = call.value(0)
    return None if x is None else vocabulary.scale_shift(call.build, call.place, x, np.full(1, -1.0))


def _mul(call: Call) -> Value | None:
    x, factor = (
        (call.value(0), call.weight(1)) if isinstance(call.inputs[0], Value) else (call.value(1), call.weight(0))
    )
    return None if x is None or factor is None else vocabulary.scale_shift(call.build, call.place, x, factor)


def _div(call: Call) -> Value | None:
    x, divisor = call.value(0), call.weight(1)
    if x is None or divisor is None:
        return None
    with np.errstate(divide="ignore"):  # an infinite factor is refused where the node is made
        return vocabulary.scale_shift(call.build, call.place, x, 1.0 / divisor)


def _sum(call: Call) -> Value | None:
    total, *rest = [call.value(index) for index in sorted(call.inputs)]
    for value in rest:
        if total is None or value is None:
            return None
        total = vocabulary.add(call.build, call.place, total, value)
    return total


def _mean_of(call: Call) -> Value | None:
    count = len(call.inputs)
    total = _sum(call)
    return None if total is None else vocabulary.scale_shift(call.build, call.place, total, np.full(1, 1 / count))


def _concat(call: Call) -> Value | None:
    values = [call.value(index) for index in sorted(call.inputs)]
    axis = call.attribute("axis", 1)
    known = [value for value in values if value is not None]
    return vocabulary.concat(call.build, call.place, known, axis) if len(known) == len(values) else None


def _identity(call: Call) -> Value | None:
    return call.value(0)


def _dropout(call: Call) -> Value | None:
    x, training = call.value(0), call.constant(2)
    call.constant(1)  # the ratio: no effect in inference
    for name in ("ratio", "seed", "is_test"):
        call.attribute(name, None)
    if training is not None and training.any():
        call.problem("training_mode", True, "False", "export in inference mode: model.eval()")
        return None
    return x


def _cast(call: Call) -> Value | None:
    x, to = call.value(0), call.attribute("to", TensorProto.FLOAT)
    for name in ("saturate", "round_mode"):
        call.attribute(name, None)  # for 8-bit floats only
    if to not in FLOATS:
        known = to in TensorProto.DataType.values()
        call.problem("to", TensorProto.DataType.Name(to) if known else to, "a floating-point type")
        return None
    return x


def _cast_like(call: Call) -> Value | npt.NDArray[Any] | None:
    """Import CastLike to a floating-point type: what is computed from the image has one."""
    x, like = call.inputs.pop(0), call.inputs.pop(1)
    for name in ("saturate", "round_mode"):
        call.attribute(name, None)
    if isinstance(like, np.ndarray) and helper.np_dtype_to_tensor_dtype(like.dtype) not in FLOATS:
        call.problem("input 1", f"of type {like.dtype}", "a floating-point type")
        return None
    return x.astype(np.float64) if isinstance(x, np.ndarray) else x if isinstance(x, Value) else None


def _pad(call: Call) -> Value | None:
    x, mode = call.value(0), call.attribute("mode", "constant")
    pads, value, axes = call.integers("pads", 1, 11), call.number("value", 2, 11), call.integers("axes", 3, 1)
    if x is None or pads is None:
        return None
    if mode != "constant" or value not in (None, 0.0):
        call.problem("mode, value", f"{mode}, {value}", "constant, 0")
        return None
    rank = 1 + len(x.shape)
    chosen = list(range(rank)) if axes is None else [vocabulary.position(axis, rank) for axis in axes]
    if min(chosen, default=0) < 0 or len(set(chosen)) < len(chosen) or len(pads) != 2 * len(chosen):
        call.problem(
            "pads, axes", f"{pads}, {axes}", f"two numbers for each axis, and each of the {rank} axes once at most"
        )
        return None
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(chosen):
        before[axis], after[axis] = pads[i], pads[i + len(chosen)]
    return vocabulary.pad(call.build, call.place, x, before, after)


def _shape(call: Call) -> npt.NDArray[np.int64] | None:
    """Return the shape as a constant. The batch is the one that the file fixes, or 1."""
    x = call.value(0)
    start, end = call.attribute("start", 0), call.attribute("end", None)
    return None if x is None else np.array((call.batch, *x.shape)[start:end], np.int64)


OPERATORS: Mapping[str, Callable[[Call], Value | npt.NDArray[Any] | list[Value | None] | None]] = {
    "Abs": _abs,
    "Add": _add,
    "ArgMax": endings.arg_max,
    "AveragePool": _avg_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": upsampling.conv_transpose,
    "DepthToSpace": onnx_layout.depth_to_space,
    "Div": _div,
    "Dropout": _dropout,
    "Flatten": onnx_layout.flatten,
    "Gather": onnx_layout.gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
    "HardSigmoid": _hard_sigmoid,
    "Identity": _identity,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": endings.softmax,
    "MatMul": _matmul,
    "Max": _max,
    "MaxPool": _max_pool,
    "Mean": _mean_of,
    "Min": _min,
    "Mul": _mul,
    "Neg": _neg,
    "PRelu": _p_relu,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "ReduceSum": _reduce_sum,
    "Relu": _relu,
    "ReduceMax": _reduce_max,
    "Resize": upsampling.resize,
    "Reshape": onnx_layout.reshape,
    "Segments": _segments,
    "Shape": _shape,
    "Sigmoid": endings.sigmoid,
    "Slice": onnx_layout.part,
    "Softmax": endings.softmax,
    "SpaceToDepth": onnx_layout.space_to_depth,
    "Split": onnx_layout.split,
    "Squeeze": onnx_layout.squeeze,
    "Sub": _sub,
    "Sum": _sum,
    "TopK": endings.top_k,
    "Transpose": onnx_layout.transpose,
    "Unsqueeze": onnx_layout.unsqueeze,
    "Upsample": upsampling.upsample,
}
