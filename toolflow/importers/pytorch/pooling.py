"""The ATen operators that reduce windows of a map, or the whole of it."""

from __future__ import annotations

from toolflow.importers import vocabulary
from toolflow.importers.builder import Value
from toolflow.importers.pytorch.call import Call, both
from toolflow.operators import AvgPool, MaxPool


def max_pool(call: Call) -> Value | None:
    """Maximum over windows."""
    x = call.tensor()
    kernel = call.pair("kernel_size", x)
    op = MaxPool(
        kernel,
        call.pair("stride", x, kernel),
        both(call.pair("padding", x, row=0)),
        call.pair("dilation", x),
        bool(call.take("ceil_mode")),
    )
    return call.build.emit(call.place, op, [x])


def avg_pool(call: Call) -> Value | None:
    """Mean over windows."""
    x = call.tensor()
    kernel = call.pair("kernel_size", x)
    op = AvgPool(
        kernel,
        call.pair("stride", x, kernel),
        both(call.pair("padding", x, row=0)),
        bool(call.take("ceil_mode")),
        bool(call.take("count_include_pad")),
        call.args.pop("divisor_override", None),
    )
    return vocabulary.avg_pool(call.build, call.place, x, op)


def adaptive(call: Call) -> Value | None:
    """Import adaptive pooling to 1×1, or to a size that divides the input: both have one fixed window."""
    x = call.tensor()
    size = call.pair("output_size", x)
    is_max = "max" in str(call.node.target)
    whole = vocabulary.window(x, x.shape[1:])
    if len(x.shape) not in (2, 3) or any(whole[axis] % size[axis] for axis in (0, 1)):
        call.problem("output_size", size, f"1×1, or a size that divides the input {x.shape[1:]}")
        return None
    kernel = (whole[0] // size[0], whole[1] // size[1])
    return call.build.emit(call.place, (MaxPool if is_max else AvgPool)(kernel, kernel), [x])


def mean(call: Call) -> Value | None:
    """Mean over height and width."""
    dims = call.take("dim")
    return vocabulary.mean(call.build, call.place, call.tensor(), dims or [], bool(call.take("keepdim")))


def maximum(call: Call) -> Value | None:
    """Maximum over height and width."""
    dims = call.take("dim")
    return vocabulary.maximum(call.build, call.place, call.tensor(), dims or [], bool(call.take("keepdim")))


def total(call: Call) -> Value | None:
    """Sum over height and width."""
    dims = call.take("dim")
    return vocabulary.total(call.build, call.place, call.tensor(), dims or [], bool(call.take("keepdim")))


def global_mean(call: Call) -> Value | None:
    """Import adaptive_avg_pool1d with one output, on a flattened map."""
    size = list(call.args["output_size"])
    if size != [1]:
        return adaptive(call)
    call.take("output_size")
    x = call.tensor()
    return vocabulary.mean(call.build, call.place, x, [len(x.shape)], keep=True)
