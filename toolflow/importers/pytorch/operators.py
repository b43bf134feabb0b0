"""The ATen operators that can be imported: a function for each turns a recorded call into nodes of the graph."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from toolflow.importers import activations, phases, vocabulary
from toolflow.importers.builder import Value
from toolflow.importers.pytorch import pooling, upsampling
from toolflow.importers.pytorch.call import Call, as_array, both
from toolflow.operators import Conv, Linear
from toolflow.operators.window import Pads, Pair

aten = torch.ops.aten

DROPOUT_HINT = "pass training=self.training to F.dropout"
QUANTISED_HINT = "give the float model with the trained weights; the toolflow quantises it"
RELU_HINT = vocabulary.INSIDE
RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")  # PyTorch tags them as random: they can hold dropout
REWRITES: Mapping[str, str] = {
    **dict.fromkeys(RECURRENT, "no replacement exists for recurrent layers"),
    **dict.fromkeys(("celu", "elu", "selu", "gelu", "silu", "mish", "hardswish", "softplus", "tanh"), RELU_HINT),
    **dict.fromkeys(
        ("group_norm", "layer_norm", "instance_norm"), "use batch normalisation, which is folded into the convolution"
    ),
    **dict.fromkeys(("upsample_bilinear2d", "upsample_bicubic2d", "upsample_linear1d"), vocabulary.SMOOTH),
    **dict.fromkeys(("matmul", "mm", "bmm", "einsum"), "use nn.Linear or a 1×1 convolution with constant weights"),
    "max": "use nn.AdaptiveMaxPool2d(1) for the maximum over height and width",
    "amin": "negate the map, take amax over height and width, and negate that",
    "_native_batch_norm_legit": "keep track_running_stats=True and train the statistics",
    **dict.fromkeys(
        ("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine", "quantize_per_tensor", "dequantize"),
        QUANTISED_HINT,
    ),
    "dropout": DROPOUT_HINT,
}


def _conv(call: Call) -> Value | None:
    x, weight = call.tensor("input"), call.constant("weight")
    bias_given = call.take("bias")
    if weight is None:
        return None
    if weight.ndim != 1 + len(x.shape) or len(x.shape) not in (2, 3):
        call.problem(
            "weight", f"of shape {weight.shape}", "a convolution of a map (C, H, W) or of a signal (C, length)"
        )
        return None
    weight = weight.reshape(*weight.shape[:2], *vocabulary.window(x, weight.shape[2:]))
    if isinstance(bias_given, Value):
        call.problem("bias", "computed from the image", "a constant")
        return None
    bias = np.zeros(weight.shape[0]) if bias_given is None else as_array(bias_given)
    stride, dilation, padding = call.pair("stride", x), call.pair("dilation", x), call.take("padding")
    if isinstance(padding, str):
        pads = _same(weight.shape[2:], dilation) if padding == "same" else (0, 0, 0, 0)
    else:
        pads = both(vocabulary.window(x, [padding] if isinstance(padding, int) else padding, 0))
    op = Conv(stride, pads, dilation, call.take("groups"))
    return phases.convolution(call.build, call.place, x, op, {"weight": weight, "bias": bias})


def _same(kernel: Sequence[int], dilation: Pair) -> Pads:
    """Return the pads of padding='same': PyTorch adds an odd element at the bottom and on the right."""
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)


def _linear(call: Call) -> Value | None:
    x, weight, bias_given = call.tensor("input"), call.constant("weight"), call.take("bias")
    if weight is None:
        return None
    if isinstance(bias_given, Value):
        call.problem("bias", "computed from the image", "a constant")
        return None
    bias = np.zeros(weight.shape[0]) if bias_given is None else as_array(bias_given)
    return call.build.emit(call.place, Linear(), [x], {"weight": weight, "bias": bias})


def _batch_norm(call: Call) -> Value | None:
    x = call.tensor("input")
    call.take("momentum")  # updates the running statistics in training only
    channels = x.shape[0]
    arrays = {}
    for name, source, neutral in (
        ("scale", "weight", 1.0),
        ("bias", "bias", 0.0),
        ("mean", "running_mean", None),
        ("variance", "running_var", None),
    ):
        given = call.take(source)
        if isinstance(given, Value) or (given is None and neutral is None):
            call.problem(source, "of the batch", "a constant", "keep track_running_stats=True and train the statistics")
            return None
        arrays[name] = np.full(channels, neutral) if given is None else as_array(given)
    return vocabulary.batch_norm(call.build, call.place, x, call.take("eps"), arrays)


def _relu(call: Call) -> Value | None:
    return activations.clip(call.build, call.place, call.tensor(), 0.0, None)


def _relu6(call: Call) -> Value | None:
    return activations.clip(call.build, call.place, call.tensor(), 0.0, 6.0)


def _hardtanh(call: Call) -> Value | None:
    return activations.clip(call.build, call.place, call.tensor(), call.take("min_val"), call.take("max_val"))


def _clamp(call: Call) -> Value | None:
    lower, upper = call.args.pop("min", None), call.args.pop("max", None)
    return activations.clip(call.build, call.place, call.tensor(), lower, upper)


def _leaky_relu(call: Call) -> Value | None:
    slope = np.full(1, call.take("negative_slope"), np.float64)
    return activations.leaky_relu(call.build, call.place, call.tensor(), slope)


def _prelu(call: Call) -> Value | None:
    x, slope = call.tensor(), call.constant("weight")
    if slope is None:
        return None
    return activations.leaky_relu(call.build, call.place, x, slope.reshape(-1, *([1] * (len(x.shape) - 1))))


def _abs(call: Call) -> Value | None:
    return activations.leaky_relu(call.build, call.place, call.tensor(), np.full(1, -1.0))


def _hard_sigmoid(call: Call) -> Value | None:
    return activations.hard_sigmoid(call.build, call.place, call.tensor(), 1 / 6, 0.5)


def _neg(call: Call) -> Value | None:
    return vocabulary.scale_shift(call.build, call.place, call.tensor(), np.full(1, -1.0))


def _extreme(call: Call) -> Value | None:
    a, b = call.take("self"), call.take("other")
    if not isinstance(a, Value) or not isinstance(b, Value):
        call.problem("other", "a constant", "a tensor computed from the image", "use clamp")
        return None
    return activations.larger(call.build, call.place, a, b, 1.0 if "maximum" in str(call.node.target) else -1.0)


def _sum_of(call: Call, sign: float, first: str = "self", second: str = "other") -> Value | None:
    """Sum or difference: a + sign·alpha·b."""
    a, b, alpha = call.take(first), call.take(second), sign * call.args.pop("alpha", 1)
    if isinstance(a, Value) and isinstance(b, Value):
        return vocabulary.add(call.build, call.place, a, b, alpha)
    if isinstance(a, Value):
        return vocabulary.scale_shift(call.build, call.place, a, shift=alpha * as_array(b))
    return vocabulary.scale_shift(call.build, call.place, b, np.float64(alpha).reshape(1), as_array(a))


def _add(call: Call) -> Value | None:
    return _sum_of(call, 1.0)


def _sub(call: Call) -> Value | None:
    return _sum_of(call, -1.0)


def _rsub(call: Call) -> Value | None:
    return _sum_of(call, -1.0, "other", "self")


def _mul(call: Call) -> Value | None:
    a, b = call.take("self"), call.take("other")
    if isinstance(a, Value) and isinstance(b, Value):
        call.problem("other", "computed from the image", "a constant")
        return None
    x, constant = (a, b) if isinstance(a, Value) else (b, a)
    return vocabulary.scale_shift(call.build, call.place, x, as_array(constant))


def _div(call: Call) -> Value | None:
    a, b = call.take("self"), call.take("other")
    if isinstance(b, Value):
        call.problem("other", "computed from the image", "a constant")
        return None
    return vocabulary.scale_shift(call.build, call.place, a, 1.0 / as_array(b))


def _cat(call: Call) -> Value | None:
    values = call.take("tensors")
    if not all(isinstance(value, Value) for value in values):
        call.problem("tensors", "a constant among them", "tensors computed from the image", "use F.pad for zeros")
        return None
    return vocabulary.concat(call.build, call.place, values, call.take("dim"))


def _reshape(call: Call) -> Value | None:
    """Import an operator that keeps the order of the elements: view, reshape, flatten, squeeze, unsqueeze."""
    x = call.tensor()
    call.args.clear()  # only the output's shape matters
    shape = [int(size) for size in call.node.meta["val"].shape]
    batch = int(call.node.args[0].meta["val"].shape[0])  # type: ignore[union-attr]
    if not shape or shape[0] != batch:
        call.problem("shape", shape, "a shape that keeps the batch first")
        return None
    return call.build.view(call.place, x, tuple(shape[1:]))


def _permute(call: Call) -> Value | None:
    return vocabulary.transpose(call.build, call.place, call.tensor(), call.take("dims"))


def _transpose(call: Call) -> Value | None:
    x, first, second = call.tensor(), call.take("dim0"), call.take("dim1")
    axes = list(range(1 + len(x.shape)))
    axes[first], axes[second] = axes[second], axes[first]
    return vocabulary.transpose(call.build, call.place, x, axes)


def _channel_shuffle(call: Call) -> Value | None:
    x, groups = call.tensor(), call.take("groups")
    channels = np.arange(x.shape[0]).reshape(groups, -1).T.reshape(-1)
    return vocabulary.take(call.build, call.place, x, 1, channels)


def _split(call: Call) -> list[Value | None]:
    """Import a split along one axis, into parts of one size (the last may be smaller) or of given sizes."""
    x, axis = call.tensor(), call.take("dim")
    call.args.clear()  # the shapes of the outputs give the sizes
    sizes = [int(result.shape[axis]) for result in call.node.meta["val"]]
    ends = np.cumsum(sizes)
    return [
        vocabulary.take(call.build, call.place, x, axis, np.arange(end - size, end))
        for size, end in zip(sizes, ends, strict=True)
    ]


def _index_select(call: Call) -> Value | None:
    x, axis, index = call.tensor(), call.take("dim"), call.constant("index")
    if index is None:
        return None
    return vocabulary.take(call.build, call.place, x, axis, index.astype(np.int64))


def _index(call: Call) -> Value | None:
    """Import x[:, [2, 1, 0]]: constant indices along one axis."""
    x, indices = call.tensor(), call.take("indices")
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(given) != 1 or isinstance(given[0][1], Value) or given[0][1].ndim != 1 or given[0][1].dtype == torch.bool:
        call.problem("indices", "of several axes, or computed from the image", "constant indices along one axis")
        return None
    axis, index = given[0]
    return vocabulary.take(call.build, call.place, x, axis, as_array(index).astype(np.int64))


def _select(call: Call) -> Value | None:
    """Import x[:, 2]: a constant index along an axis, which is removed."""
    return vocabulary.take(call.build, call.place, call.tensor(), call.take("dim"), np.array(call.take("index")))


def _slice(call: Call) -> Value | None:
    x, dim, start, end = call.tensor(), call.take("dim"), call.take("start"), call.take("end")
    start, end = start or 0, (1 << 62) if end is None else end
    return vocabulary.subsample(call.build, call.place, x, dim, start, end, call.take("step"))


def _pad(call: Call) -> Value | None:
    x, pads, value = call.tensor(), call.take("pad"), call.take("value")
    mode = call.args.pop("mode", "constant")
    if mode != "constant" or value not in (None, 0):
        call.problem("mode" if mode != "constant" else "value", mode if mode != "constant" else value, "zeros")
        return None
    rank = 1 + len(x.shape)
    before, after = [0] * rank, [0] * rank
    for i in range(len(pads) // 2):  # PyTorch lists the last axis first
        before[rank - 1 - i], after[rank - 1 - i] = pads[2 * i], pads[2 * i + 1]
    return vocabulary.pad(call.build, call.place, x, before, after)


def _identity(call: Call) -> Value | None:
    x = call.tensor() if "self" in call.args else call.tensor("input")
    if call.args.get("train", False):
        call.problem("train", True, "False", DROPOUT_HINT)
        return None
    call.args.clear()  # neither the probability nor the memory format changes a value
    return x


def _to_copy(call: Call) -> Value | None:
    dtype = call.take("dtype")
    if dtype is not None and dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        call.problem("dtype", dtype, "a floating-point type")
        return None
    return _identity(call)


def _softmax(call: Call) -> Value | None:
    x, dim = call.tensor(), call.take("dim")
    call.args.clear()
    return vocabulary.left_out_at_end(call.build, call.place, vocabulary.SOFTMAX, x, dim, _is_end(call.node))


def _sigmoid(call: Call) -> Value | None:
    return vocabulary.sigmoid_at_end(call.build, call.place, call.tensor(), _is_end(call.node))


def _argmax(call: Call) -> Value | None:
    """Leave argmax out at the output: the device returns the class, the first one of equal scores."""
    x, dim = call.tensor(), call.take("dim")
    call.args.clear()
    axis = 0 if dim is None else dim  # over all axes: the images of a batch would be mixed
    return vocabulary.left_out_at_end(call.build, call.place, vocabulary.DECISION, x, axis, _is_end(call.node))


def _largest(call: Call) -> list[Value | None] | None:
    """Leave topk and max out at the output, which give scores and classes."""
    x, dim = call.tensor(), call.take("dim")
    if not call.args.pop("largest", True):
        call.problem("largest", False, "True")
        return None
    call.args.clear()
    found = vocabulary.left_out_at_end(call.build, call.place, vocabulary.DECISION, x, dim, _is_end(call.node))
    return [found, found]


def _is_end(node: fx.Node) -> bool:
    """Return whether a node's only use is the model's output, directly or through what keeps the classes' order."""
    if len(node.users) != 1:
        return False
    user = next(iter(node.users))
    kept = OPERATORS.get(user.target) in KEEP_ORDER or user.target is operator.getitem
    return user.op == "output" or (kept and _is_end(user))


KEEP_ORDER = (_reshape, _identity, _softmax, _argmax, _largest)


OPERATORS: Mapping[Any, Callable[[Call], Value | list[Value | None] | None]] = {
    aten.conv1d.default: _conv,
    aten.conv1d.padding: _conv,
    aten.conv2d.default: _conv,
    aten.conv2d.padding: _conv,
    aten.conv_transpose1d.default: upsampling.conv_transpose,
    aten.conv_transpose2d.input: upsampling.conv_transpose,
    aten.upsample_nearest1d.vec: upsampling.nearest,
    aten.upsample_nearest1d.default: upsampling.nearest,
    aten.upsample_nearest2d.vec: upsampling.nearest,
    aten.upsample_nearest2d.default: upsampling.nearest,
    aten._upsample_nearest_exact2d.vec: upsampling.nearest,
    aten._upsample_nearest_exact2d.default: upsampling.nearest,
    aten.pixel_shuffle.default: upsampling.pixel_shuffle,
    aten.pixel_unshuffle.default: upsampling.pixel_unshuffle,
    aten.linear.default: _linear,
    aten.batch_norm.default: _batch_norm,
    aten._native_batch_norm_legit_no_training.default: _batch_norm,
    aten.relu.default: _relu,
    aten.relu6.default: _relu6,
    aten.hardtanh.default: _hardtanh,
    aten.clamp.default: _clamp,
    aten.clamp_min.default: _clamp,
    aten.clamp_max.default: _clamp,
    aten.leaky_relu.default: _leaky_relu,
    aten.prelu.default: _prelu,
    aten._prelu_kernel.default: _prelu,
    aten.abs.default: _abs,
    aten.hardsigmoid.default: _hard_sigmoid,
    aten.neg.default: _neg,
    aten.max_pool1d.default: pooling.max_pool,
    aten.max_pool1d_with_indices.default: pooling.max_pool,
    aten.max_pool2d.default: pooling.max_pool,
    aten.max_pool2d_with_indices.default: pooling.max_pool,
    aten.avg_pool1d.default: pooling.avg_pool,
    aten.avg_pool2d.default: pooling.avg_pool,
    aten.adaptive_avg_pool2d.default: pooling.adaptive,
    aten.adaptive_max_pool1d.default: pooling.adaptive,
    aten.adaptive_max_pool2d.default: pooling.adaptive,
    aten.amax.default: pooling.maximum,
    aten.maximum.default: _extreme,
    aten.minimum.default: _extreme,
    aten.mean.dim: pooling.mean,
    aten.sum.dim_IntList: pooling.total,
    aten.adaptive_avg_pool1d.default: pooling.global_mean,
    aten.add.Tensor: _add,
    aten.add.Scalar: _add,
    aten.sub.Tensor: _sub,
    aten.sub.Scalar: _sub,
    aten.rsub.Tensor: _rsub,
    aten.rsub.Scalar: _rsub,
    aten.mul.Tensor: _mul,
    aten.mul.Scalar: _mul,
    aten.div.Tensor: _div,
    aten.div.Scalar: _div,
    aten.cat.default: _cat,
    aten.view.default: _reshape,
    aten.reshape.default: _reshape,
    aten._unsafe_view.default: _reshape,
    aten.flatten.using_ints: _reshape,
    aten.squeeze.default: _reshape,
    aten.squeeze.dim: _reshape,
    aten.squeeze.dims: _reshape,
    aten.unsqueeze.default: _reshape,
    aten.unflatten.int: _reshape,
    aten.permute.default: _permute,
    aten.transpose.int: _transpose,
    aten.channel_shuffle.default: _channel_shuffle,
    aten.native_channel_shuffle.default: _channel_shuffle,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.chunk.default: _split,
    aten.index_select.default: _index_select,
    aten.index.Tensor: _index,
    aten.select.int: _select,
    aten.slice.Tensor: _slice,
    aten.pad.default: _pad,
    aten.constant_pad_nd.default: _pad,
    aten.dropout.default: _identity,
    aten.feature_dropout.default: _identity,
    aten.alpha_dropout.default: _identity,
    aten.clone.default: _identity,
    aten.alias.default: _identity,
    aten.detach.default: _identity,
    aten.contiguous.default: _identity,
    aten._to_copy.default: _to_copy,
    aten.argmax.default: _argmax,
    aten.max.dim: _largest,
    aten.topk.default: _largest,
    aten.sigmoid.default: _sigmoid,
    aten.softmax.int: _softmax,
    aten._softmax.default: _softmax,
    aten.log_softmax.int: _softmax,
    aten._log_softmax.default: _softmax,
}
