"""Terms of the resource model for engines with tiles; they are zero for engines without."""

from __future__ import annotations

from collections.abc import Mapping

from toolflow.engine.config import EngineConfig

Terms = Mapping[str, float]


def element_bits(config: EngineConfig) -> int:
    """Bits of one channel in a word at the array: an activation, or what both it and a transformed one fit in."""
    return config.operand_bits if config.tile else config.activation_bits


def has_tiles(config: EngineConfig) -> int:
    """1 if the engine has tiles, else 0."""
    return int(config.tile > 0)


def has_large_tiles(config: EngineConfig) -> int:
    """1 if the engine transforms tiles of 4 × 4 outputs, else 0."""
    return int(config.tile == 4)


def slice_channels(config: EngineConfig) -> int:
    """Channels of all lanes that the input transform takes in one cycle; 0 if the engine has no tiles."""
    return has_tiles(config) * config.lanes_p * config.sub_row // config.transform_cycles


def middle_bits(config: EngineConfig) -> int:
    """Bits of an activation that is transformed in one dimension."""
    return config.activation_bits + (4 if config.tile == 4 else 2)


def transposed_words(config: EngineConfig) -> int:
    """Words of the transposer's memory."""
    return 64 if config.tile == 4 else 16


def folded_bits(config: EngineConfig) -> int:
    """Bits of one chunk of the array's sums for all lanes; 0 if the engine has no tiles."""
    return has_tiles(config) * config.lanes_p * config.drain_k * config.accumulator_bits


def one(c: EngineConfig) -> Terms:
    """Terms of a unit that does not grow."""
    return {"tile": has_tiles(c), "large": has_large_tiles(c)}


def transform(c: EngineConfig) -> Terms:
    """Terms of the input transform's two passes, columns and rows."""
    channels, large = slice_channels(c), has_large_tiles(c)
    inputs = channels * (c.activation_bits + 1 + middle_bits(c))
    outputs = channels * (middle_bits(c) + c.operand_bits)
    words = 2 * (c.tile + 2) - 1
    return {
        **one(c),
        "inputs": inputs,
        "outputs": outputs,
        "inputs_large": large * inputs,
        "outputs_large": large * outputs,
        "registers": words * inputs + (2 + large) * outputs,
    }


def tile_input(c: EngineConfig) -> Terms:
    """Terms of the choice of a word's slice and of the control of the input transform."""
    taken = slice_channels(c) * (c.activation_bits + 1)
    return {
        **one(c),
        "taken": taken,
        "slice_select": taken * c.transform_cycles / 4 if c.transform_cycles > 1 else 0,
    }


def fold(c: EngineConfig) -> Terms:
    """Terms of the output transform: values that are shifted, and m sums of each in either direction."""
    values, large = folded_bits(c), has_large_tiles(c)
    return {
        **one(c),
        "values": values,
        "sums": c.tile * values,
        "sums_large": large * c.tile * values,
        "registers": (2 + c.tile) * values,
    }


def convolve(c: EngineConfig) -> Terms:
    """Terms of the choice between plain and transformed words, and between array and fold."""
    return {
        "tile": has_tiles(c),
        "transformed": has_tiles(c) * c.lanes_p * c.sub_row * c.operand_bits,
        "folded": folded_bits(c),
    }


def requantise(c: EngineConfig) -> Terms:
    """Terms of shifted residuals."""
    return {"shifted_bits": has_tiles(c) * c.lanes_p * c.drain_k * c.activation_bits}
