"""What a network asks of any engine shape: enough to rank thousands of shapes without compiling for each.

Compiled once per sub-row; rows of other slots follow. Good to a few per cent (the first group's weights, movers
and layers with indices are left to the cycle model, which times the shapes that rank best).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.stream import parameter_beats, row_beats
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.lower import Lowering


@dataclass(frozen=True)
class LayerDemand:
    """One layer.

    Attributes:
        channels, positions: of its output.
        rows: weight rows of a group of S channels at one slot.
        own_channels: whether an output channel reads channels of its own only (depthwise, pooling).
    """

    channels: int
    positions: int
    rows: int
    own_channels: bool

    def rows_of(self, shape: EngineConfig) -> int:
        """Return the weight rows of a group; where channels are their own, a row for every word it covers."""
        if self.own_channels:
            width = min(shape.lanes_k, self.channels)
            offset = shape.sub_row - shape.granule if shape.lanes_k < self.channels else 0
            return self.rows * -(-(offset + width) // shape.sub_row)
        return -(-self.rows // shape.slots)


@dataclass(frozen=True)
class Demand:
    """A network on engines of one sub-row and one pair of widths.

    Attributes:
        layers: that the array computes.
        probe: the engine with one slot that was compiled for, with the depths that the network needs.
    """

    layers: tuple[LayerDemand, ...]
    probe: EngineConfig

    def fit(self, shape: EngineConfig) -> EngineConfig:
        """Return a shape with the depths that the network needs, within a word and the rows of odd groups."""
        p = self.probe
        return shape.model_copy(
            update={
                "bank_depth": p.bank_depth,
                "weight_depth": max(layer.rows_of(shape) for layer in self.layers),
                "result_depth": p.result_depth,
                "input_lanes": p.input_lanes,
                "table_words": p.table_words,
                "accumulator_bits": p.accumulator_bits,
            }
        )

    def cycles_per_pass(self, shape: EngineConfig) -> int:
        """Return the cycles in which array or drain work on one image per lane."""
        total = 0
        for layer in self.layers:
            groups = -(-layer.channels // shape.lanes_k)
            drain = -(-min(shape.lanes_k, layer.channels) // shape.drain_k)
            total += groups * layer.positions * max(layer.rows_of(shape), drain)
        return total


def demand(graph: QuantisedGraph, base: EngineConfig) -> Demand:
    """Compile `graph` for one small engine with the widths and the sub-row of `base`.

    Raises:
        ToolflowError: the network holds something that no such engine runs.
    """
    probe = base.model_copy(update={"lanes_k": base.sub_row, "lanes_p": 1, "slots": 1, "drain_k": 1})
    lowering = Lowering(graph, probe)
    _, instructions = lowering.outline()
    layers = tuple(
        LayerDemand(i.channels, i.out_height * i.out_width, i.rows, i.channel_step > 0)
        for i in instructions
        if i.opcode is Opcode.CONV
    )
    return Demand(layers, lowering.fitted())


def weight_bytes(config: EngineConfig, instructions: Sequence[Instruction]) -> int:
    """Return the bytes of the weight stream, which every pass reads as a whole."""

    @cache
    def packet_beats(channels: int, rows: int, indexed: bool) -> int:
        return parameter_beats(config, channels) + row_beats(config, rows, indexed)

    beats = 0
    for i in instructions:
        if i.opcode is Opcode.CONV:
            for group in range(i.groups):
                channels = min(config.lanes_k, i.channels - group * config.lanes_k)
                beats += packet_beats(channels, i.rows, Flag.INDEXED in i.flags)
    return beats * config.bus_bytes
