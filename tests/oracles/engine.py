"""A naive interpreter of PROGRAM.md: plain Python integers and loops, written from the text alone.

It shares no code with the executor or the engines beyond the decoding of fields. Elements that nothing has
defined are None: multiplied by 0 they give 0, anything else fails. The results map an address of the results
region to its byte, None where PROGRAM.md leaves it undefined.
"""

from __future__ import annotations

import itertools
import math
import struct
from fractions import Fraction

from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.program import decode_program
from toolflow.numerics.winograd import WINOGRAD

Element = int | None


def signed(value: int, width: int) -> int:
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value


def round_half_even(value: Fraction) -> int:
    return round(value)  # Python rounds fractions half to even


class Oracle:
    """One engine, as it is built; `run` executes a program of either precision on every image, one after the other."""

    def __init__(self, config: EngineConfig) -> None:
        self.c = config
        self.memory: dict[int, Element] = {}
        self.table: dict[tuple[int, int, int], int] = {}
        self.bank: dict[tuple[int, int], Element] = {}
        self.maps: dict[int, Element] = {}
        self.result: dict[int, Element] = {}
        self.image = 0
        self.weights = b""
        self.at = 0  # bytes of the weight stream that are used

    def taking_part(self, i: Instruction, lanes: int) -> range:
        """Return the lanes in which an instruction does something for the image."""
        if not self.header.striped:
            return range(self.image % lanes, self.image % lanes + 1)
        movers = (Opcode.LOAD, Opcode.FILL, Opcode.SPILL, Opcode.STORE_MAP, Opcode.STORE_RESULT)
        return range(1 if i.opcode in movers and Flag.STRIPED not in i.flags else lanes)

    def run(self, program: bytes, weights: bytes, images: bytes, count: int) -> dict[int, Element]:
        self.header, instructions = decode_program(program)
        bits = self.c.narrow_bits if self.header.narrow else self.c.activation_bits
        self.element_bits, self.digit_bits = bits, min(bits, self.c.weight_bits)
        self.program, self.images, self.weights = program, images, weights
        perform = {
            Opcode.TABLE: self.fill_tables,
            Opcode.LOAD: self.load,
            Opcode.CONV: self.conv,
            Opcode.MAXPOOL: self.max_pool,
            Opcode.STORE_RESULT: self.store_result,
            Opcode.STORE_MAP: self.store_map,
            Opcode.TAPS: self.taps,
            Opcode.FILL: self.fill,
            Opcode.SPILL: self.spill,
            Opcode.STRIPES: self.stripes,
        }
        lanes = self.c.lanes_p // 2 if self.c.narrow_bits and not self.header.narrow else self.c.lanes_p
        for self.image in range(count):
            self.banks: list[dict[tuple[int, int], Element]] = [{} for _ in range(lanes)]
            results: list[dict[int, Element]] = [{} for _ in range(lanes)]
            self.windows = [(0, 65535)] * lanes
            self.maps, self.at = {}, 0
            self.exponent, self.tap_steps = [0] * 36, [0] * 36
            for i in instructions:
                if i.opcode is Opcode.END:
                    break
                if i.opcode is Opcode.SHIFT:
                    self.shift(i, lanes)
                    continue
                at = self.at
                for lane in self.taking_part(i, lanes):
                    self.lane = lane
                    self.bank, self.result, self.at = self.banks[self.lane], results[self.lane], at
                    perform[i.opcode](i)
            assert self.at == len(weights)
        return self.memory

    def fill_tables(self, i: Instruction) -> None:
        at = i.in_base
        for q in range(i.sub_rows):
            for value in range(256):
                for j in range(i.in_words):
                    self.table[q, j, value] = self.program[at]
                    at += 1

    def stripes(self, i: Instruction) -> None:
        T, R, H, p = i.pad_top, i.out_height, i.in_height, self.lane
        self.windows[p] = max(0, T - p * R), min(max(H + T - p * R, 0), 65535)

    def seen(self, i: Instruction, row: int) -> bool:
        """Tell whether the lane has a row, counted from the base of what the instruction reads or writes."""
        first, end = self.windows[self.lane]
        return Flag.STRIPED not in i.flags or first <= row < end

    def row_offset(self, i: Instruction, base: int, row: int, row_bytes: int) -> int:
        """Return where a row begins that FILL, SPILL or a LOAD of stripes moves."""
        lane = self.lane if Flag.STRIPED in i.flags or not self.header.striped else 0
        return (base + lane * i.residual_base + row * row_bytes) % 2**32

    def load(self, i: Instruction) -> None:
        image = self.image * self.header.image_pitch_bytes
        at = image + i.in_base
        bits = self.digit_bits
        row_bytes = i.out_width * i.sub_rows * i.in_words
        for pixel in range(i.out_height * i.out_width):
            row, column = divmod(pixel, i.out_width)
            if not self.seen(i, row):
                continue
            if Flag.STRIPED in i.flags and column == 0:
                at = self.row_offset(i, i.in_base, row, row_bytes)
                assert at + row_bytes <= self.header.image_pitch_bytes
                at += image
            for q in range(i.sub_rows):
                together = i.levels > 1 and i.sub_rows == 1 and i.levels * i.in_words <= self.c.sub_row
                words = [[0] * self.c.sub_row for _ in range(1 if together else i.levels)]
                for j in range(i.in_words):
                    x = self.table[q, j, self.images[at]]
                    at += 1
                    if i.levels == 1:
                        words[0][j] = x
                        continue
                    x = signed(x, 8)
                    for d in range(i.levels):
                        e = signed(x, bits)
                        x = (x - e) >> bits
                        if together:
                            words[0][d * i.in_words + j] = e
                        else:
                            words[d][j] = e
                for d, word in enumerate(words):
                    self.write(i.out_base + pixel * i.out_words + d * i.sub_rows + q, word)

    def write(self, word: int, elements: list[int] | list[Element]) -> None:
        for j, value in enumerate(elements):
            mask = (1 << self.element_bits) - 1
            self.bank[word, j] = None if value is None else value & mask

    def read(self, word: int, j: int, is_signed: bool) -> Element:
        assert 0 <= word < self.c.bank_depth
        raw = self.bank.get((word, j))
        return signed(raw, self.element_bits) if raw is not None and is_signed else raw

    def conv(self, i: Instruction) -> None:
        for g in range(i.groups):
            channels = min(self.c.lanes_k, i.channels - g * self.c.lanes_k)
            parameters, rows = self.packet(i, channels)
            if i.tile:
                self.conv_tiles(i, g * self.c.lanes_k, parameters, rows)
                continue
            for oy in range(i.out_height):
                for ox in range(i.out_width):
                    acc = self.accumulate(i, (g * i.channel_step) // self.c.sub_row, oy, ox, rows)
                    for k in range(channels):
                        self.drain(i, oy, ox, g * self.c.lanes_k + k, acc[k], parameters[k])

    def taps(self, i: Instruction) -> None:
        words = struct.unpack("<16I", i.encode().astype("<u4").tobytes())
        self.exponent = [words[1 + n // 8] >> 4 * (n % 8) & 15 for n in range(36)]
        self.tap_steps = [words[6 + n // 4] >> 8 * (n % 4) & 255 for n in range(36)]

    def conv_tiles(
        self, i: Instruction, first: int, parameters: list[tuple[int, ...]], rows: list[list[list[tuple[int, int]]]]
    ) -> None:
        m, t = i.tile, i.tile + 2
        A = WINOGRAD[m].output.tolist()
        for ty, tx in itertools.product(range(math.ceil(i.out_height / m)), range(math.ceil(i.out_width / m))):
            words = [self.transformed(i, ty * m - i.pad_top, tx * m - i.pad_left, q) for q in range(i.sub_rows)]
            Y: list[list[list[Element]]] = [[[0] * len(parameters) for _ in range(m)] for _ in range(m)]
            row = 0
            for ky, kx in itertools.product(range(t), range(t)):
                acc: list[Element] = [0] * len(parameters)
                for level, q in itertools.product(range(i.levels), range(i.sub_rows)):
                    if level and q == 0:
                        acc = [self.plus(0, 1 << self.digit_bits, a) for a in acc]
                    steps = self.tap_steps[ky * t + kx] or i.steps
                    for step in range(min(steps, i.steps_last) if q == i.sub_rows - 1 else steps):
                        for k, s in itertools.product(range(len(parameters)), range(self.c.slots)):
                            value, index = rows[row][k][s]
                            if value:
                                j = index if index >= 0 else (step * self.c.slots + s) % self.c.sub_row
                                acc[k] = self.plus(acc[k], value, words[q][ky][kx][j])
                        row += 1
                for y, x, k in itertools.product(range(m), range(m), range(len(parameters))):
                    share = A[y][ky] * A[x][kx] << self.exponent[ky * t + kx]
                    Y[y][x][k] = self.plus(Y[y][x][k], share, acc[k])
            assert row == i.rows
            for y, x, k in itertools.product(range(m), range(m), range(len(parameters))):
                oy, ox = ty * m + y, tx * m + x
                if oy < i.out_height and ox < i.out_width and first + k < i.channels:
                    self.drain(i, oy, ox, first + k, self.wrapped(Y[y][x][k]), parameters[k])

    def plus(self, total: Element, factor: int, x: Element) -> Element:
        """Add a product, undefined if something is that counts; only in lanes of a striped program may it be."""
        if not factor:
            return total
        assert x is not None or self.header.striped, "an undefined element counts"
        return None if total is None or x is None else total + factor * x

    def wrapped(self, total: Element) -> Element:
        return None if total is None else signed(total, self.c.accumulator_bits)

    def transformed(self, i: Instruction, top: int, left: int, q: int) -> list[list[list[Element]]]:
        """Return V[ky][kx][channel] of word q of a tile."""
        B, S = WINOGRAD[i.tile].input.tolist(), self.c.sub_row
        taps = range(i.tile + 2)
        V: list[list[list[Element]]] = [[[0] * S for _ in taps] for _ in taps]
        for iy, ix, j in itertools.product(taps, taps, range(S)):
            inside = 0 <= top + iy < i.in_height and 0 <= left + ix < i.in_width
            if not inside or not self.seen(i, top + iy):
                continue
            word = i.in_base + (top + iy) * i.in_row_words + (left + ix) * i.in_words + q
            d = self.read(word, j, Flag.INPUT_SIGNED in i.flags)
            for ky, kx in itertools.product(taps, taps):
                before = V[ky][kx][j]
                V[ky][kx][j] = None if d is None or before is None else before + B[ky][iy] * B[kx][ix] * d
        return V

    def packet(self, i: Instruction, channels: int) -> tuple[list[tuple[int, ...]], list[list[list[tuple[int, int]]]]]:
        c = self.c
        indexed = Flag.INDEXED in i.flags
        count = math.ceil(channels / c.drain_k) * c.drain_k
        parameters = [self.record(self.at + 16 * k) for k in range(count)]
        self.at += math.ceil(16 * count / c.bus_bytes) * c.bus_bytes
        values = c.lanes_k * c.slots
        width = values * (c.weight_bits + (c.index_bits if indexed else 0))
        per_beat = c.bus_bits // width
        stride = c.bus_bits if per_beat else math.ceil(width / c.bus_bits) * c.bus_bits
        rows = []
        for r in range(i.rows):
            low = r // per_beat * stride + r % per_beat * width if per_beat else r * stride
            row = []
            for k in range(c.lanes_k):
                pairs = []
                for s in range(c.slots):
                    n = k * c.slots + s
                    value = signed(self.bits(low + n * c.weight_bits, c.weight_bits), c.weight_bits)
                    index = -1
                    if indexed:
                        index = self.bits(low + values * c.weight_bits + n * c.index_bits, c.index_bits)
                    pairs.append((value, index))
                row.append(pairs)
            rows.append(row)
        self.at += (math.ceil(i.rows / per_beat) * stride if per_beat else i.rows * stride) // 8
        return parameters, rows

    def record(self, at: int) -> tuple[int, ...]:
        low, multiplier, residual_multiplier, shift, high, left = struct.unpack_from("<IHHBbB", self.weights, at)
        return (high << 32) + low, multiplier, residual_multiplier << (left & 15 if self.c.tile else 0), shift & 63

    def bits(self, low: int, width: int) -> int:
        part = self.weights[self.at + low // 8 : self.at + low // 8 + 3]
        return int.from_bytes(part, "little") >> low % 8 & ((1 << width) - 1)

    def accumulate(
        self, i: Instruction, first: int, oy: int, ox: int, rows: list[list[list[tuple[int, int]]]]
    ) -> list[Element]:
        c = self.c
        acc: list[Element] = [0] * c.lanes_k
        row = 0
        for level in range(i.levels):
            if level:
                acc = [self.plus(0, 1 << self.digit_bits, a) for a in acc]
            for ky in range(i.kernel_h):
                for kx in range(i.kernel_w):
                    iy = oy * i.stride_h + ky * i.dilation_h - i.pad_top
                    ix = ox * i.stride_w + kx * i.dilation_w - i.pad_left
                    inside = 0 <= iy < i.in_height and 0 <= ix < i.in_width and self.seen(i, iy)
                    for q in range(i.sub_rows):
                        word = i.in_base + iy * i.in_row_words + ix * i.in_words + first + q
                        for t in range(i.steps_last if q == i.sub_rows - 1 else i.steps):
                            for k in range(c.lanes_k) if inside else ():
                                for s in range(c.slots):
                                    value, index = rows[row][k][s]
                                    if value:
                                        j = index if index >= 0 else (t * c.slots + s) % c.sub_row
                                        x = self.read(word, j, Flag.INPUT_SIGNED in i.flags)
                                        acc[k] = self.plus(acc[k], value, x)
                            row += 1
        assert row == i.rows
        return [self.wrapped(a) for a in acc]

    def drain(self, i: Instruction, oy: int, ox: int, channel: int, acc: Element, of: tuple[int, ...]) -> None:
        bias, multiplier, residual_multiplier, shift = of
        S = self.c.sub_row
        u = self.plus(bias * multiplier, multiplier, acc)
        e = channel - i.residual_offset
        if Flag.RESIDUAL in i.flags and 0 <= e < i.residual_channels:
            word = i.residual_base + oy * i.residual_row_words + ox * i.residual_pixel_words + e // S
            r = self.read(word, e % S, Flag.RESIDUAL_SIGNED in i.flags)
            u = self.plus(u, residual_multiplier, r)
        out = None if u is None else min(max(round_half_even(Fraction(u, 1 << shift)), i.lower), i.upper)
        position = oy * i.out_width + ox
        if Flag.TO_RESULT in i.flags:
            self.result[i.out_base + position * i.channels + channel] = out
        else:
            word = i.out_base + position * i.out_words + channel // S
            self.bank[word, channel % S] = None if out is None else out & ((1 << self.element_bits) - 1)
            for padding in range(i.channels % S or S, S if channel + 1 == i.channels else 0):
                self.bank[word, padding] = None

    def shift(self, i: Instruction, lanes: int) -> None:
        assert i.levels in (0, 1)
        d = -1 if i.levels else 1
        for y, x, q in itertools.product(range(i.out_height), range(i.out_width), range(i.sub_rows)):
            word = i.in_base + y * i.in_row_words + x * i.in_words + q
            words: list[list[Element]] = [[bank.get((word, j)) for j in range(self.c.sub_row)] for bank in self.banks]
            undefined: list[Element] = [None] * self.c.sub_row
            for lane in range(lanes):
                self.bank = self.banks[lane]
                out = i.out_base + (y * i.out_width + x) * i.out_words + q
                self.write(out, words[lane - d] if 0 <= lane - d < lanes else undefined)

    def max_pool(self, i: Instruction) -> None:
        for oy in range(i.out_height):
            for ox in range(i.out_width):
                for q in range(i.sub_rows):
                    out: list[Element] = []
                    for j in range(self.c.sub_row):
                        seen = []
                        for ky in range(i.kernel_h):
                            for kx in range(i.kernel_w):
                                iy = oy * i.stride_h + ky * i.dilation_h - i.pad_top
                                ix = ox * i.stride_w + kx * i.dilation_w - i.pad_left
                                if 0 <= iy < i.in_height and 0 <= ix < i.in_width and self.seen(i, iy):
                                    word = i.in_base + iy * i.in_row_words + ix * i.in_words + q
                                    seen.append(self.read(word, j, Flag.INPUT_SIGNED in i.flags))
                        assert seen or self.header.striped
                        out.append(None if None in seen or not seen else max(x for x in seen if x is not None))
                    self.write(i.out_base + (oy * i.out_width + ox) * i.out_words + q, out)

    def fill(self, i: Instruction) -> None:
        S, beat = self.c.sub_row, self.c.bus_bytes
        row_bytes = math.ceil(i.out_width * i.sub_rows * S / beat) * beat
        for y, x, q in itertools.product(range(i.out_height), range(i.out_width), range(i.sub_rows)):
            if not self.seen(i, y):
                continue
            at = self.row_offset(i, i.in_base, y, row_bytes) + (x * i.sub_rows + q) * S
            word = i.out_base + (y * i.out_width + x) * i.out_words + q
            self.write(word, [self.maps.get(at + j) for j in range(S)])

    def spill(self, i: Instruction) -> None:
        S, beat = self.c.sub_row, self.c.bus_bytes
        row_bytes = math.ceil(i.in_width * i.sub_rows * S / beat) * beat
        for y, x, q, j in itertools.product(range(i.in_height), range(i.in_width), range(i.sub_rows), range(S)):
            if not self.seen(i, y):
                continue
            at = self.row_offset(i, i.out_base, y, row_bytes) + (x * i.sub_rows + q) * S + j
            assert at < self.header.map_bytes
            self.maps[at] = self.read(i.in_base + y * i.in_row_words + x * i.in_words + q, j, False)

    def store_result(self, i: Instruction) -> None:
        K, pitch = self.header.classes, self.header.result_pitch_bytes
        logits: list[int] = []
        for n in range(K):
            logit = self.result[n]
            assert logit is not None, "an undefined result"
            logits.append(logit)
        klass = logits.index(max(logits))
        confident, numerator, total = 1, 0, 0
        if self.c.confidence:
            h = self.header
            powers = []
            for logit in logits:
                x = ((max(logits) - logit) * h.confidence_k) >> 12
                table = min(round(2 ** (16 - x % 256 / 256)), 65535)
                powers.append(table >> (x // 256))
            total = sum(powers)
            powers.sort(reverse=True)
            numerator = sum(powers[: h.confidence_m]) - sum(powers[h.confidence_m : h.confidence_n])
            confident = int(numerator * 65536 >= h.threshold * total)
        head = struct.pack("<IIiI", klass, confident, numerator, total).ljust(max(16, self.c.bus_bytes), b"\0")
        record = (head + struct.pack(f"<{K}h", *logits)).ljust(pitch, b"\0")
        self.memory.update({self.image * pitch + n: byte for n, byte in enumerate(record)})

    def store_map(self, i: Instruction) -> None:
        words = i.in_row_words * i.in_height
        pitch = math.ceil(words * self.c.sub_row / self.c.bus_bytes) * self.c.bus_bytes
        record = self.image * len(self.banks) + self.lane if Flag.STRIPED in i.flags else self.image
        start = i.out_base + record * pitch
        for n in range(pitch):
            word, j = divmod(n, self.c.sub_row)
            self.memory[start + n] = self.bank.get((i.in_base + word, j)) if word < words else 0
