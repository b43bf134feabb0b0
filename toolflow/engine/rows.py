"""From a layer's integer weights to the weight rows that the array consumes (PROGRAM.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.engine.config import EngineConfig
from toolflow.numerics.digits import cut_digits
from toolflow.numerics.srbs import most_in_sub_row

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Walk:
    """How a layer walks the sub-rows of a tap.

    Attributes:
        sub_rows: words read per tap.
        steps, steps_last: steps in each word, and in the last one.
        channel_step: input channels to advance per output-channel group.
        indexed: whether rows carry indices.
    """

    sub_rows: int
    steps: int
    steps_last: int
    channel_step: int
    indexed: bool

    @property
    def steps_per_tap(self) -> int:
        """Steps of one tap over all its words."""
        return (self.sub_rows - 1) * self.steps + self.steps_last


@dataclass(frozen=True)
class LayerWeights:
    """A layer's weights where the engine meets them.

    Attributes:
        digits: int64 (weight digits, K, C/groups, kh, kw), lowest digit first.
        groups: channel groups.
        channel: int64 (C,): element of each input channel inside a pixel's words.
        pixel_words: words of a pixel for one digit of the input.
        input_digits: digits into which the input is cut; digit d lies d·pixel_words further.
        tiled: whether the taps are those of a tile, each of which walks all levels before the next one.
    """

    digits: Int64Array
    groups: int
    channel: Int64Array
    pixel_words: int
    input_digits: int
    tiled: bool = False

    @property
    def levels(self) -> int:
        """Passes over the kernel, or over each tap of a tile: weight digits + input digits − 1."""
        return len(self.digits) + self.input_digits - 1


def layer_weights(
    weight: Int64Array,
    groups: int,
    weight_digits: int,
    digit_bits: int,
    channel: Int64Array,
    pixel_words: int,
    input_digits: int,
    tiled: bool = False,
) -> LayerWeights:
    """Cut weights (K, C/groups, kh, kw) into digits, or take them as they are where one digit is enough."""
    digits = cut_digits(weight, weight_digits, digit_bits) if weight_digits > 1 else weight[None]
    return LayerWeights(digits, groups, channel, pixel_words, input_digits, tiled)


def plan_walk(config: EngineConfig, layer: LayerWeights) -> Walk:
    """Choose the cheapest walk: dense where every channel is used, else indexed over what is not 0."""
    dense = _dense_walk(config, layer)
    if layer.groups == 1:
        sparse = _sparse_walk(config, layer, dense)
        return sparse if sparse.steps_per_tap < dense.steps_per_tap else dense
    indexed = _indexed_walk(config, layer)
    return indexed if indexed.steps_per_tap < dense.steps_per_tap else dense


def group_rows(
    config: EngineConfig, layer: LayerWeights, walk: Walk, group: int
) -> tuple[Int64Array, Int64Array | None]:
    """Return values (rows, lanes_k, slots) and indices (or None) of one output-channel group."""
    first = group * walk.channel_step // config.sub_row
    dense = _dense_taps(config, layer, group, first, walk.sub_rows)
    if layer.tiled:
        dense = np.moveaxis(dense, 0, 2)  # a tap's sum must be whole before it is folded
    if walk.indexed:
        values, indices = _compressed(dense)
    else:
        values, indices = dense, None
    kept = [_cut(values, walk, q) for q in range(walk.sub_rows)]
    rows = _as_rows(config, kept)
    if indices is None:
        return rows, None
    return rows, _as_rows(config, [_cut(indices, walk, q) for q in range(walk.sub_rows)])


def _cut(elements: Int64Array, walk: Walk, q: int) -> tuple[Int64Array, int]:
    return elements[:, :, :, q], walk.steps_last if q == walk.sub_rows - 1 else walk.steps


def _as_rows(config: EngineConfig, parts: list[tuple[Int64Array, int]]) -> Int64Array:
    """Join (levels, kh, kw, or of a tile t, t, levels; elements, lanes_k) per word into (rows, lanes_k, slots)."""
    joined = []
    for elements, steps in parts:
        wanted = steps * config.slots
        shape = (*elements.shape[:3], wanted, elements.shape[4])
        padded = np.zeros(shape, dtype=np.int64)
        count = min(wanted, elements.shape[3])
        padded[:, :, :, :count] = elements[:, :, :, :count]
        joined.append(padded.reshape(*shape[:3], steps, config.slots, shape[4]))
    rows = np.concatenate(joined, axis=3)
    return rows.reshape(-1, config.slots, config.lanes_k).transpose(0, 2, 1)


def _dense_walk(config: EngineConfig, layer: LayerWeights) -> Walk:
    sub_rows = layer.pixel_words * layer.input_digits
    used = int(layer.channel.max()) % config.sub_row + 1
    last = -(-used // config.slots)
    full = last if layer.pixel_words == 1 else config.sub_row // config.slots
    return Walk(sub_rows, full, last, 0, indexed=False)


def _sparse_walk(config: EngineConfig, layer: LayerWeights, dense: Walk) -> Walk:
    """Walk every sub-row over the values that differ from 0, as many as the fullest one holds."""
    used = (layer.digits != 0).any(axis=0)
    words = np.zeros((len(used), layer.pixel_words * config.sub_row, *used.shape[2:]), dtype=bool)
    words[:, layer.channel] = used
    most = np.tile(most_in_sub_row(words, config.sub_row), layer.input_digits)
    steps = np.maximum(-(-most // config.slots), 1)
    return Walk(dense.sub_rows, int(steps[:-1].max(initial=1)), int(steps[-1]), 0, indexed=True)


def _indexed_walk(config: EngineConfig, layer: LayerWeights) -> Walk:
    outputs, depth = layer.digits.shape[1:3]
    per_group = outputs // layer.groups
    straight = bool(np.array_equal(layer.channel, np.arange(len(layer.channel)))) and layer.input_digits == 1
    step = config.lanes_k // per_group * depth if straight and config.lanes_k % per_group == 0 else 0
    sub_rows, most = 1, 1
    for group in range(-(-outputs // config.lanes_k)):
        element = _elements(config, layer, group)
        first = group * step // config.sub_row
        words = element // config.sub_row - first
        sub_rows = max(sub_rows, int(words.max()) + 1)
        for row in words:
            most = max(most, int(np.bincount(row).max()))
    if step == 0:
        sub_rows = layer.pixel_words * layer.input_digits
    steps = -(-most // config.slots)
    return Walk(sub_rows, steps, steps, step, indexed=True)


def _elements(config: EngineConfig, layer: LayerWeights, group: int) -> Int64Array:
    """Return (channels of the group, C/groups): the element that each weight meets."""
    outputs, depth = layer.digits.shape[1:3]
    k = np.arange(group * config.lanes_k, min((group + 1) * config.lanes_k, outputs))
    source = (k // (outputs // layer.groups))[:, None] * depth + np.arange(depth)
    element: Int64Array = layer.channel[source]
    return element


def _dense_taps(config: EngineConfig, layer: LayerWeights, group: int, first: int, sub_rows: int) -> Int64Array:
    """Return (levels, kh, kw, sub_rows, S, lanes_k): the weight of every element, 0 where there is none."""
    _, _, _, kernel_h, kernel_w = layer.digits.shape
    weight_digits, levels = len(layer.digits), layer.levels
    element = _elements(config, layer, group)
    lanes = np.arange(len(element))[:, None]
    mine = layer.digits[:, group * config.lanes_k : group * config.lanes_k + len(element)]
    words = sub_rows * config.sub_row
    taps = np.zeros((levels, kernel_h, kernel_w, words, config.lanes_k), dtype=np.int64)
    for level in range(levels):
        for d in range(layer.input_digits):
            digit = levels - 1 - level - d
            if 0 <= digit < weight_digits:
                place = element + (d * layer.pixel_words - first) * config.sub_row
                taps[level, :, :, place, lanes] = mine[digit]
    return taps.reshape(levels, kernel_h, kernel_w, sub_rows, config.sub_row, config.lanes_k)


def _compressed(dense: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Move the values of each word that differ from 0 to its front; return (values, indices)."""
    index = np.argsort(dense == 0, axis=4, kind="stable")
    return np.take_along_axis(dense, index, axis=4), index
