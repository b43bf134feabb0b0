"""Random striped programs that are legal by PROGRAM.md and small enough for the naive interpreter."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from tests.unit.emit.hls_programs import Job, Map, OutsideMap, ProgramBuilder
from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Flag, Instruction, Opcode

WRAP = 1 << 32


@dataclass(frozen=True)
class Striped:
    """A map in stripes: `stored` holds a lane's rows, `own` of them its own, behind `above` rows of the lane before.

    `height` rows are those of the whole map. Rows below the own ones are those of the next lane.
    """

    stored: Map
    height: int
    own: int
    above: int

    @property
    def below(self) -> int:
        return self.stored.height - self.own - self.above

    def rows(self, first: int, count: int) -> Map:
        """Rows of a lane, counted from its first stored one, as a map."""
        m = self.stored
        return replace(m, base=m.base + first * m.width * m.words, height=count)


@dataclass
class StripedBuilder(ProgramBuilder):
    """Adds instructions on stripes; maps of image layout lie in lane 0."""

    is_striped: bool = True
    extreme: bool = False  # all weights that count

    def weights_of(self, values: np.ndarray) -> np.ndarray:
        bound = 1 << self.config.weight_bits - 1
        return np.where(values, self.rng.choice([-bound, bound - 1], values.shape), 0) if self.extreme else values

    def stripes(self, height: int, own: int, above: int) -> None:
        self.instructions.append(Instruction(Opcode.STRIPES, in_height=height, out_height=own, pad_top=above))

    def striped(self) -> None:
        """The last instruction works on stripes."""
        last = self.instructions[-1]
        self.instructions[-1] = replace(last, flags=last.flags | Flag.STRIPED)

    def place(self, source: Map | Striped, own: int, above: int, below: int, width: int, words: int) -> Map:
        stored = source.stored if isinstance(source, Striped) else source
        height = own + above + below
        return replace(stored, base=self.allocate(height * width * words), height=height, width=width, words=words)

    def striped_image(
        self, height: int, width: int, channels: int, own: int, halo: tuple[int, int], digits: int
    ) -> Striped:
        """TABLE, STRIPES and LOAD of rows of the image, a multiple of a beat each."""
        above, below = halo
        maps = self.image(own + above + below, width, channels, digits)
        load = self.instructions.pop()
        row_bytes = load.out_width * load.sub_rows * load.in_words
        if row_bytes % self.config.bus_bytes:
            raise ValueError("a row of the image must be a multiple of a beat")
        self.stripes(height, own, above)
        self.instructions.append(
            replace(load, flags=Flag.STRIPED, in_base=-above * row_bytes % WRAP, residual_base=own * row_bytes)
        )
        self.image_bytes = height * row_bytes + self.draw(0, 1) * self.config.bus_bytes
        return Striped(maps[-1], height, own, above)

    def halo(self, m: Striped) -> None:
        """The rows above come from the lane before, those below from the next one."""
        for count, first, into, levels in (
            (m.above, m.own, 0, 0),
            (m.below, m.above, m.above + m.own, 1),
        ):
            if count:
                self.shift(m.rows(first, count), m.rows(into, count), levels)

    def shift(self, source: Map, out: Map, levels: int) -> None:
        self.instructions.append(
            Instruction(
                Opcode.SHIFT,
                levels=levels,
                in_base=source.base,
                in_height=source.height,
                in_width=source.width,
                in_words=source.words,
                in_row_words=source.width * source.words,
                out_base=out.base,
                out_height=out.height,
                out_width=out.width,
                out_words=out.words,
                kernel_h=1,
                kernel_w=1,
                stride_h=1,
                stride_w=1,
                dilation_h=1,
                dilation_w=1,
                sub_rows=source.words,
            )
        )

    def window(self, m: Striped, kernel: int, stride: int, pad: int, dilation: int = 1) -> tuple[Map, int, int]:
        """STRIPES for a layer; the rows that a lane reads, its output rows, and those of the whole output."""
        reach = (kernel - 1) * dilation
        own = m.own // stride
        if m.own % stride or pad > m.above or reach - pad - stride + 1 > m.below:
            raise ValueError("the lanes do not hold the rows that the layer reads")
        source = m.rows(m.above - pad, (own - 1) * stride + reach + 1)
        self.stripes(m.height, m.own, pad)
        height = (m.height + 2 * pad - reach - 1) // stride + 1
        return source, own, min(height, own * self.config.lanes_p)

    def striped_conv(
        self,
        m: Striped,
        channels: int,
        kernel: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        pad: tuple[int, int] = (0, 0),
        halo: tuple[int, int] = (0, 0),
        residual: Striped | None = None,
        indexed: bool = False,
        levels: int = 1,
        tile: int = 0,
    ) -> Striped:
        """One CONV of stripes to stripes, and the halo of its output by SHIFTs."""
        source, own, height = self.window(m, kernel[0], stride[0], pad[0])
        words = math.ceil(channels / self.config.sub_row)
        width = (source.width + 2 * pad[1] - kernel[1]) // stride[1] + 1
        stored = self.place(m, own, *halo, width, words)
        into = stored.base + halo[0] * width * words, words
        own_rows = None if residual is None else residual.rows(residual.above, residual.own)
        out = self.conv(
            source, channels, kernel, stride=stride, pad=(0, pad[1]), into=into, residual=own_rows, indexed=indexed,
            levels=levels, tile=tile,
        )  # fmt: skip
        self.striped()
        made = Striped(replace(stored, channels=channels, signed=out.signed), height, own, halo[0])
        self.halo(made)
        return made

    def striped_pool(self, m: Striped, kernel: int, stride: int, pad: int, halo: tuple[int, int] = (0, 0)) -> Striped:
        source, own, height = self.window(m, kernel, stride, pad)
        width = (source.width + 2 * pad - kernel) // stride + 1
        stored = self.place(m, own, *halo, width, source.words)
        self.instructions.append(
            Instruction(
                Opcode.MAXPOOL,
                flags=Flag.STRIPED | (Flag.INPUT_SIGNED if source.signed else Flag.NONE),
                in_base=source.base,
                in_height=source.height,
                in_width=source.width,
                in_words=source.words,
                in_row_words=source.words * source.width,
                out_base=stored.base + halo[0] * width * source.words,
                out_height=own,
                out_width=width,
                out_words=source.words,
                kernel_h=kernel,
                kernel_w=kernel,
                stride_h=stride,
                stride_w=stride,
                pad_left=pad,
                dilation_h=1,
                dilation_w=1,
                sub_rows=source.words,
            )
        )
        made = Striped(stored, height, own, halo[0])
        self.halo(made)
        return made

    def striped_spill(self, m: Striped) -> OutsideMap:
        """All own rows of all lanes as one map in external memory."""
        rows = m.rows(m.above, m.own)
        outside = self.outside(rows, m.own * self.config.lanes_p)
        self.map_bytes = outside.base + m.own * self.config.lanes_p * outside.row_bytes
        self.stripes(m.height, m.own, 0)
        self.spill(rows, (0, m.own), replace(outside, pitch=m.own * outside.row_bytes), 0)
        self.striped()
        return replace(outside, height=m.height, pitch=outside.row_bytes * m.height)

    def striped_fill(self, outside: OutsideMap, own: int, halo: tuple[int, int], apart: int = 0) -> Striped:
        """A map in external memory over all lanes, with its halo."""
        above, below = halo
        rows = self.fill(outside, (0, own + above + below), apart)
        last = self.instructions.pop()
        self.stripes(outside.height, own, above)
        base = (outside.base - above * outside.row_bytes) % WRAP
        self.instructions.append(replace(last, flags=Flag.STRIPED, in_base=base, residual_base=own * outside.row_bytes))
        return Striped(rows, outside.height, own, above)

    def trace_striped(self, m: Striped) -> None:
        """Store every lane's words as they are, after all results."""
        self.trace(m.stored)
        self.striped()


def striped_network(config: EngineConfig, seed: int, count: int, *, extreme: bool = False) -> Job:
    """A network in stripes with every instruction that has them; each map is traced."""
    b = StripedBuilder(config, np.random.default_rng(seed), extreme=extreme)
    lanes, bus = config.lanes_k, config.bus_bytes
    channels = b.draw(1, config.input_lanes)
    slice_bytes = 1 << (channels - 1).bit_length()
    width = math.lcm(bus, slice_bytes) // slice_bytes
    width *= 1 + (width < 3)
    own = 2 * b.draw(1, 2)
    height = b.draw(max(own * (config.lanes_p - 2), 3), own * config.lanes_p)
    digits = 1 if config.digit_bits == 8 else b.draw(1, 2)
    image = b.striped_image(height, width, channels, own, (1 + b.draw(0, 1), 1 + b.draw(0, 1)), digits)
    b.trace_striped(image)

    first = b.striped_conv(image, b.draw(1, lanes + 1), (3, 3), pad=(1, 1), halo=(1, 1), levels=b.draw(1, 2))
    b.trace_striped(first)
    if config.tile:
        b.taps()
        for tile in (2, 4)[: config.tile // 2]:
            tiled = b.striped_conv(
                first, b.draw(1, lanes + 1), (3, 3), pad=(1, 1), halo=(b.draw(0, 1), 0), tile=tile, indexed=b.flip()
            )
            b.trace_striped(tiled)
    same = b.striped_conv(first, first.stored.channels, (1, 1), residual=first, halo=(1, 1), indexed=b.flip())
    b.trace_striped(same)
    pooled = b.striped_pool(same, 3, 2, 1) if b.flip() else b.striped_pool(same, 2, 2, 0)
    b.trace_striped(pooled)
    strided = b.striped_conv(same, b.draw(1, lanes), (3, 3), stride=(2, 2), pad=(1, 1), halo=(0, 1), indexed=b.flip())
    b.trace_striped(strided)
    last: Striped | Map = strided
    if config.external_maps:
        outside = b.striped_spill(same)
        layouts = itertools.cycle([(own, (1, 0)), (own + 1, (2, 1))])
        for rows, halo in itertools.islice(layouts, 1 + b.draw(0, 1)):
            if rows + sum(halo) <= 255:
                again = b.striped_fill(outside, rows, halo, b.draw(0, 1))
                b.trace_striped(again)
        end = b.striped_spill(strided)
        whole = b.fill(end, (0, end.height), b.draw(0, 1))
        b.trace(whole)
        last = b.conv(whole, b.draw(1, lanes), (1, 1))
        b.trace(last)
    else:
        last = strided.rows(strided.above, 1)
    classes = b.draw(1, min(config.result_depth, 2 * lanes + 1))
    b.conv(last, classes, (last.height, last.width), to_result=True)
    n = b.draw(0, 8)
    return b.finish(count, m=b.draw(0, n), n=n)
