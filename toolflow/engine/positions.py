"""Cycle model of one position or tile of a layer: array, drain and input transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from toolflow.engine.config import EngineConfig
from toolflow.engine.places import ResultPlace
from toolflow.engine.rows import Walk
from toolflow.engine.steps import Compute, Pool
from toolflow.numerics.winograd import WINOGRAD

SHORTEST_TAP = 2  # cycles between the ends of two taps
# Cycles from a position's last step until its residual is read, beside those of the sum over the slots; the next
# position's last step waits for that.
FETCH = 5
Bound = Literal["array", "drain", "transform", "weights", "memory", "control"]


@dataclass(frozen=True)
class PositionCycles:
    """What a group's positions, or its tiles, cost.

    Attributes:
        count: positions or tiles of a map.
        cycles: of each, by what might bound it.
        filling: before the first one of the layer can begin.
        draining: after the last one.
    """

    count: int
    cycles: Mapping[Bound, int]
    filling: int
    draining: int

    @property
    def bound(self) -> Bound:
        """What takes longest; the array if several take as long."""
        return max(self.cycles, key=lambda name: self.cycles[name])

    @property
    def last(self) -> int:
        """Cycles of a layer's last position or tile, when no further tile is transformed."""
        return max(cycles for name, cycles in self.cycles.items() if name != "transform")


def drain_cycles(config: EngineConfig, first: int, channels: int, residual: bool, to_result: bool) -> int:
    """Return the cycles between the last steps of two positions that the drain needs for the first of them.

    Args:
        config: the engine.
        first: channel of a group.
        channels: channels of that group.
        residual: whether a residual is added.
        to_result: whether the outputs are results, which leave one by one.
    """
    pace = config.drain_k if to_result else 1
    beats = -(-channels // config.drain_k) * pace
    if not residual:
        return beats
    last_word = (first + channels - 1) // config.sub_row * config.sub_row - first
    return max(beats, max(last_word, 0) // config.drain_k * pace + _fetch(config))


def sums_latency(config: EngineConfig) -> int:
    """Return the cycles from a step's word and row to the sum over all slots (`cascade_products_pkg.sv`)."""
    if config.dsp_primitive in ("dsp48e1", "dsp48e2"):  # a column of blocks, each one cycle after the one before
        chosen = config.built.narrow_bits > 0  # elements of two precisions, in a cycle of their own
        return chosen + 3 + config.chain + (config.slots // config.chain).bit_length() - 1
    return (2 if config.dsp_primitive == "none" else 3) + config.slots.bit_length() - 1


def _fetch(config: EngineConfig) -> int:
    return FETCH + sums_latency(config)


def _reads(walk: Walk, cycle: int) -> bool:
    """Return whether a cycle of a direct layer's position, from 0 on, begins a word."""
    words = (walk.sub_rows - 1) * walk.steps
    place = cycle % (words + walk.steps_last)
    return place % walk.steps == 0 if place < words else place == words


def position_cycles(config: EngineConfig, layer: Compute, first: int, channels: int) -> PositionCycles:
    """Return what the positions of a direct layer cost in the group of `channels` channels from `first` on."""
    residual, to_result = layer.residual is not None, isinstance(layer.out, ResultPlace)
    drain = drain_cycles(config, first, channels, residual, to_result)
    rows = layer.rows
    if residual:  # each of its words takes the bank's read port: a cycle that no input word needs, or one more
        free = rows - layer.weights.levels * layer.weights.taps * layer.walk.sub_rows
        rows += max(-(-channels // config.sub_row) - free, 0)
        meets = _fetch(config) - 2  # the step of the next position that is at the port when the residual would be
        drain += layer.rows > meets + 1 and _reads(layer.walk, meets)
    early = max(drain - rows, 0)  # the layer's first position waits for none before it
    last = drain_cycles(config, first, channels, False, to_result)
    return PositionCycles(layer.places, {"array": rows, "drain": drain}, 0, last - early)


def tile_cycles(config: EngineConfig, layer: Compute, channels: int, pipeline: int) -> PositionCycles:
    """Return what the tiles of a layer cost in a group of `channels` channels.

    Args:
        config: the engine.
        layer: with a tile.
        channels: of the group.
        pipeline: cycles of the input transform's pipeline.
    """
    form, region = WINOGRAD[layer.tile], layer.region
    down, across = form.tiles(region.height, region.width)
    beats = -(-channels // config.drain_k)
    words = layer.transformed_words * config.transform_cycles
    residual = form.tile**2 * -(-channels // config.sub_row) if layer.residual is not None else 0
    rows = np.maximum(layer.rows_of_taps, SHORTEST_TAP)
    cycles: dict[Bound, int] = {
        "array": int(rows.sum()),
        "drain": int(np.maximum(rows, beats).sum()),  # a tap's fold takes a beat for each chunk of channels
        "transform": words + residual,
    }
    filling = words + form.taps**2 + 2 * form.taps + pipeline
    kept = (region.height - form.tile * (down - 1)) * (region.width - form.tile * (across - 1))  # of the last tile
    waited = max(beats - int(rows[0]), 0)  # by a tap, but not by a layer's first
    return PositionCycles(layer.places, cycles, filling, (form.tile + kept) * beats - waited)


def row_cycles(config: EngineConfig, step: Compute | Pool) -> float:
    """Return the cycles of a row of a step's positions, of one tile's share of a row if there is a tile."""
    if isinstance(step, Pool):
        return step.region.width * step.window.kernel[0] * step.window.kernel[1] * step.source.words
    total = 0
    for group, channels in enumerate(step.groups(config.lanes_k)):
        if step.tile:
            each = tile_cycles(config, step, channels, 0)
        else:
            each = position_cycles(config, step, group * config.lanes_k, channels)
        total += each.count * each.cycles[each.bound]
    return total / step.region.height
