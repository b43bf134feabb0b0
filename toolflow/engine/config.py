"""The engine's parameters, which HLS, RTL, planner, executor and tests read from here."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toolflow.ir.errors import ToolflowError
from toolflow.numerics.packing import PRIMITIVES, Interval, Packing, one_product, packing_of
from toolflow.numerics.requantise import PLAIN_BIAS_BITS
from toolflow.numerics.types import IntegerType, smallest_signed_bits
from toolflow.numerics.winograd import WINOGRAD, transformed_range

MAX_ACTIVATION_BITS = 8
MIN_RING_ROWS = 32  # a row goes through in every cycle, at the cost of a LUT RAM
# parameters that follow from the networks that an engine is to hold
FITTED = (
    "accumulator_bits", "bias_bits",
    "bank_depth", "input_lanes", "result_depth", "table_words", "transform_depth", "weight_depth",
    "external_maps",
)  # fmt: skip
# parameters of how the array is built, which change no result
ARRAY = {"dsp_primitive", "pack_k", "pack_p", "chain", "fabric_lanes", "gather"}
# parameters of the memories and of how far the weights run ahead, which no program notices
MEMORIES = {"bank_memory", "weight_memory", "rows_ahead", "parameter_sets"}

MOST_ROWS_AHEAD = 1 << 20
COLUMNS = ("dsp48e1", "dsp48e2")  # DSP blocks that sum along a column


class EngineConfig(BaseModel):
    """Every parameter that is fixed when an engine is built.

    Attributes:
        lanes_k: output channels computed at once.
        lanes_p: positions computed at once; each lane holds one image of the batch, or in striped programs rows of one
            image. With two precisions these are the lanes of narrow programs; wide ones have half of them.
        slots: weights that each (output channel, lane) consumes per cycle.
        drain_k: output channels that leave each lane's accumulators per cycle.
        sub_row: S, input channels in one word of a bank.
        weight_bits: width of a weight at the multiplier, signed.
        activation_bits: width of an activation in the banks, signed or unsigned by layer.
        narrow_bits: width of weights and activations in narrow programs, half of `weight_bits` and `activation_bits`;
            0 if the engine has one precision (PROGRAM.md, "Two precisions").
        accumulator_bits: width of an accumulator.
        bias_bits: width of a bias.
        bus_bits: data width of both AXI masters.
        bank_depth: words of S activations in each lane's bank.
        weight_depth: weight rows that are kept for the positions of a group of output channels; a group with one
            position may have more.
        result_depth: 16-bit results per lane.
        input_lanes: channels of a pixel word that the load mover's tables cover.
        table_words: pixel words (of up to S channels) that the tables cover.
        tile: largest Winograd tile m of F(m, 3) that the engine transforms: 4 (and 2), 2, or 0 for none.
        transform_cycles: cycles in which the input transform makes one word; S / transform_cycles channels at once.
        transform_depth: words of one transformed tile in each lane; the engine holds two.
        multiplier: whether multipliers are meant for DSP blocks or for LUTs.
        dsp_primitive: the DSP block that the array is built of, or "none" where synthesis infers the multipliers.
        pack_k, pack_p: output channels and positions that share one DSP block (`numerics/packing.py`).
        chain: slots whose products are summed inside the column of DSP blocks.
        fabric_lanes: the last lanes of `lanes_p` whose products are made of LUTs, beside the DSP blocks of the others.
        gather: whether weight rows may carry indices, by which output channels pick their own elements of a word, as
            sparse and grouped layers need; without it, one element for each (lane, slot) serves all channels.
        index_k: output channels that share each index of a weight row, and with it the element that it picks.
        bank_memory: whether the banks are meant for block RAM (LUT RAM if they are small) or for UltraRAM.
        weight_memory: the same of the weight rows.
        rows_ahead: weight rows that the RTL engine holds beside those of two groups, so that the port for weights is
            busy while layers compute that need few.
        parameter_sets: groups of output channels whose parameters the RTL engine holds, the one at work included.
        confidence: whether the confidence unit is built.
        external_maps: whether the units are built that fill the banks from maps in external memory and spill to them.
        stripes: whether the engine runs striped programs, in which the rows of one image lie in all lanes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lanes_k: int = Field(default=16, ge=1, le=512)
    lanes_p: int = Field(default=8, ge=1, le=128)
    slots: int = Field(default=1, ge=1)
    drain_k: int = Field(default=1, ge=1)
    sub_row: int = Field(default=8, ge=1, le=64)
    weight_bits: int = Field(default=8, ge=2, le=12)
    activation_bits: int = Field(default=8, ge=2, le=MAX_ACTIVATION_BITS)
    narrow_bits: Literal[0, 4] = 0
    accumulator_bits: int = Field(default=32, ge=8, le=40)
    bias_bits: int = Field(default=PLAIN_BIAS_BITS, ge=8, le=40)
    bus_bits: int = 128
    bank_depth: int = Field(default=4096, ge=1, le=1 << 20)
    weight_depth: int = Field(default=1024, ge=1, le=1 << 16)
    result_depth: int = Field(default=16, ge=1, le=1 << 14)
    input_lanes: int = Field(default=4, ge=1)
    table_words: int = Field(default=1, ge=1, le=64)
    tile: Literal[0, 2, 4] = 0
    transform_cycles: int = Field(default=1, ge=1)
    transform_depth: int = Field(default=1, ge=1, le=1 << 16)
    multiplier: Literal["dsp", "lut"] = "dsp"
    dsp_primitive: Literal["none", "dsp48e1", "dsp48e2", "mult18x18d"] = "none"
    pack_k: Literal[1, 2] = 1
    pack_p: Literal[1, 2] = 1
    chain: int = Field(default=1, ge=1)
    fabric_lanes: int = Field(default=0, ge=0, le=127)
    gather: bool = True
    index_k: Literal[1, 2, 4] = 1
    bank_memory: Literal["block", "ultra"] = "block"
    weight_memory: Literal["block", "ultra"] = "block"
    rows_ahead: int = Field(default=0, ge=0, le=MOST_ROWS_AHEAD)
    parameter_sets: int = Field(default=2, ge=2, le=1 << 10)
    confidence: bool = True
    external_maps: bool = False
    stripes: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = []
        for name in ("slots", "sub_row", "bus_bits", "input_lanes", "transform_cycles", "parameter_sets"):
            value = getattr(self, name)
            if value & (value - 1):
                problems.append(f"{name} must be a power of two, not {value}")
        if self.bus_bits not in (64, 128, 256, 512):
            problems.append(f"bus_bits must be 64, 128, 256 or 512, not {self.bus_bits}")
        if self.slots > self.sub_row:
            problems.append(f"slots must not exceed sub_row, not {self.slots} > {self.sub_row}")
        if self.input_lanes > self.sub_row:
            problems.append(f"input_lanes must not exceed sub_row, not {self.input_lanes} > {self.sub_row}")
        if self.transform_cycles > self.sub_row:
            problems.append(f"transform_cycles must not exceed sub_row, not {self.transform_cycles} > {self.sub_row}")
        if self.sub_row * 8 > self.bus_bits:
            problems.append(f"sub_row must be at most bus_bits / 8, not {self.sub_row} > {self.bus_bits // 8}")
        if self.granule % self.drain_k:
            problems.append(f"drain_k must divide gcd(lanes_k, sub_row) = {self.granule}, not be {self.drain_k}")
        problems += self._index_problems()
        problems += self._packing_problems() or [*self._precision_problems(), *self._fabric_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _index_problems(self) -> list[str]:
        if not self.gather:
            return [] if self.index_k == 1 else [f"index_k must be 1 without gather, not {self.index_k}"]
        problems = []
        if self.lanes_k % self.index_k:
            problems.append(f"index_k must divide lanes_k = {self.lanes_k}, not be {self.index_k}")
        if self.index_k % self.pack_k:
            problems.append(
                f"index_k must be 2 or 4 with pack_k={self.pack_k} and gather, not {self.index_k}: output channels of "
                "one DSP block share an element; without shared indices take pack_p=2, or gather=false for dense layers"
            )
        return problems

    def _packing_problems(self) -> list[str]:
        if self.dsp_primitive == "none":
            if (self.pack_k, self.pack_p, self.chain) != (1, 1, 1):
                return [
                    f"pack_k, pack_p and chain need a dsp_primitive, one of {', '.join(PRIMITIVES)}, not "
                    f"{self.pack_k}, {self.pack_p} and {self.chain} with none"
                ]
            return []
        problems = []
        if self.multiplier != "dsp":
            problems.append(f"multiplier must be dsp with dsp_primitive {self.dsp_primitive}, not {self.multiplier}")
        lanes = "lanes_p - fabric_lanes" if self.fabric_lanes else "lanes_p"
        for name, value, part in (
            ("lanes_k", self.lanes_k, "pack_k"),
            (lanes, max(self.dsp_lanes, 0), "pack_p"),
            ("slots", self.slots, "chain"),
        ):
            if value % getattr(self, part):
                problems.append(f"{part} must divide {name} = {value}, not be {getattr(self, part)}")
        try:
            self.packing  # noqa: B018
        except ValueError as error:
            problems.append(str(error))
        return problems

    def _fabric_problems(self) -> list[str]:
        """Return why products of LUTs cannot stand beside those of DSP blocks."""
        if self.fabric_lanes == 0:
            return []
        problems = []
        if self.dsp_primitive not in COLUMNS:
            problems.append(
                f"fabric_lanes must be 0 without columns of dsp48e1 or dsp48e2, not {self.fabric_lanes} with "
                f"{self.dsp_primitive}: take multiplier=lut for an array in LUTs"
            )
        if self.dsp_lanes < 1:
            problems.append(f"fabric_lanes must be less than lanes_p = {self.lanes_p}, not {self.fabric_lanes}")
        if self.narrow_bits:
            problems.append(f"fabric_lanes must be 0 with narrow_bits={self.narrow_bits}, not {self.fabric_lanes}")
        return problems

    def _precision_problems(self) -> list[str]:
        """Return what an engine with two precisions lacks."""
        b = self.narrow_bits
        if b == 0:
            return []
        wanted: dict[str, tuple[object, ...]] = {
            "weight_bits": (2 * b,),
            "activation_bits": (2 * b,),
            "dsp_primitive": COLUMNS,
            "pack_k": (2,),
            "pack_p": (1,),
            "gather": (False,),
            "tile": (0,),
            "stripes": (False,),
        }
        problems = [
            f"{name} must be {' or '.join(map(_word, values))}, not {_word(getattr(self, name))}"
            for name, values in wanted.items()
            if getattr(self, name) not in values
        ]
        if self.lanes_p % 2:
            problems.append(f"lanes_p must be even, as a wide program has half of the lanes, not {self.lanes_p}")
        if not problems:
            for bits, pack_p in ((2 * b, 1), (b, 2)):
                try:
                    _of_two(self, bits, pack_p)
                except ValueError as error:
                    problems.append(str(error))
        return [f"with narrow_bits={b} {problem}" for problem in problems]

    def of(self, narrow: bool) -> EngineConfig:
        """Return the engine as its wide programs see it, or as its narrow ones do: all that a program depends on.

        An engine with one precision is what its programs see.

        Raises:
            ToolflowError: the engine has no narrow programs.
        """
        if self.narrow_bits:
            return Precision.of_engine(self, narrow)
        if narrow:
            raise ToolflowError(
                "a narrow program needs an engine with two precisions: take narrow_bits=4, with weight_bits=8, "
                "activation_bits=8, pack_k=2 and gather=false on a board with dsp48e1 or dsp48e2"
            )
        return self

    @property
    def precisions(self) -> tuple[EngineConfig, ...]:
        """What the programs of each precision see, of two the wide one first."""
        return (self.of(narrow=False), self.of(narrow=True)) if self.narrow_bits else (self,)

    @property
    def built(self) -> EngineConfig:
        """The engine that is built: this one, or that whose precision this is."""
        return self

    @property
    def narrow(self) -> bool:
        """Whether this is what narrow programs see."""
        return False

    def fitted(self, parameters: Mapping[str, int]) -> EngineConfig:
        """Return the engine with other values of parameters that follow from the networks (`FITTED`)."""
        return EngineConfig(**{**self.model_dump(), **parameters})

    @property
    def granule(self) -> int:
        """Channels that are written to a bank together: gcd(lanes_k, S)."""
        return math.gcd(self.lanes_k, self.sub_row)

    @property
    def multipliers(self) -> int:
        """Multipliers in the array."""
        return self.lanes_k * self.lanes_p * self.slots

    @property
    def operand_bits(self) -> int:
        """Width of the multipliers' second operand, signed: an activation of either sign, or a transformed one."""
        return smallest_signed_bits(self.operands.lower, self.operands.upper)

    @property
    def operands(self) -> Interval:
        """All values of the multipliers' second operand."""
        return operands_of(self.activation_bits, self.tile)

    @property
    def packing(self) -> Packing:
        """How products share a multiplier."""
        if self.dsp_primitive == "none":
            return one_product(self.weight_bits, self.operands)
        return packing_of(self.dsp_primitive, self.weight_bits, self.operands, self.pack_k, self.pack_p, self.chain)

    @property
    def dsp_lanes(self) -> int:
        """Lanes whose products are not made of LUTs beside DSP blocks."""
        return self.lanes_p - self.fabric_lanes

    @property
    def products_per_block(self) -> int:
        """Products that one multiplier makes in a cycle."""
        return self.pack_k * self.pack_p

    @property
    def row_weight_bits(self) -> int:
        """Bits of a value in a weight row."""
        return self.weight_bits

    @property
    def total_bits(self) -> int:
        """Width of the sum of an accumulator and a bias."""
        return max(self.accumulator_bits, self.bias_bits) + 1

    @property
    def digit_bits(self) -> int:
        """Width of one digit where a weight or an input is wider than the array (PROGRAM.md)."""
        return min(self.weight_bits, self.activation_bits)

    @property
    def ring_rows(self) -> int:
        """Weight rows that the RTL engine holds: two groups, as many as rows that go through need, and those ahead."""
        return max(2 * self.weight_depth, MIN_RING_ROWS) + self.rows_ahead

    @property
    def choices(self) -> int:
        """Elements that each lane and slot picks: one for every `index_k` output channels, or one for all of them."""
        return self.lanes_k // self.index_k if self.gather else 1

    @property
    def index_bits(self) -> int:
        """Width of an index into a sub-row."""
        return max(self.sub_row.bit_length() - 1, 1)

    @property
    def bus_bytes(self) -> int:
        """Bytes in one beat."""
        return self.bus_bits // 8

    def row_bits(self, indexed: bool) -> int:
        """Bits of one weight row, with or without its indices."""
        indices = self.lanes_k // self.index_k * self.slots if indexed else 0
        return self.lanes_k * self.slots * self.row_weight_bits + indices * self.index_bits

    def rows_per_beat(self, indexed: bool) -> int:
        """Whole weight rows in one beat; 1 if a row needs one beat or more."""
        return max(self.bus_bits // self.row_bits(indexed), 1)

    def beats_per_row(self, indexed: bool) -> int:
        """Beats of one weight row; 1 if several rows share a beat."""
        return -(-self.row_bits(indexed) // self.bus_bits)

    @property
    def signature(self) -> int:
        """64-bit hash of every parameter that a program could notice, compared by the engine with the program's header.

        What the memories are built of and how far weights run ahead is none of them. Neither is how products are
        packed: an engine answers an index or a weight that it does not take with an error code. Biases of 32 bits, one
        precision, an index for each channel, no maps outside and no stripes are those of engines before `bias_bits`,
        `narrow_bits`, `index_k`, `external_maps` and `stripes`.
        """
        known = self.model_dump(exclude={*MEMORIES, *ARRAY})
        if self.bias_bits == PLAIN_BIAS_BITS:
            del known["bias_bits"]
        if self.narrow_bits == 0:
            del known["narrow_bits"]
        if self.index_k == 1:
            del known["index_k"]
        if not self.external_maps:
            del known["external_maps"]
        if not self.stripes:
            del known["stripes"]
        text = json.dumps(known, sort_keys=True).encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


def one_precision(config: EngineConfig) -> None:
    """Refuse an engine with two precisions where a program of one of them is meant.

    Raises:
        ValueError: it has two.
    """
    if config.narrow_bits:
        raise ValueError("an engine with two precisions must be given as its programs see it: config.of(narrow)")


class Precision(EngineConfig):
    """An engine with two precisions as the programs of one of them see it: an engine with one.

    Narrow programs see all lanes, with multipliers and elements of `narrow_bits`; wide ones half of the lanes.
    Executor, schedule, lowering and cycle model take it as any engine. What is built is `built`.

    Attributes:
        engine: the engine.
    """

    engine: EngineConfig

    @classmethod
    def of_engine(cls, engine: EngineConfig, narrow: bool) -> Self:
        """Return what programs of one precision see of an engine that has two."""
        seen: dict[str, object] = {"narrow_bits": 0, "engine": engine}
        if narrow:
            seen |= {"weight_bits": engine.narrow_bits, "activation_bits": engine.narrow_bits, "pack_p": 2}
        else:
            seen["lanes_p"] = engine.lanes_p // 2
        return cls.model_validate({**engine.model_dump(), **seen})

    def of(self, narrow: bool) -> EngineConfig:
        """Return the same, or the other precision of the engine."""
        return self.engine.of(narrow)

    @property
    def built(self) -> EngineConfig:
        """The engine."""
        return self.engine

    @property
    def narrow(self) -> bool:
        """Whether this is what narrow programs see."""
        return self.weight_bits < self.engine.weight_bits

    def fitted(self, parameters: Mapping[str, int]) -> EngineConfig:
        """Return this precision of the engine with other values of `FITTED` parameters."""
        return self.engine.fitted(parameters).of(self.narrow)

    @property
    def packing(self) -> Packing:
        """How products share a multiplier, with the weights on the same port in both precisions."""
        return _of_two(self, self.weight_bits, self.pack_p)

    @property
    def row_weight_bits(self) -> int:
        """Bits of a value in a weight row, the same in both precisions."""
        return self.engine.weight_bits

    @property
    def signature(self) -> int:
        """That of the engine."""
        return self.engine.signature


def _of_two(config: EngineConfig, bits: int, pack_p: int) -> Packing:
    """Return the packing of the precision of so many bits and operands of a block, of an engine that has two."""
    return packing_of(
        config.dsp_primitive, bits, operands_of(bits, 0), config.pack_k, pack_p, config.chain, weights_wide=True
    )


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@cache  # planners ask for every shape
def operands_of(activation_bits: int, tile: int) -> Interval:
    """Return all values of activations of either sign, and of their transforms for tiles of up to `tile`."""
    kinds = [IntegerType(activation_bits, signed) for signed in (False, True)]
    forms = [form for m, form in WINOGRAD.items() if m <= tile]
    ranges = [transformed_range(form, kind) for form in forms for kind in kinds]
    lower = [kind.lower for kind in kinds] + [low for low, _ in ranges]
    upper = [kind.upper for kind in kinds] + [high for _, high in ranges]
    return Interval(min(lower), max(upper))


@cache
def deepest_memories() -> dict[str, int]:
    """Return the largest depth that each of an engine's memories may have, by parameter."""
    properties = EngineConfig.model_json_schema()["properties"]
    return {name: int(properties[name]["maximum"]) for name in FITTED if name.endswith("_depth")}


@cache
def smallest_values() -> dict[str, int]:
    """Return the smallest value that each parameter which follows from the networks may have."""
    properties = EngineConfig.model_json_schema()["properties"]
    return {name: int(properties[name].get("minimum", False)) for name in FITTED}
