"""Views of tensors: for each element of a value, its position in the graph's tensor.

An order is a flat int64 array; element i of the value is element order[i] of the tensor, counted in (C, H, W).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.ir.operator import Shape

Order = npt.NDArray[np.int64]


def picked_channels(order: Order, shape: Shape) -> Order | None:
    """Return the channels of a (C, ..) tensor that an order picks, whole and one after the other; None if not."""
    size = math.prod(shape[1:])
    if order.size % size:
        return None
    rows = order.reshape(-1, size)
    channels = rows[:, 0] // size
    return channels if np.array_equal(rows, channels[:, None] * size + np.arange(size)) else None


@dataclass(frozen=True)
class Spacing:
    """Evenly spaced positions: value[k, y, x] = tensor[channels[k], rows[k] + stride·y, columns[k] + stride·x].

    Attributes:
        channels, rows, columns: int64 (K,).
        stride: (vertical, horizontal).
    """

    channels: Order
    rows: Order
    columns: Order
    stride: tuple[int, int]


def spacing(order: Order, shape: Shape) -> Spacing | None:
    """Return what evenly spaced positions an order (K, H', W') picks of a (C, H, W) tensor; None if they are not."""
    if order.ndim != 3 or len(shape) != 3:
        return None
    _, height, width = shape
    channels, first = order[:, 0, 0] // (height * width), order[:, 0, 0] % (height * width)
    down = int(order[0, 1, 0] - order[0, 0, 0]) // width if order.shape[1] > 1 else height
    right = int(order[0, 0, 1] - order[0, 0, 0]) if order.shape[2] > 1 else width
    if down < 1 or right < 1:
        return None
    steps = down * width * np.arange(order.shape[1])[:, None] + right * np.arange(order.shape[2])
    columns = first % width
    inside = columns.max() + right * (order.shape[2] - 1) < width
    if not inside or not np.array_equal(order, order[:, :1, :1] + steps):
        return None
    return Spacing(channels, first // width, columns, (down, right))


def per_channel(values: npt.NDArray[np.float64], order: Order, shape: Shape) -> npt.NDArray[np.float64] | None:
    """Return one number for each channel of a (C, H, W) tensor from one for each element of a value.

    Args:
        values: in the value's order, flat.
        order: the value's order.
        shape: the tensor's shape.

    Returns:
        The numbers, NaN for a channel that the order does not read; None if a channel would have several.
    """
    channels = order // math.prod(shape[1:])
    vector = np.full(shape[0], np.nan)
    vector[channels] = values
    return vector if np.array_equal(vector[channels], values, equal_nan=True) else None


def spread(weight: npt.NDArray[np.float64], order: Order, size: int) -> npt.NDArray[np.float64]:
    """Return the weights (K, F, ..) of a value's elements as those of its tensor: (K, size, ..), zero where unread."""
    wide = np.zeros((weight.shape[0], size, *weight.shape[2:]))
    for first in _different(order):
        wide[:, order[first]] += weight[:, first]
    return wide


def _different(order: Order) -> list[npt.NDArray[np.intp]]:
    """Split an order into parts without repetitions; most orders have one part."""
    parts, left = [], np.arange(order.size)
    while left.size:
        _, first = np.unique(order[left], return_index=True)
        parts.append(left[first])
        left = np.delete(left, first)
    return parts


def mean_windows(groups: Order, shape: Shape) -> tuple[tuple[int, int], Order] | None:
    """Return the windows that some means cover: the whole map, or a row or column of each channel.

    Args:
        groups: (M, n): the elements of each mean, as positions in the tensor.
        shape: (C, H, W) of the tensor.

    Returns:
        The window, and for each mean its position in the pooled tensor; None if the groups are no such windows.
    """
    channels, height, width = shape
    groups = np.sort(groups, axis=1)
    elements = np.arange(math.prod(shape)).reshape(shape)
    for window in ((height, width), (1, width), (height, 1)):
        rows, columns = height // window[0], width // window[1]
        tiles = elements.reshape(channels, rows, window[0], columns, window[1]).transpose(0, 1, 3, 2, 4)
        tiles = tiles.reshape(-1, math.prod(window))
        if groups.shape[1] != tiles.shape[1]:
            continue
        tile_of = np.empty(elements.size, np.int64)
        tile_of[tiles] = np.arange(len(tiles))[:, None]
        which = tile_of[groups[:, 0]]
        if np.array_equal(tiles[which], groups):
            return window, which
    return None
