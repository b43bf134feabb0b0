"""Convert a layer's integer weights to the weight rows of the array (PROGRAM.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.engine.config import EngineConfig
from toolflow.numerics.digits import cut_digits
from toolflow.numerics.srbs import fullest

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Walk:
    """How a layer walks the sub-rows of a tap.

    Attributes:
        sub_rows: words read per tap.
        steps, steps_last: steps in each word, and in the last one.
        channel_step: input channels to advance per output-channel group.
        indexed: whether rows carry indices.
        tap_steps: of a tile whose taps keep numbers of their own, the steps of each in place of `steps`, row by row; in
            the last word at most `steps_last`.
    """

    sub_rows: int
    steps: int
    steps_last: int
    channel_step: int
    indexed: bool
    tap_steps: tuple[int, ...] = ()

    def rows(self, taps: int) -> int:
        """Return the steps of all taps over all their words, of one level."""
        return sum(self.rows_of_taps(taps))

    def rows_of_taps(self, taps: int) -> tuple[int, ...]:
        """Return the steps of each tap over all its words, of one level."""
        return tuple((self.sub_rows - 1) * steps + self.last_of(steps) for steps in self.steps_of_taps(taps))

    def steps_of_taps(self, taps: int) -> tuple[int, ...]:
        """Return the steps of each tap in every word but the last."""
        return self.tap_steps or (self.steps,) * taps

    def last_of(self, steps: int) -> int:
        """Return the steps in the last word of a tap that has so many in the others."""
        return min(steps, self.steps_last) if self.tap_steps else self.steps_last


@dataclass(frozen=True)
class LayerWeights:
    """A layer's weights where the engine meets them.

    Attributes:
        digits: int64 (weight digits, K, C/groups, kh, kw), lowest digit first.
        groups: channel groups.
        channel: int64 (C,): element of each input channel inside a pixel's words.
        pixel_words: words of a pixel, with all digits of the input.
        input_digits: digits into which the input is cut.
        digit_step: elements from one digit of the input to the next, if there are several.
        tiled: whether the taps are those of a tile, each of which walks all levels before the next one.
    """

    digits: Int64Array
    groups: int
    channel: Int64Array
    pixel_words: int
    input_digits: int
    digit_step: int
    tiled: bool = False

    @property
    def taps(self) -> int:
        """Places of the kernel, or taps of a tile."""
        return int(np.prod(self.digits.shape[3:]))

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
    digit_step: int,
    tiled: bool = False,
) -> LayerWeights:
    """Cut weights (K, C/groups, kh, kw) into digits, or take them as they are where one digit is enough."""
    digits = cut_digits(weight, weight_digits, digit_bits) if weight_digits > 1 else weight[None]
    return LayerWeights(digits, groups, channel, pixel_words, input_digits, digit_step, tiled)


def plan_walk(config: EngineConfig, layer: LayerWeights) -> Walk:
    """Choose the cheapest walk: dense where every channel is used, else indexed over what is not 0.

    Output channels that share an index walk the places of all of them, so that a value of any of them is met. An engine
    without gather walks every word that it reads densely, also the words of a grouped layer's own channels.
    Indices take room in the weight stream: a tile carries them where they save a value of each word on average, and not
    for a weight here and there that happens to be 0.
    """
    dense = _dense_walk(config, layer)
    if layer.groups == 1 and not config.gather:
        return dense
    if layer.groups == 1:
        sparse = _sparse_walk(config, layer, dense)
        saved = (dense.rows(layer.taps) - sparse.rows(layer.taps)) * config.slots
        return sparse if saved >= (layer.taps * dense.sub_rows if layer.tiled else 1) else dense
    own = _own_walk(config, layer)
    return own if own.rows(layer.taps) < dense.rows(layer.taps) else dense


def group_rows(
    config: EngineConfig, layer: LayerWeights, walk: Walk, group: int
) -> tuple[Int64Array, Int64Array | None]:
    """Return the values (rows, lanes_k, slots) and indices (rows, lanes_k / index_k, slots), or None, of one group."""
    first = group * walk.channel_step // config.sub_row
    dense = _dense_taps(config, layer, group, first, walk.sub_rows)
    if layer.tiled:
        dense = np.moveaxis(dense, 0, 2)  # a tap's sum must be whole before it is folded
    if not walk.indexed:
        return _as_rows(config, walk, dense), None
    values, indices = _compressed(dense, config.index_k)
    return _as_rows(config, walk, values), _as_rows(config, walk, indices)[:, :: config.index_k]


def _as_rows(config: EngineConfig, walk: Walk, elements: Int64Array) -> Int64Array:
    """Return the rows (rows, lanes_k, slots) of all taps, each of which may take steps of its own.

    Args:
        config: the engine.
        walk: of the layer.
        elements: (levels, kh, kw, or of a tile t, t, levels; sub_rows, S, lanes_k).
    """
    if not walk.tap_steps:
        return _alike(config, walk, elements, walk.steps)
    places = np.ndindex(elements.shape[:2])
    taps = zip(places, walk.tap_steps, strict=True)
    return np.concatenate([_alike(config, walk, elements[y, x][None, None], steps) for (y, x), steps in taps])


def _alike(config: EngineConfig, walk: Walk, elements: Int64Array, steps: int) -> Int64Array:
    words = [(elements[:, :, :, q], steps) for q in range(walk.sub_rows - 1)]
    return _joined(config, [*words, (elements[:, :, :, -1], walk.last_of(steps))])


def _joined(config: EngineConfig, parts: list[tuple[Int64Array, int]]) -> Int64Array:
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
    used = (int(layer.channel.max()) + (layer.input_digits - 1) * layer.digit_step) % config.sub_row + 1
    last = -(-used // config.slots)
    whole = layer.pixel_words == layer.input_digits  # each digit fills one word, as far as the last one does
    full = last if whole else config.sub_row // config.slots
    return Walk(layer.pixel_words, full, last, 0, indexed=False)


def _sparse_walk(config: EngineConfig, layer: LayerWeights, dense: Walk) -> Walk:
    """Walk every sub-row over the values that differ from 0, as many as the fullest one holds, of a tile tap by tap."""
    used = (layer.digits != 0).any(axis=0)
    words = np.zeros((len(used), layer.pixel_words * config.sub_row, *used.shape[2:]), dtype=bool)
    for d in range(layer.input_digits):
        words[:, layer.channel + d * layer.digit_step] = used
    most = fullest(words, config.sub_row, config.index_k)
    steps = np.maximum(-(-most // config.slots), 1)
    if layer.tiled:
        own = steps.max(axis=0)
        tap_steps = tuple(own.reshape(-1).tolist())
        return Walk(dense.sub_rows, int(own.max()), int(steps[-1].max()), 0, indexed=True, tap_steps=tap_steps)
    every = steps.max(axis=(1, 2))
    return Walk(dense.sub_rows, int(every[:-1].max(initial=1)), int(every[-1]), 0, indexed=True)


def _own_walk(config: EngineConfig, layer: LayerWeights) -> Walk:
    """Walk only the words in which a group's own input channels lie."""
    outputs, depth = layer.digits.shape[1:3]
    per_group = outputs // layer.groups
    straight = bool(np.array_equal(layer.channel, np.arange(len(layer.channel)))) and layer.input_digits == 1
    step = config.lanes_k // per_group * depth if straight and config.lanes_k % per_group == 0 else 0
    sub_rows, most = 1, 1
    for group in range(-(-outputs // config.lanes_k)):
        element = _elements(config, layer, group)
        first = group * step // config.sub_row
        digits = [element + d * layer.digit_step for d in range(layer.input_digits)]
        words = np.concatenate(digits, axis=1) // config.sub_row - first
        sub_rows = max(sub_rows, int(words.max()) + 1)
        for shared in range(0, len(words), config.index_k):
            places = np.unique(np.concatenate([row[shared : shared + config.index_k].ravel() for row in digits]))
            most = max(most, int(np.bincount(places // config.sub_row - first).max()))
    if step == 0:
        sub_rows = layer.pixel_words
    steps = -(-(most if config.gather else config.sub_row) // config.slots)
    return Walk(sub_rows, steps, steps, step, indexed=config.gather)


def _elements(config: EngineConfig, layer: LayerWeights, group: int) -> Int64Array:
    """Return (channels of the group, C/groups): the element that each weight meets."""
    outputs, depth = layer.digits.shape[1:3]
    k = np.arange(group * config.lanes_k, min((group + 1) * config.lanes_k, outputs))
    source = (k // (outputs // layer.groups))[:, None] * depth + np.arange(depth)
    element: Int64Array = layer.channel[source]
    return element


def _dense_taps(config: EngineConfig, layer: LayerWeights, group: int, first: int, sub_rows: int) -> Int64Array:
    """Return (levels, kh, kw, sub_rows, S, lanes_k): the weight of every element, 0 if there is none."""
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
                place = element + d * layer.digit_step - first * config.sub_row
                taps[level, :, :, place, lanes] = mine[digit]
    return taps.reshape(levels, kernel_h, kernel_w, sub_rows, config.sub_row, config.lanes_k)


def _compressed(dense: Int64Array, index_k: int) -> tuple[Int64Array, Int64Array]:
    """Move the elements of each word that any of `index_k` channels uses to its front; return (values, indices)."""
    grouped = dense.reshape(*dense.shape[:5], -1, index_k)
    index = np.argsort((grouped == 0).all(axis=6), axis=4, kind="stable").repeat(index_k, axis=5)
    return np.take_along_axis(dense, index, axis=4), index
