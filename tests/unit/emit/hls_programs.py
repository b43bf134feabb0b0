"""Random programs that are legal by PROGRAM.md and small enough for the naive interpreter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.program import Header, encode_program, table_offset_bytes
from toolflow.engine.stream import Packet, pack
from toolflow.numerics.digits import digit_range


@dataclass(frozen=True)
class Job:
    """A program with what it works on; `result_bytes` covers everything that it may write."""

    program: bytes
    weights: bytes
    images: bytes
    count: int
    result_bytes: int
    map_bytes: int = 0


@dataclass(frozen=True)
class OutsideMap:
    """A feature map in external memory: rows of pixels of `words` words, the first `channels` elements defined."""

    base: int
    pitch: int
    row_bytes: int
    height: int
    width: int
    words: int
    channels: int
    signed: bool


@dataclass(frozen=True)
class Map:
    """A feature map in the banks: words a pixel, the first `channels` elements defined."""

    base: int
    height: int
    width: int
    words: int
    channels: int
    signed: bool


@dataclass
class ProgramBuilder:
    """Puts instructions, weights and memory together; every choice is drawn from `rng`."""

    config: EngineConfig
    rng: np.random.Generator
    instructions: list[Instruction] = field(default_factory=list)
    weights: bytes = b""
    tables: bytes = b""
    free: int = 0
    image_bytes: int = 0
    map_bytes: int = 0
    classes: int = 0
    traced: list[Map] = field(default_factory=list)
    tap_steps: list[int] = field(default_factory=lambda: [0] * 36)
    is_striped: bool = False

    def draw(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def flip(self) -> bool:
        return bool(self.rng.integers(2))

    def allocate(self, words: int) -> int:
        base = self.free
        self.free += words
        if self.free > self.config.bank_depth:
            raise ValueError("the program is too large for the banks")
        return base

    def image(self, height: int, width: int, channels: int, digits: int = 1) -> list[Map]:
        """TABLE and LOAD; a map for each digit, or one of all digits that share a word."""
        c = self.config
        if channels <= c.input_lanes:
            slice_bytes, q = 1 << (channels - 1).bit_length(), 1
        else:
            slice_bytes, q = c.sub_row, math.ceil(channels / c.sub_row)
            if c.input_lanes < c.sub_row or q > c.table_words:
                raise ValueError("the tables do not cover so many channels")
        lower, upper = digit_range(digits, c.digit_bits) if digits > 1 else (-128, 127)
        entries = self.rng.integers(max(lower, -128), min(upper, 127) + 1, q * 256 * slice_bytes)
        self.tables = entries.astype(np.int8).tobytes()
        is_signed = True if digits > 1 else self.flip()
        together = q == 1 and digits * slice_bytes <= c.sub_row
        words = 1 if together else digits * q
        base = self.allocate(height * width * words)
        fill = Instruction(Opcode.TABLE, in_words=slice_bytes, sub_rows=q)
        load = Instruction(
            Opcode.LOAD,
            levels=digits,
            in_words=slice_bytes,
            out_base=base,
            out_height=height,
            out_width=width,
            out_words=words,
            sub_rows=q,
        )
        self.instructions += [fill, load]
        used = height * width * q * slice_bytes
        self.image_bytes = used + -used % c.bus_bytes
        if together:
            return [Map(base, height, width, 1, channels if digits == 1 else digits * slice_bytes, is_signed)]
        return [Map(base + d * q, height, width, words, channels, is_signed) for d in range(digits)]

    def conv(
        self,
        source: Map,
        channels: int,
        kernel: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        pad: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        indexed: bool = False,
        levels: int = 1,
        channel_step: int = 0,
        sub_rows: int | None = None,
        residual: Map | None = None,
        residual_offset: int = 0,
        into: tuple[int, int] | None = None,
        to_result: bool = False,
        tile: int = 0,
    ) -> Map:
        """One CONV; `into` = (base, words a pixel) places the output, else it gets a place of its own."""
        c = self.config
        indexed = indexed and c.gather
        window = (tile + 2, tile + 2) if tile else kernel
        S, slots = c.sub_row, c.slots
        reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        out_height = (source.height + 2 * pad[0] - reach[0] - 1) // stride[0] + 1
        out_width = (source.width + 2 * pad[1] - reach[1] - 1) // stride[1] + 1
        q_count = sub_rows if sub_rows is not None else math.ceil(source.channels / S)
        last = min(S, source.channels - (q_count - 1) * S) if sub_rows is None else S
        if indexed:
            steps, steps_last = self.draw(1, 4), self.draw(1, 4)
        else:
            steps, steps_last = math.ceil(S / slots), math.ceil(last / slots)
        own = [self.tap_steps[n] if tile else 0 for n in range(window[0] * window[1])]
        walks = [(n or steps, min(n or steps, steps_last) if tile else steps_last) for n in own for _ in range(levels)]
        rows = sum((q_count - 1) * each + in_last for each, in_last in walks)
        words = math.ceil(channels / S)
        base, out_words = 0, words
        if into is not None:
            base, out_words = into
        elif to_result:
            base = self.classes
        else:
            base = self.allocate(out_height * out_width * words)
        groups = math.ceil(channels / c.lanes_k)
        out_signed = self.flip()
        bits = c.activation_bits
        lower, upper = (-(1 << bits - 1), (1 << bits - 1) - 1) if out_signed else (0, (1 << bits) - 1)
        if to_result:
            lower, upper = -32768, 32767
        elif self.flip():
            upper = max(upper - self.draw(0, 3), lower)
        flags = Flag.NONE
        for flag, wanted in (
            (Flag.INPUT_SIGNED, source.signed),
            (Flag.INDEXED, indexed),
            (Flag.TO_RESULT, to_result),
            (Flag.RESIDUAL, residual is not None),
            (Flag.RESIDUAL_SIGNED, residual is not None and residual.signed),
        ):
            flags |= flag if wanted else Flag.NONE
        instruction = Instruction(
            Opcode.CONV,
            flags=flags,
            levels=levels,
            in_base=source.base,
            in_height=source.height,
            in_width=source.width,
            in_words=source.words,
            in_row_words=source.words * source.width,
            out_base=base,
            out_height=out_height,
            out_width=out_width,
            out_words=out_words,
            channels=channels,
            groups=groups,
            kernel_h=kernel[0],
            kernel_w=kernel[1],
            stride_h=stride[0],
            stride_w=stride[1],
            pad_top=pad[0],
            pad_left=pad[1],
            dilation_h=dilation[0],
            dilation_w=dilation[1],
            sub_rows=q_count,
            steps=steps,
            steps_last=steps_last,
            channel_step=channel_step,
            lower=lower,
            upper=upper,
            rows=rows,
            tile=tile,
        )
        if residual is not None:
            step_h, step_w = residual.height // out_height, residual.width // out_width
            instruction = replace(
                instruction,
                residual_base=residual.base,
                residual_pixel_words=step_w * residual.words,
                residual_row_words=step_h * residual.width * residual.words,
                residual_channels=residual.channels,
                residual_offset=residual_offset,
            )
        self.instructions.append(instruction)
        for g in range(groups):
            first = g * channel_step // S
            count = min(c.lanes_k, channels - g * c.lanes_k)
            growth = {0: 0, 2: 6, 4: 12}[tile]
            packet = self._packet(source, first, count, walks, q_count, indexed, growth)
            self.weights += pack(c, packet)
        if to_result:
            self.classes += channels * out_height * out_width
        return Map(base, out_height, out_width, out_words, channels, out_signed)

    def load_rows(self, top: int) -> Map:
        """Another LOAD: the image's rows from `top` on, or from the first row above it that begins at a beat."""
        load = next(i for i in self.instructions if i.opcode is Opcode.LOAD)
        row_bytes = load.out_width * load.sub_rows * load.in_words
        top = next(row for row in range(top, -1, -1) if row * row_bytes % self.config.bus_bytes == 0)
        height = load.out_height - top
        base = self.allocate(height * load.out_width * load.out_words)
        self.instructions.append(replace(load, in_base=top * row_bytes, out_base=base, out_height=height))
        return Map(base, height, load.out_width, load.out_words, load.in_words, False)

    def outside(self, source: Map, height: int | None = None) -> OutsideMap:
        """A place in external memory for a map like `source`, perhaps of another height."""
        c, height = self.config, source.height if height is None else height
        used = source.width * source.words * c.sub_row
        row_bytes = used + -used % c.bus_bytes
        base = self.map_bytes + self.draw(0, 2) * c.bus_bytes
        pitch = height * row_bytes + self.draw(0, 2) * c.bus_bytes
        self.map_bytes = base + c.lanes_p * pitch
        return OutsideMap(base, pitch, row_bytes, height, source.width, source.words, source.channels, source.signed)

    def spill(self, source: Map, rows: tuple[int, int], into: OutsideMap, top: int) -> None:
        """Rows rows[0] to rows[1] - 1 of a map to external memory, from row `top` of `into` on."""
        self.instructions.append(
            Instruction(
                Opcode.SPILL,
                in_base=source.base + rows[0] * source.width * source.words,
                in_height=rows[1] - rows[0],
                in_width=source.width,
                in_words=source.words,
                in_row_words=source.width * source.words,
                out_base=into.base + top * into.row_bytes,
                sub_rows=source.words,
                residual_base=into.pitch,
            )
        )

    def fill(self, source: OutsideMap, rows: tuple[int, int], apart: int = 0) -> Map:
        """Rows of a map in external memory to a place in the banks, with `apart` words between the pixels."""
        height, words = rows[1] - rows[0], source.words + apart
        base = self.allocate(height * source.width * words)
        self.instructions.append(
            Instruction(
                Opcode.FILL,
                in_base=source.base + rows[0] * source.row_bytes,
                out_base=base,
                out_height=height,
                out_width=source.width,
                out_words=words,
                sub_rows=source.words,
                residual_base=source.pitch,
            )
        )
        return Map(base, height, source.width, words, source.channels, source.signed)

    def bands(self, source: Map) -> None:
        """A map leaves the banks in two parts, and a layer of it runs in bands of rows with a halo."""
        outside = self.outside(source)
        middle = self.draw(1, source.height - 1)
        for rows in ((middle, source.height), (0, middle)):
            self.spill(source, rows, outside, rows[0])
        channels, made = self.draw(1, self.config.lanes_k + 1), None
        whole = Map(0, 1, source.width, math.ceil(channels / self.config.sub_row), channels, False)
        for first in range(0, source.height, 2):
            last = min(first + 2, source.height)
            start = self.free
            band = self.fill(outside, (max(first - 1, 0), min(last + 1, source.height)), self.draw(0, 1))
            out = self.conv(band, channels, (2, 3), pad=(int(first == 0), 1))
            made = made or self.outside(whole, source.height)
            self.spill(out, (0, min(out.height, last - first)), made, first)
            self.free = start
        if made:
            self.trace(self.fill(made, (0, source.height), self.draw(0, 1)))

    def weights_of(self, values: np.ndarray) -> np.ndarray:
        """The weights that a packet holds instead of those drawn."""
        return values

    def taps(self) -> None:
        """New exponents for the tiles that follow, and steps of some of their taps."""
        steps = self.rng.integers(0, 5, (6, 6))
        self.tap_steps = steps.reshape(-1).tolist()
        self.instructions.append(Instruction.taps(self.rng.integers(0, 8, (6, 6)), steps))

    def _packet(
        self,
        source: Map,
        first: int,
        count: int,
        walks: Sequence[tuple[int, int]],
        q_count: int,
        indexed: bool,
        growth: int,
    ) -> Packet:
        """Random weights, extremes among them, 0 where an element is undefined; sums grow by `growth` bits."""
        c, rng = self.config, self.rng
        S = c.sub_row
        bound = 1 << c.weight_bits - 1
        values, indices = [], []
        for steps, steps_last in walks:
            for q in range(q_count):
                for t in range(steps_last if q == q_count - 1 else steps):
                    shape = (c.lanes_k, c.slots)
                    if indexed:
                        index = rng.integers(0, S, shape)
                    else:
                        index = np.broadcast_to((t * c.slots + np.arange(c.slots)) % S, shape)
                    value = rng.integers(-bound, bound, shape)
                    value = np.where(rng.random(shape) < 0.1, rng.choice([-bound, bound - 1], shape), value)
                    defined = (first + q) * S + index < source.channels
                    if not indexed:
                        defined &= t * c.slots + np.arange(c.slots) < S
                    value = np.where(defined, value, 0)
                    value[count:] = 0
                    values.append(value)
                    indices.append(index)
        size = len(values) * c.slots * bound << c.activation_bits - 2
        shift = max(size.bit_length() + 15 - c.activation_bits, 1)
        shift += growth
        far = (1 << c.bias_bits - 1) - 1
        bias = rng.integers(-size, size + 1, count) << growth
        return Packet(
            bias=np.where(rng.random(count) < 0.05, rng.choice([-far - 1, far], count), np.clip(bias, -far, far)),
            multiplier=rng.choice([1, 65535, *rng.integers(1, 65536, 6)], count),
            residual_multiplier=rng.integers(0, 65536, count),
            shift=np.clip(rng.integers(shift - 4, shift + 2, count), 0, 47),
            residual_shift=rng.choice([0, 0, 1, 5, 15, 0xF3], count),
            values=self.weights_of(np.array(values)),
            indices=np.array(indices) if indexed else None,
        )

    def max_pool(
        self, source: Map, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], ceil: bool = False
    ) -> Map:
        def size(n: int, axis: int) -> int:
            free = n + 2 * pad[axis] - kernel[axis]
            wanted = (-(-free // stride[axis]) if ceil else free // stride[axis]) + 1
            return wanted - 1 if (wanted - 1) * stride[axis] >= n + pad[axis] else wanted

        out_height, out_width = size(source.height, 0), size(source.width, 1)
        base = self.allocate(out_height * out_width * source.words)
        self.instructions.append(
            Instruction(
                Opcode.MAXPOOL,
                flags=Flag.INPUT_SIGNED if source.signed else Flag.NONE,
                in_base=source.base,
                in_height=source.height,
                in_width=source.width,
                in_words=source.words,
                in_row_words=source.words * source.width,
                out_base=base,
                out_height=out_height,
                out_width=out_width,
                out_words=source.words,
                kernel_h=kernel[0],
                kernel_w=kernel[1],
                stride_h=stride[0],
                stride_w=stride[1],
                pad_top=pad[0],
                pad_left=pad[1],
                dilation_h=1,
                dilation_w=1,
                sub_rows=source.words,
            )
        )
        return Map(base, out_height, out_width, source.words, source.channels, source.signed)

    def trace(self, source: Map) -> None:
        """Store the map's words as they are, after all results."""
        self.traced.append(source)
        self.instructions.append(
            Instruction(
                Opcode.STORE_MAP,
                in_base=source.base,
                in_height=source.height,
                in_row_words=source.words * source.width,
                name=str(len(self.traced) - 1),
            )
        )

    def finish(self, count: int, *, k: int | None = None, m: int = 1, n: int = 2) -> Job:
        """Add STORE_RESULT and END, place tables and traces, draw images."""
        c = self.config
        self.instructions += [Instruction(Opcode.STORE_RESULT), Instruction(Opcode.END)]
        pitch = max(16, c.bus_bytes) + 2 * self.classes
        pitch += -pitch % c.bus_bytes
        end = count * pitch
        offset = table_offset_bytes(len(self.instructions), c.bus_bytes)
        placed = []
        for instruction in self.instructions:
            i = instruction
            if i.opcode is Opcode.TABLE:
                i = replace(i, in_base=offset)
            if i.opcode is Opcode.STORE_MAP:
                i = replace(i, out_base=end)
                size = i.in_row_words * i.in_height * c.sub_row
                items = count * c.lanes_p if Flag.STRIPED in i.flags else count
                end += items * (size + -size % c.bus_bytes)
            placed.append(i)
        header = Header(
            signature=c.signature,
            image_pitch_bytes=self.image_bytes,
            result_pitch_bytes=pitch,
            classes=self.classes,
            confidence_k=self.draw(1, 65535) if k is None else k,
            confidence_m=m,
            confidence_n=n,
            threshold=self.draw(-70000, 70000),
            weight_beats=len(self.weights) // c.bus_bytes,
            narrow=int(c.narrow),
            striped=int(self.is_striped),
            map_bytes=self.map_bytes,
        )
        program = encode_program(header, tuple(placed), self.tables, c.bus_bytes)
        images = self.rng.integers(0, 256, count * self.image_bytes, dtype=np.uint8)
        if count > 1:
            images[: self.image_bytes] = 255
        return Job(program, self.weights, images.tobytes(), count, end, self.map_bytes)
