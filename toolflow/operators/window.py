"""Sliding windows: the shape rule that convolution and pooling share."""

from __future__ import annotations

from collections.abc import Sequence

from toolflow.ir.operator import Shape

Pair = tuple[int, int]  # (vertical, horizontal)
Pads = tuple[int, int, int, int]  # (top, left, bottom, right)

MAX_POSITIONS = 1 << 24  # of a map; more is a damaged model, and would exhaust the memory


def feature_map(shape: Shape) -> tuple[int, int, int]:
    """Return a shape as (C, H, W).

    Raises:
        ValueError: it is not a feature map, or a dimension is not positive.
    """
    if len(shape) != 3:
        raise ValueError(f"the input must be a feature map (C, H, W), not {shape}")
    channels, height, width = shape
    if min(shape) < 1:
        raise ValueError(f"every dimension of the input must be at least 1, not {shape}")
    return channels, height, width


def operand_count(inputs: Sequence[Shape], allowed: Sequence[int]) -> None:
    """Check the number of operands.

    Raises:
        ValueError: it is not one of `allowed`.
    """
    if len(inputs) not in allowed:
        raise ValueError(f"the number of inputs must be {' or '.join(map(str, allowed))}, not {len(inputs)}")


def at_least(name: str, values: Sequence[int], bound: int) -> None:
    """Check an attribute's values.

    Raises:
        ValueError: one is below `bound`.
    """
    if min(values) < bound:
        raise ValueError(f"{name} must be at least {bound}, not {tuple(values)}")


def window_count(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """Return how many windows fit along one axis, by PyTorch's rule.

    With `ceil_mode` a last window may reach beyond the padding, but must start inside the
    input or the padding before it (PyTorch, `pooling_output_shape`; ONNX since operator set 19).

    Raises:
        ValueError: not even one window fits.
    """
    room = size + before + after - dilation * (kernel - 1) - 1
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if count < 1:
        raise ValueError(
            f"the padded input must be at least as large as the dilated kernel, "
            f"not {size + before + after} < {dilation * (kernel - 1) + 1}"
        )
    return count - 1 if ceil_mode and (count - 1) * stride >= size + before else count


def window_shape(
    shape: Shape, kernel: Pair, stride: Pair, pads: Pads, dilation: Pair = (1, 1), ceil_mode: bool = False
) -> Pair:
    """Return (height, width) of the output of a windowed operator on a (C, H, W) input.

    Raises:
        ValueError: an attribute is out of range, or no window fits.
    """
    at_least("kernel", kernel, 1)
    at_least("stride", stride, 1)
    at_least("dilation", dilation, 1)
    at_least("pads", pads, 0)
    _, height, width = feature_map(shape)
    top, left, bottom, right = pads
    rows = window_count(height, kernel[0], stride[0], top, bottom, dilation[0], ceil_mode)
    columns = window_count(width, kernel[1], stride[1], left, right, dilation[1], ceil_mode)
    if rows * columns > MAX_POSITIONS:
        raise ValueError(f"the output must have at most {MAX_POSITIONS} positions, not {rows}×{columns}")
    return rows, columns


def inside_counts(size: int, count: int, kernel: int, stride: int, before: int, dilation: int = 1) -> list[int]:
    """Return for each of `count` windows along one axis how many of its elements lie inside the input."""
    counts = []
    for start in range(-before, -before + count * stride, stride):
        first = max(-(start // dilation), 0)  # the first element at or behind 0
        last = min((size - 1 - start) // dilation, kernel - 1)
        counts.append(max(last - first + 1, 0))
    return counts
