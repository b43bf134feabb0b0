"""The steps of a pass: load, fill, compute, pool, shift, spill and store, each with the places of its tensors.

A network's steps in order are its schedule (`toolflow/plan/schedule`). `toolflow/plan/lower` encodes them, and the
cycle model, the needs of memories and the reports read them. A step takes one or two instructions.

A step with `stripes` works on rows of one image in all lanes. The last `SetStripes` before it has the same stripes
(`with_windows` sees to that).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import LAYOUT, Opcode
from toolflow.engine.places import BankPlace, ExternalPlace, ImageFormat, Region, ResultPlace, Stripes
from toolflow.engine.rows import LayerWeights, Walk
from toolflow.engine.stream import parameter_beats, row_beats
from toolflow.numerics.requantise import Requantise
from toolflow.numerics.types import IntegerType
from toolflow.numerics.winograd import WINOGRAD

Int64Array = npt.NDArray[np.int64]
Pair = tuple[int, int]


class Part(NamedTuple):
    """One instruction of a step: what it does, and its name in reports."""

    opcode: Opcode
    name: str


class PacketSize(NamedTuple):
    """How long a packet of the weight stream is: its channels, and the beats of its two sections."""

    channels: int
    parameter_beats: int
    row_beats: int


@dataclass(frozen=True)
class Window:
    """Which positions of the source an output position reads; every pair is (vertical, horizontal).

    Attributes:
        kernel, stride, dilation: of the window.
        pads: how many rows above the map and columns left of it the first window begins.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pair = (0, 0)
    dilation: Pair = (1, 1)


@dataclass(frozen=True)
class Residual:
    """A map that the drain adds to some channels of the output.

    Attributes:
        source: the map.
        signed: whether its elements are signed.
        stride: (vertical, horizontal), from an output position's pixel to the next one's.
        first_channel: output channel that meets the map's channel 0.
    """

    source: BankPlace
    signed: bool
    stride: Pair = (1, 1)
    first_channel: int = 0


@dataclass(frozen=True)
class Load:
    """Bring each lane rows of its image through the input tables, which are filled before.

    Attributes:
        tensor: the network's input.
        image: how an image lies in external memory.
        source, out: where the image lies there, and the rows in the banks.
        digits: number of digits into which an element is cut; 1 if it is not cut.
        ahead: name of the step from which on the words of `out`, and all behind them, are free for the images of the
            next pass; "" if there is none.
        table: int64 (C, 256): the element of each channel for each byte.
        first_row: of the image; the row begins at a beat. In stripes, that of lane 0, negative if `stripes` has rows
            above it.
        fills_tables: whether this is the pass's first load.
        stripes: of `out`; None in image layout. Every row of the image begins at a beat in stripes.
    """

    tensor: str
    image: ImageFormat
    source: ExternalPlace
    out: BankPlace
    digits: int
    table: Int64Array = field(compare=False, repr=False)
    ahead: str = ""
    first_row: int = 0
    fills_tables: bool = True
    stripes: Stripes | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The instructions."""
        load = Part(Opcode.LOAD, "load")
        return (Part(Opcode.TABLE, "table"), load) if self.fills_tables else (load,)

    @property
    def first_byte(self) -> int:
        """Where the rows begin in the image."""
        return self.first_row * self.image.row_bytes


@dataclass(frozen=True)
class Fill:
    """Bring each lane rows of a map from external memory.

    Attributes:
        tensor: whose map it is.
        source: where the map lies there.
        first_row: of the map. In stripes, that of lane 0, negative if `stripes` has rows above it.
        out: where the rows go.
        stripes: of `out`; None in image layout. In stripes, `source` is where the one map of all lanes lies.
    """

    tensor: str
    source: ExternalPlace
    first_row: int
    out: BankPlace
    stripes: Stripes | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The instruction."""
        return (Part(Opcode.FILL, f"fill {self.tensor}"),)


@dataclass(frozen=True)
class Spill:
    """Write rows of each lane's map to external memory.

    Attributes:
        tensor: whose map it is.
        source: where the rows lie.
        first_row: of the map. In stripes, that of lane 0.
        out: where the map lies in external memory.
        stripes: of `source`, without rows of another lane; None in image layout. In stripes, `out` is where the one
            map of all lanes lies.
    """

    tensor: str
    source: BankPlace
    first_row: int
    out: ExternalPlace
    stripes: Stripes | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The instruction."""
        return (Part(Opcode.SPILL, f"spill {self.tensor}"),)


@dataclass(frozen=True)
class Compute:
    """A convolution on the array, with its requantisation.

    Attributes:
        name: of the step; each step has its own, even if several of them write one tensor.
        tensor: the tensor that the step writes.
        source: the map that it reads, or those rows of it that it needs.
        signed: whether the elements of this map are signed.
        out: where the output lies, or a band of its rows.
        region: the part of `out` that this step computes. If there is a tile, the region begins at one: rounded
            taps belong to no 3 × 3 kernel, so that a value depends on its position in the tile.
        window: what an output position reads; if there is a tile, the window of the 3 × 3 kernel.
        weights, walk: the weights, and how the array walks them.
        rule: requantisation, every array of shape (K,).
        residual: what the drain adds, or None.
        tile: m of F(m, 3), 0 for a direct convolution.
        exponent: int64 (t, t), the left shift of each tap, if there is a tile.
        place_macs: useful multiply-accumulates of a whole pixel, or of a tile; 0 if the step computes again what
            another step of the layer counts.
        direct_place_macs: those of a position if the layer were direct and dense; 0 likewise.
        accumulator_bits: width in which every final accumulator fits.
        top: row of the whole output with which `out` begins.
        stripes: of `source`, whose row 0 the first window reads; None in image layout, or if no row that the step
            reads can lie outside the map.
        out_stripes: of `out`, whose rows are a lane's own; None in image layout.
        divided: positions into which every pixel is divided: whole words of it, which all meet the same weights.
    """

    name: str
    tensor: str
    source: BankPlace
    signed: bool
    out: BankPlace | ResultPlace
    region: Region
    window: Window
    weights: LayerWeights = field(compare=False, repr=False)
    walk: Walk
    rule: Requantise = field(compare=False, repr=False)
    residual: Residual | None = None
    tile: int = 0
    exponent: Int64Array | None = field(default=None, compare=False, repr=False)
    place_macs: int = 0
    direct_place_macs: int = 0
    accumulator_bits: int = 0
    top: int = 0
    stripes: Stripes | None = None
    out_stripes: Stripes | None = None
    divided: int = 1

    @property
    def parts(self) -> tuple[Part, ...]:
        """The instructions: TAPS before a CONV with exponents."""
        conv = Part(Opcode.CONV, self.name)
        return (conv,) if self.exponent is None else (Part(Opcode.TAPS, f"taps of {self.name}"), conv)

    @property
    def channels(self) -> int:
        """Output channels K of a position."""
        return int(self.weights.digits.shape[1])

    @property
    def reads(self) -> int:
        """Input channels that each output channel reads, 0 for all of them."""
        return int(self.weights.digits.shape[2]) if self.weights.groups > 1 else 0

    @cached_property
    def rows(self) -> int:
        """Weight rows of a group of output channels."""
        return self.weights.levels * self.walk.rows(self.weights.taps)

    @property
    def kept_rows(self) -> int:
        """Rows of a group that the engine keeps: of one output position 1, as they go through (PROGRAM.md).

        More than an instruction counts are not taken for that, as no depth holds them.
        """
        once = self.region.height * self.region.width * self.divided == 1 and self.rows <= LAYOUT["rows"].highest
        return 1 if once else self.rows

    @cached_property
    def rows_of_taps(self) -> tuple[int, ...]:
        """Weight rows of each tap in a group of output channels."""
        return tuple(self.weights.levels * rows for rows in self.walk.rows_of_taps(self.weights.taps))

    @property
    def places(self) -> int:
        """Positions of the region, or tiles that cover it: those of one lane."""
        return self._places(self.region.height) * self.divided

    def _places(self, height: int) -> int:
        width = self.region.width
        down, across = WINOGRAD[self.tile].tiles(height, width) if self.tile else (height, width)
        return down * across

    @property
    def _image_rows(self) -> int:
        """Rows of one image's output in the region, in all lanes."""
        stripes, region = self.out_stripes, self.region
        return region.height if stripes is None else stripes.rows_of_map(region.top, region.height)

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates for one image."""
        return self.place_macs * self._places(self._image_rows)

    @property
    def direct_macs(self) -> int:
        """What they would be if the layer were direct and dense."""
        return self.direct_place_macs * self._image_rows * self.region.width

    @property
    def transformed_words(self) -> int:
        """Words of a transformed tile, 0 if there is none."""
        return self.weights.taps * self.walk.sub_rows if self.tile else 0

    def groups(self, lanes_k: int) -> Iterator[int]:
        """Yield how many channels each group of at most `lanes_k` output channels has."""
        for first in range(0, self.channels, lanes_k):
            yield min(lanes_k, self.channels - first)

    def packets(self, config: EngineConfig) -> Iterator[PacketSize]:
        """Yield the sizes of the step's packets in the weight stream, in order."""
        rows = row_beats(config, self.rows, self.walk.indexed)
        for channels in self.groups(config.lanes_k):
            yield PacketSize(channels, parameter_beats(config, channels), rows)

    def overrun(self, config: EngineConfig) -> int:
        """Return the words that the last group reads beyond its pixel (met by weights of 0)."""
        groups = -(-self.channels // config.lanes_k)
        last = ((groups - 1) * self.walk.channel_step) // config.sub_row + self.walk.sub_rows
        return max(last - self.source.words, 0)

    def weight_bytes(self, config: EngineConfig) -> int:
        """Return the bytes of the step's packets."""
        return sum(each.parameter_beats + each.row_beats for each in self.packets(config)) * config.bus_bytes


@dataclass(frozen=True)
class Pool:
    """The maximum over windows.

    Attributes:
        tensor: the tensor that the step writes.
        source, signed: the map that it reads, or those rows of it that it needs, and whether its elements are signed.
        out, region: where the output lies, or a band of its rows, and the part of it that this step computes.
        window: what an output position reads.
        top: row of the whole output with which `out` begins.
        stripes, out_stripes: of `source` and `out`, as in `Compute`.
    """

    tensor: str
    source: BankPlace
    signed: bool
    out: BankPlace
    region: Region
    window: Window
    top: int = 0
    stripes: Stripes | None = None
    out_stripes: Stripes | None = None

    @property
    def name(self) -> str:
        """The tensor's: no other step writes it."""
        return self.tensor

    @property
    def parts(self) -> tuple[Part, ...]:
        """The instruction."""
        return (Part(Opcode.MAXPOOL, self.tensor),)


@dataclass(frozen=True)
class SetStripes:
    """Tell every lane which rows lie in the map, for the steps with these stripes that follow."""

    stripes: Stripes

    @property
    def parts(self) -> tuple[Part, ...]:
        """The instruction."""
        height, rows, above = self.stripes.height, self.stripes.rows, self.stripes.above
        return (Part(Opcode.STRIPES, f"stripes of {rows} of {height} rows, {above} above"),)


@dataclass(frozen=True)
class Shift:
    """Copy rows of every lane to the lane after or before it: the halo of a map in stripes.

    Attributes:
        tensor: whose map it is.
        source: the rows that are read.
        out: where they go in the other lane; of the same shape.
        up: whether they go to the lane before, else to the one after.
    """

    tensor: str
    source: BankPlace
    out: BankPlace
    up: bool

    @property
    def parts(self) -> tuple[Part, ...]:
        """The instruction."""
        return (Part(Opcode.SHIFT, f"shift {self.tensor} {'up' if self.up else 'down'}"),)


@dataclass(frozen=True)
class StoreMap:
    """Write the raw words of a map to external memory, behind the results.

    Attributes:
        tensor, integer: the tensor that is stored, and its integers.
        source, out: where it lies, or a band of its rows, and where the words go. In stripes, an image's item of `out`
            is those of all lanes behind one another.
        stripes: of `source`; None in image layout.
    """

    tensor: str
    integer: IntegerType
    source: BankPlace
    out: ExternalPlace
    stripes: Stripes | None = None

    @property
    def rows(self) -> Pair:
        """The rows of words that are stored, and the words of each: one row if the count fits its field."""
        words = self.source.end - self.source.base
        return (1, words) if words <= LAYOUT["in_row_words"].highest else (self.source.height, self.source.row_words)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The instruction."""
        return (Part(Opcode.STORE_MAP, f"store {self.tensor}"),)


@dataclass(frozen=True)
class StoreResults:
    """Write each image's class, confidence and results to external memory; the pass ends there."""

    tensor: str
    source: ResultPlace
    out: ExternalPlace

    @property
    def parts(self) -> tuple[Part, ...]:
        """The instructions."""
        return Part(Opcode.STORE_RESULT, "store"), Part(Opcode.END, "end")


Step = Load | Fill | Compute | Pool | SetStripes | Shift | Spill | StoreMap | StoreResults


def with_windows(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps of a pass with a `SetStripes` wherever a step's rows need another window than the last one."""
    found: list[Step] = []
    last = None
    for step in steps:
        if isinstance(step, Load | Fill | Compute | Pool | Spill) and step.stripes not in (None, last):
            last = step.stripes
            assert last is not None
            found.append(SetStripes(last))
        found.append(step)
    return tuple(found)


def moved_rows(step: Load | Fill | Spill, lanes: int) -> int:
    """Return the rows that a mover moves of each image, which lies in one lane or in stripes in so many lanes."""
    place = step.source if isinstance(step, Spill) else step.out
    return place.height if step.stripes is None else step.stripes.held(place.height, lanes)


def are_striped(steps: Iterable[Step]) -> bool:
    """Return whether steps make a striped program, of whose passes each takes one image."""
    return any(isinstance(step, SetStripes | Shift) for step in steps)


def images_of_pass(steps: Iterable[Step], config: EngineConfig) -> int:
    """Return how many images a pass over the steps takes."""
    return 1 if are_striped(steps) else config.lanes_p
