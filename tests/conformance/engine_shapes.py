"""The engine shapes of the conformance suites; depths are fitted to each network."""

from __future__ import annotations

from itertools import product

import pytest

from toolflow.engine.config import EngineConfig

SHAPES: dict[str, EngineConfig] = {
    "wide": EngineConfig(lanes_k=16, lanes_p=4),
    "batch_of_8": EngineConfig(lanes_k=16, lanes_p=8, slots=2, rows_ahead=600, parameter_sets=16),
    "latency": EngineConfig(
        lanes_k=8,
        lanes_p=1,
        slots=16,
        drain_k=8,
        sub_row=16,
        bank_memory="ultra",
        weight_memory="ultra",
        parameter_sets=4,
    ),
    "odd": EngineConfig(lanes_k=5, lanes_p=3, rows_ahead=33, parameter_sets=8),
    "one_lane": EngineConfig(lanes_k=1, lanes_p=1, sub_row=4, bus_bits=64),
    "twelve": EngineConfig(lanes_k=12, lanes_p=2, slots=2, drain_k=2, sub_row=4, bus_bits=64),
    "scalar_sub_row": EngineConfig(lanes_k=3, lanes_p=2, sub_row=1, input_lanes=1, bus_bits=64),
    "narrow": EngineConfig(lanes_k=8, lanes_p=2, weight_bits=4, activation_bits=4, multiplier="lut"),
    "three_bits": EngineConfig(lanes_k=6, lanes_p=3, weight_bits=3, activation_bits=3, drain_k=2, multiplier="lut"),
    "two_bits": EngineConfig(lanes_k=4, lanes_p=2, weight_bits=2, activation_bits=2, slots=4, multiplier="lut"),
    "mixed": EngineConfig(lanes_k=8, lanes_p=2, weight_bits=4, activation_bits=8, slots=8, drain_k=4),
    "wide_bus": EngineConfig(lanes_k=24, lanes_p=2, slots=4, drain_k=8, sub_row=16, index_k=2, bus_bits=256),
    "tile_2": EngineConfig(lanes_k=4, lanes_p=3, drain_k=2, sub_row=4, tile=2),
    "tile_4": EngineConfig(lanes_k=8, lanes_p=2, sub_row=16, tile=4, rows_ahead=1000, parameter_sets=4),
    "tile_4_slots": EngineConfig(lanes_k=6, lanes_p=2, slots=2, drain_k=2, transform_cycles=2, tile=4, weight_bits=10),
    "tile_2_narrow": EngineConfig(
        lanes_k=8, lanes_p=2, weight_bits=4, activation_bits=4, drain_k=4, transform_cycles=4, tile=2, multiplier="lut"
    ),
    "tile_4_narrow": EngineConfig(
        lanes_k=8, lanes_p=2, slots=2, weight_bits=4, activation_bits=4, drain_k=2, tile=4, multiplier="lut"
    ),
    "tile_4_scalar": EngineConfig(lanes_k=3, lanes_p=1, sub_row=2, input_lanes=2, bus_bits=64, tile=4),
    "tile_4_one": EngineConfig(lanes_k=2, lanes_p=1, sub_row=1, input_lanes=1, bus_bits=64, tile=4),
    "position_pairs": EngineConfig(lanes_k=6, lanes_p=4, slots=4, dsp_primitive="dsp48e2", pack_p=2, chain=4),
    "weight_pairs": EngineConfig(
        lanes_k=8, lanes_p=3, slots=2, drain_k=2, dsp_primitive="dsp48e1", pack_k=2, chain=2, gather=False
    ),
    "chain_of_8": EngineConfig(
        lanes_k=4, lanes_p=2, slots=16, sub_row=16, dsp_primitive="dsp48e2", pack_k=2, chain=8, gather=False
    ),
    "shared_pairs": EngineConfig(
        lanes_k=8, lanes_p=2, slots=4, drain_k=2, dsp_primitive="dsp48e2", pack_k=2, chain=4, index_k=4
    ),
    "quads": EngineConfig(
        lanes_k=8,
        lanes_p=2,
        slots=4,
        drain_k=4,
        weight_bits=4,
        activation_bits=4,
        dsp_primitive="dsp48e2",
        pack_k=2,
        pack_p=2,
        chain=4,
        gather=False,
    ),
    "tile_2_shared": EngineConfig(
        lanes_k=4, lanes_p=2, slots=4, drain_k=2, tile=2, dsp_primitive="dsp48e2", pack_k=2, index_k=2
    ),
    "tile_2_pairs": EngineConfig(
        lanes_k=4, lanes_p=2, slots=4, drain_k=2, tile=2, dsp_primitive="dsp48e2", pack_k=2, gather=False
    ),
    "fabric_beside_pairs": EngineConfig(
        lanes_k=4,
        lanes_p=3,
        slots=4,
        dsp_primitive="dsp48e2",
        pack_k=2,
        chain=4,
        fabric_lanes=2,
        gather=False,
    ),
    "fabric_beside_positions": EngineConfig(
        lanes_k=4,
        index_k=2,
        lanes_p=3,
        slots=2,
        weight_bits=5,
        activation_bits=5,
        dsp_primitive="dsp48e1",
        pack_p=2,
        chain=2,
        fabric_lanes=1,
        tile=2,
    ),
    "small_pairs": EngineConfig(
        lanes_k=3, lanes_p=2, slots=2, weight_bits=5, activation_bits=5, dsp_primitive="mult18x18d", pack_p=2, chain=2
    ),
    "two_precisions": EngineConfig(
        lanes_k=8,
        lanes_p=4,
        slots=4,
        drain_k=2,
        narrow_bits=4,
        dsp_primitive="dsp48e2",
        pack_k=2,
        chain=4,
        gather=False,
    ),
    "two_precisions_chain_of_8": EngineConfig(
        lanes_k=4,
        lanes_p=2,
        slots=16,
        sub_row=16,
        narrow_bits=4,
        dsp_primitive="dsp48e2",
        pack_k=2,
        chain=8,
        gather=False,
    ),
    "two_precisions_dsp48e1": EngineConfig(
        lanes_k=6,
        lanes_p=6,
        slots=2,
        drain_k=2,
        narrow_bits=4,
        dsp_primitive="dsp48e1",
        pack_k=2,
        chain=2,
        gather=False,
    ),
    "two_precisions_scalar": EngineConfig(
        lanes_k=2,
        lanes_p=2,
        sub_row=1,
        input_lanes=1,
        bus_bits=64,
        narrow_bits=4,
        dsp_primitive="dsp48e1",
        pack_k=2,
        gather=False,
    ),
    "mixed_other": EngineConfig(lanes_k=7, lanes_p=2, weight_bits=8, activation_bits=5, slots=2),
}

# Simulated, and their loops analysed, among the long tests only: another shape has most of what each of them has.
AT_LENGTH = (
    *("two_precisions", "two_precisions_scalar", "wide", "twelve", "three_bits", "mixed_other", "chain_of_8"),
    *("tile_4_one", "tile_4_narrow", "tile_2_pairs"),
)
SIMULATED = [pytest.param(name, marks=pytest.mark.long) if name in AT_LENGTH else name for name in SHAPES]
# In two, for the level that takes the longest: the files of the tests run beside each other.
DIRECT = [name for name, shape in zip(SIMULATED, SHAPES.values(), strict=True) if not shape.tile]
TILE = [name for name, shape in zip(SIMULATED, SHAPES.values(), strict=True) if shape.tile]

# Every width of the multipliers, with S of 2 to 16 and once 32 and 64, for the sweep of modes and patterns at length.
SWEPT: dict[str, EngineConfig] = {
    f"S{sub_row}_W{bits}": EngineConfig(
        lanes_k=4,
        lanes_p=2,
        slots=1 + bits % 2,
        drain_k=2,
        sub_row=sub_row,
        weight_bits=bits,
        activation_bits=bits,
        bus_bits=max(8 * sub_row, 64),
        tile=4,
        transform_cycles=1 + bits // 4 % 2,
        multiplier="lut" if bits <= 5 else "dsp",
        input_lanes=2,
    )
    for sub_row, bits in [*product((2, 4, 8, 16), range(2, 9)), (32, 8), (64, 8)]
}
