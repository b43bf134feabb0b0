"""The terms of the resource model: what the size of each engine module depends on.

A term is a count of bits or instances that follows from the configuration's geometry. The LUTs and flip-flops
per unit of each term are fitted to synthesis (`fit.json`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolflow.engine.config import EngineConfig
from toolflow.engine.records import PARAMETER_RECORD_BYTES, RESULT_BITS, kept_parameter_bits
from toolflow.numerics.requantise import MAX_RESIDUAL_SHIFT
from toolflow.plan.resources import tile as tiles
from toolflow.plan.resources.family import family_of

# the fold's Y in more words than these may be held in block RAM
FOLD_LUT_WORDS = 64
PROGRAM_FIFO_BITS = 64 * 512  # 64 instructions, as `instructions_ahead` of cascade_pkg.sv says
PARAMETER_SETS = 2  # of an engine whose weights do not run ahead
READ_FIFO_BEATS = 128  # `FifoBeats` of cascade_axi_read.sv

Terms = Mapping[str, float]


def product_bits(config: EngineConfig) -> int:
    """Width of one product: a signed weight times a signed operand."""
    return config.weight_bits + config.operand_bits


def as_built(config: EngineConfig, family: str) -> EngineConfig:
    """Return the engine that the family's synthesis makes: products too narrow for its DSP blocks are left in LUTs.

    One with two precisions has the lanes, banks and DSP blocks that its narrow programs see.
    """
    config = config.of(narrow=config.narrow_bits > 0)
    too_narrow = product_bits(config) < family_of(family).dsp.least_product_bits
    inferred = config.dsp_primitive == "none"
    return config.model_copy(update={"multiplier": "lut"}) if too_narrow and inferred else config


def word_bits(config: EngineConfig) -> int:
    """Bits of one word of a bank."""
    return config.sub_row * config.activation_bits


def parameter_bits(config: EngineConfig) -> int:
    """Bits of an output channel's parameters, as the drain reads them."""
    return kept_parameter_bits(config)


def multiplexer(inputs: float) -> float:
    """Return the LUT6 per bit of an `inputs`:1 multiplexer."""
    return inputs / 4 if inputs > 1 else 0


def _array(c: EngineConfig) -> Terms:
    """Terms of LUTs and of flip-flops; `registers` are those that no synthesiser can move into a DSP block."""
    if c.dsp_primitive != "none":
        return _packed_array(c)
    accumulators = c.lanes_k * c.lanes_p
    sum_bits = product_bits(c) + (c.slots - 1).bit_length()
    in_dsp = c.multiplier == "dsp"
    weights = c.slots * (2 * c.lanes_k * c.weight_bits + _index_bits(c))
    return {
        "gather": _gather(c),
        "operands": c.choices * c.lanes_p * c.slots * tiles.element_bits(c),
        "accumulators": accumulators * c.accumulator_bits,
        "sums": accumulators * (c.slots - 1) * sum_bits,
        "partial_products": 0 if in_dsp else c.multipliers * c.weight_bits * c.operand_bits,
        "weights": weights,
        "registers": 2 * accumulators * c.accumulator_bits
        + c.lanes_p * c.sub_row * tiles.element_bits(c)
        + weights
        + (accumulators * sum_bits if c.slots > 1 else 0),
        "products_summed": c.multipliers * product_bits(c) if in_dsp and c.slots > 1 else 0,
        "products_alone": c.multipliers * product_bits(c) if in_dsp and c.slots == 1 else 0,
        "products_lut": 0 if in_dsp else c.multipliers * (product_bits(c) + c.operand_bits),
    }


def _gather(c: EngineConfig) -> float:
    """LUTs that choose elements for each lane and slot: of a whole word with gather, else of S / slots elements."""
    inputs = c.sub_row if c.gather else c.sub_row / c.slots
    return c.choices * c.lanes_p * c.slots * tiles.element_bits(c) * multiplexer(inputs)


def _index_bits(c: EngineConfig) -> int:
    """Bits of the indices that a slot takes in a cycle."""
    return c.choices * c.index_bits if c.gather else 0


def _packed_array(c: EngineConfig) -> Terms:
    """The same of chains of DSP blocks, which hold the operands, the products and their sums.

    Slot n of a chain takes weights and elements n cycles late.
    """
    accumulators = c.lanes_k * c.lanes_p
    sum_bits = product_bits(c) + (c.slots - 1).bit_length()
    summed = accumulators * (c.slots // c.chain - 1) * sum_bits
    late = c.slots // c.chain * c.chain * (c.chain - 1) // 2  # of all slots together
    weights = (c.slots + late) * (c.lanes_k * c.row_weight_bits + _index_bits(c))
    words = c.lanes_p * c.sub_row * tiles.element_bits(c)
    delays = words * (c.chain - 1) if c.gather else c.lanes_p * late * c.operand_bits
    return {
        "gather": _gather(c),
        "operands": 0,
        "accumulators": accumulators * c.accumulator_bits,
        "sums": summed,
        "partial_products": 0,
        "weights": weights,
        "registers": 2 * accumulators * c.accumulator_bits + words + delays + weights + summed,
        "products_summed": 0,
        "products_alone": 0,
        "products_lut": 0,
    }


def _fabric(c: EngineConfig) -> Terms:
    """Terms of products of LUTs beside DSP blocks: choices of the digits of weights, sums, multiples of operands."""
    products = c.lanes_k * c.fabric_lanes * c.slots
    digits = (c.weight_bits + 1) // 2
    multiple_bits = c.operand_bits + 2
    sum_bits = 2 * product_bits(c) + (c.slots - 1).bit_length()
    return {
        "choices": products * digits * multiple_bits,
        "sums": products * sum_bits,
        "registers": products * (2 * (c.operand_bits + digits) + sum_bits),
        "multiples": c.choices * c.fabric_lanes * c.slots * multiple_bits,
    }


def _precisions(c: EngineConfig) -> Terms:
    """Terms of a second precision: choices of elements, and of the places of the sums of each chain."""
    both = c.built.narrow_bits > 0
    return {"one": both, "chains": both * c.lanes_k * c.lanes_p * c.slots // c.chain}


def _maps(c: EngineConfig) -> Terms:
    """Terms of FILL and SPILL in the movers and the decoder."""
    return {"one": c.external_maps}


def _stripes(c: EngineConfig) -> Terms:
    """Terms of one image in all lanes: the rows of a mover's lane, windows, and words from the lanes beside."""
    lanes = c.stripes * c.lanes_p
    return {"one": c.stripes, "lanes": lanes, "bits": lanes * c.sub_row * c.activation_bits}


def _drain(c: EngineConfig) -> Terms:
    lanes = c.lanes_p * c.drain_k
    return {
        "one": 1,
        "chunk_select": lanes * c.accumulator_bits * multiplexer(c.lanes_k / c.drain_k),
        "accumulators": lanes * c.accumulator_bits,
        "residual_select": lanes * c.activation_bits * multiplexer(c.sub_row / c.drain_k),
        "results": lanes * RESULT_BITS,
        "words": c.lanes_p * word_bits(c),
        "records": c.drain_k * parameter_bits(c),
        **tiles.one(c),
    }


def _requantise(c: EngineConfig) -> Terms:
    lanes = c.lanes_p * c.drain_k
    cascaded = requantiser_blocks(c) > 1
    return {
        "instances": lanes,
        "residual_bits": lanes * c.activation_bits,
        "total_bits": lanes * c.total_bits,
        "cascaded": lanes * cascaded,
        **tiles.requantise(c),
    }


def requantiser_blocks(config: EngineConfig) -> int:
    """DSP blocks for which the RTL cuts a requantiser's total (`port_bits` of cascade_pkg.sv)."""
    port_bits = {"dsp48e2": 27, "mult18x18d": 18}.get(config.dsp_primitive, 25)
    return 1 if config.total_bits <= port_bits else 2


def _words(c: EngineConfig) -> Terms:
    return {"one": 1, "words": c.lanes_p * word_bits(c)}


def _store(c: EngineConfig) -> Terms:
    return {
        "one": 1,
        "bus": c.bus_bits,
        "lane_select": (RESULT_BITS + word_bits(c)) * multiplexer(c.lanes_p),
        "words": word_bits(c),
    }


def _load(c: EngineConfig) -> Terms:
    return {"one": 1, "bus": c.bus_bits, "word": word_bits(c), "lanes": c.lanes_p, "slice": table_lanes(c) * 8}


def _unpack(c: EngineConfig) -> Terms:
    beats = max(c.beats_per_row(True), -(-8 * PARAMETER_RECORD_BYTES // c.bus_bits))
    return {"one": 1, "bus": c.bus_bits, "assembly": beats * c.bus_bits}


def _bank(c: EngineConfig) -> Terms:
    buffers = tiles.has_tiles(c) * c.lanes_p * c.sub_row * c.operand_bits
    return {"one": 1, "words": c.lanes_p * word_bits(c) + buffers}


def _engine(c: EngineConfig) -> Terms:
    return {**_words(c), **tiles.convolve(c)}


def _one(c: EngineConfig) -> Terms:
    return {"one": 1}


def _one_and_tiles(c: EngineConfig) -> Terms:
    return {"one": 1, **tiles.one(c)}


def _bus(c: EngineConfig) -> Terms:
    return {"one": 1, "bus": c.bus_bits}


def _confidence(c: EngineConfig) -> Terms:
    return {"class": 1, "confidence": float(c.confidence)}


def _exponent(c: EngineConfig) -> Terms:
    return {"confidence": float(c.confidence)}


@dataclass(frozen=True)
class Module:
    """A module of the engine.

    Attributes:
        part: its part of the report.
        terms: for all its instances together.
        luts, flip_flops: the terms that count for the resource; empty for all.
    """

    part: str
    terms: Callable[[EngineConfig], Terms]
    luts: tuple[str, ...] = ()
    flip_flops: tuple[str, ...] = ()


MODULES: dict[str, Module] = {
    "array": Module(
        "array",
        _array,
        luts=("gather", "operands", "accumulators", "sums", "partial_products", "weights"),
        flip_flops=("operands", "registers", "products_summed", "products_alone", "products_lut"),
    ),
    "fabric": Module("array", _fabric, luts=("choices", "sums", "multiples"), flip_flops=("registers", "multiples")),
    "precisions": Module("array", _precisions),
    "drain": Module("requantisers", _drain),
    "requantise": Module("requantisers", _requantise),
    "ring": Module("replay buffer", _one),
    "bank": Module("banks", _bank),
    "parameters": Module("movers", _one),
    "loader": Module("movers", _one),
    "unpack": Module("movers", _unpack),
    "load": Module("movers", _load),
    "store": Module("movers", _store),
    "maxpool": Module("movers", _words),
    "maps": Module("movers", _maps),
    "stripes": Module("stripes", _stripes, flip_flops=("one", "lanes")),
    "axi_read": Module("ports and FIFOs", _bus),
    "axi_write": Module("ports and FIFOs", _bus),
    "share": Module("ports and FIFOs", _bus),
    "fifo": Module("ports and FIFOs", _bus),
    "confidence": Module("confidence", _confidence),
    "exponent": Module("confidence", _exponent),
    "control": Module("control", _one),
    "fetch": Module("control", _one),
    "decode": Module("control", _one_and_tiles),
    "sequencer": Module("control", _one_and_tiles),
    "walker": Module("control", _one),
    "engine": Module("control", _engine),
    "transform": Module(
        "input transform",
        tiles.transform,
        luts=("tile", "inputs", "outputs", "inputs_large", "outputs_large"),
        flip_flops=("tile", "registers"),
    ),
    "transpose": Module("input transform", tiles.one),
    "tile_input": Module("input transform", tiles.tile_input),
    "tile_reader": Module("input transform", tiles.one),
    "fold": Module("fold", tiles.fold, luts=("tile", "values", "sums", "sums_large"), flip_flops=("tile", "registers")),
    "tile": Module("control", tiles.one),
    "tile_walker": Module("control", tiles.one),
}


@dataclass(frozen=True)
class MemoryUse:
    """One memory of the engine: copies, words × pieces × bits, and whether it is meant for UltraRAM or for LUT RAM."""

    part: str
    copies: int
    words: int
    piece_bits: int
    pieces: int = 1
    ultra: bool = False
    distributed: bool = False


def table_lanes(config: EngineConfig) -> int:
    """Input tables side by side."""
    return config.sub_row if config.table_words > 1 else config.input_lanes


def memories(config: EngineConfig) -> tuple[MemoryUse, ...]:
    """Return every registered memory of the engine."""
    c = config
    chunks = 1 << max((-(-c.lanes_k // c.drain_k) - 1).bit_length(), 1)
    return (
        bank_use(c),
        MemoryUse("banks", c.lanes_p, c.result_depth, RESULT_BITS),
        MemoryUse("replay buffer", 1, c.ring_rows, c.row_bits(c.gather), ultra=c.weight_memory == "ultra"),
        MemoryUse("movers", 1, c.parameter_sets * chunks, parameter_bits(c), c.drain_k),
        MemoryUse("movers", table_lanes(c), 256 * c.table_words, 8),
        MemoryUse("ports and FIFOs", 2, READ_FIFO_BEATS, c.bus_bits),
        *_program_fifo(c),
        *(_tile_memories(c, chunks) if c.tile else ()),
    )


def _program_fifo(c: EngineConfig) -> tuple[MemoryUse, ...]:
    """Return the FIFO of instructions where it is deep: where weights run further ahead than two groups."""
    deep = c.parameter_sets > PARAMETER_SETS
    return (MemoryUse("ports and FIFOs", 1, PROGRAM_FIFO_BITS // c.bus_bits, c.bus_bits + 1),) if deep else ()


def bank_use(c: EngineConfig) -> MemoryUse:
    """Return the banks of all lanes."""
    granules, ultra = c.sub_row // c.granule, c.bank_memory == "ultra"
    return MemoryUse("banks", c.lanes_p, c.bank_depth, c.granule * c.activation_bits, granules, ultra)


def _tile_memories(c: EngineConfig, chunks: int) -> tuple[MemoryUse, ...]:
    """Return both halves of the transformed tiles, the transposer, and the fold's sums: two of rows, two of tiles."""
    channels = c.sub_row // c.transform_cycles
    sums = c.tile * tiles.folded_bits(c)
    outputs = c.tile * chunks
    transposed = tiles.slice_channels(c) * tiles.middle_bits(c)
    return (
        MemoryUse("input transform", c.lanes_p, 2 * c.transform_depth, channels * c.operand_bits, c.transform_cycles),
        MemoryUse("input transform", 1, tiles.transposed_words(c), transposed, distributed=True),
        MemoryUse("fold", 2, chunks, sums, distributed=True),
        MemoryUse("fold", 2, outputs, sums, distributed=outputs <= FOLD_LUT_WORDS),
    )


def dsps(config: EngineConfig, family: str) -> dict[str, int]:
    """Return the DSP blocks of each part.

    A requantiser multiplies its total by 17 bits and its residual, which engines with tiles have shifted. The decoder
    multiplies sizes by strides.
    """
    widest = family_of(family).dsp.operand_bits
    residual_bits = config.activation_bits + 1 + (MAX_RESIDUAL_SHIFT if config.tile else 0)
    total, residual = (
        next((n for n, most in enumerate(widest, 1) if bits <= most), len(widest) + 1)
        for bits in (config.total_bits, residual_bits)
    )
    blocks = config.lanes_k * config.dsp_lanes * config.slots // config.products_per_block
    requantiser = max(total, requantiser_blocks(config)) + residual
    return {
        "array": blocks if as_built(config, family).multiplier == "dsp" else 0,
        "requantisers": requantiser * config.lanes_p * config.drain_k,
        "confidence": int(config.confidence),
        "control": 1,
    }
