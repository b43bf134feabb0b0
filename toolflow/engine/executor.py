"""Numpy executor of a program binary: the engine of PROGRAM.md, instruction by instruction.

It reads the same bytes as the HLS and the RTL engine and returns the bytes that they write. All
images run at once as lanes, which PROGRAM.md allows: passes do not see each other. In a striped program every
image has all lanes of the engine: bank image · `lanes_p` + p is lane p's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
import numpy.typing as npt

from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.isa import INSTRUCTION_WORDS, Flag, Instruction, Opcode
from toolflow.engine.lane_window import LaneWindow, row_offset
from toolflow.engine.map_memory import MOST_ROW_BEATS, MapMemory
from toolflow.engine.places import digit_step
from toolflow.engine.program import (
    COUNT_WORD,
    CRC_WORD,
    HEADER_WORDS,
    MAGIC,
    MAGIC_WORD,
    MAX_INSTRUCTIONS,
    VERSION,
    VERSION_WORD,
    Header,
    checksum,
    decode_program,
)
from toolflow.engine.records import (
    PARAMETER_RECORD,
    RESULT_HEAD,
    result_header_bytes,
    result_record_bytes,
)
from toolflow.engine.stream import Packet, unpack
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.confidence import MAX_N, ConfidenceRule, evaluate
from toolflow.numerics.digits import cut_digits
from toolflow.numerics.requantise import MAX_RESIDUAL_SHIFT, round_half_even_shift
from toolflow.numerics.winograd import MAX_EXPONENT, WINOGRAD, Winograd

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
UNDEFINED = 0x55  # an element that is undefined but not left as it was: anything but 0, so that it shows
# What the flag STRIPED makes work on stripes.
ON_STRIPES = {Opcode.LOAD, Opcode.CONV, Opcode.MAXPOOL, Opcode.STORE_MAP, Opcode.FILL, Opcode.SPILL}


def run_program(config: EngineConfig, program: bytes, weights: bytes, images: bytes, image_count: int) -> bytes:
    """Execute a program on `image_count` images and return the bytes of the results region.

    An engine with two precisions runs the program in the one that its header names.

    Raises:
        EngineFaultError: what the hardware would report in its status register.
    """
    if image_count < 1:
        raise EngineFaultError(ErrorCode.NO_IMAGES, f"the number of images must be 1 or more, not {image_count}")
    header, instructions = _checked_program(config, program)
    if not instructions:
        raise EngineFaultError(ErrorCode.COUNT, "the program has no instruction")
    if header.striped and not config.stripes:
        raise EngineFaultError(ErrorCode.OPCODE, "a striped program needs an engine with stripes")
    config = _seen(config, header)
    engine = _Engine(config, header, program, images, image_count)
    wanted = header.weight_beats * config.bus_bytes
    stream = memoryview(weights)[:wanted]
    for instruction in instructions:
        engine.admit(instruction)
        if Flag.LOAD_AHEAD in instruction.flags:
            engine.load_ahead(instruction)
        if instruction.opcode is Opcode.END:
            break
        if instruction.opcode is Opcode.CONV:
            stream = engine.conv(instruction, stream)
        else:
            engine.simple[instruction.opcode](instruction)
    else:
        raise EngineFaultError(ErrorCode.OPCODE, "the program has no END")
    if left := len(stream) + max(wanted - len(weights), 0):
        raise EngineFaultError(ErrorCode.COUNT, f"{left} bytes of the weight stream are left over")
    return bytes(engine.output)


def _checked_program(config: EngineConfig, program: bytes) -> tuple[Header, tuple[Instruction, ...]]:
    words = np.frombuffer(program[: len(program) // 4 * 4], dtype="<u4")
    try:
        header, instructions = decode_program(program)
    except ToolflowError as error:
        raise EngineFaultError(_decode_code(words), str(error)) from error
    if header.signature != config.signature:
        raise EngineFaultError(
            ErrorCode.SIGNATURE,
            f"the program is for engine {header.signature:016x}, this one is {config.signature:016x}",
        )
    return header, instructions


def _seen(config: EngineConfig, header: Header) -> EngineConfig:
    """Return the engine as this program sees it."""
    try:
        return config.of(bool(header.narrow))
    except ToolflowError as error:
        raise EngineFaultError(ErrorCode.OPCODE, str(error)) from error


def _decode_code(words: npt.NDArray[np.uint32]) -> ErrorCode:
    """Tell which of the engine's checks a binary fails that does not decode."""
    if len(words) <= COUNT_WORD or (words[MAGIC_WORD], words[VERSION_WORD]) != (MAGIC, VERSION):
        return ErrorCode.MAGIC
    if words[COUNT_WORD] > MAX_INSTRUCTIONS:
        return ErrorCode.CRC
    if len(words) < HEADER_WORDS:
        return ErrorCode.MAGIC
    body = words[HEADER_WORDS : HEADER_WORDS + INSTRUCTION_WORDS * int(words[COUNT_WORD])]
    return ErrorCode.OPCODE if checksum(words, body) == words[CRC_WORD] else ErrorCode.CRC


class _Engine:
    """Banks, tables and results of every image, and what each opcode does to them."""

    def __init__(self, config: EngineConfig, header: Header, program: bytes, images: bytes, image_count: int) -> None:
        self.config = config
        self.header = header
        self.program = program
        self.images = np.frombuffer(images, dtype=np.uint8)
        self.count = image_count
        self.lanes = config.lanes_p if header.striped else 1  # of each image
        self.window = LaneWindow(self.lanes)
        self.bank = np.zeros((image_count * self.lanes, config.bank_depth, config.sub_row), dtype=np.uint8)
        self.result = np.zeros((image_count * self.lanes, config.result_depth), dtype=np.int64)
        self.table = np.zeros((config.table_words, config.sub_row, 256), dtype=np.uint8)
        self.output = bytearray()
        self.last_taps = Instruction(Opcode.TAPS)
        self.tables_filled = False
        self.maps = MapMemory(config, header.map_bytes, image_count, 1 if header.striped else config.lanes_p)
        self.loaded: Instruction | None = None  # the last LOAD
        self.ahead = False  # whether there was a LOAD_AHEAD
        self.moved = False  # whether there was a second LOAD, a FILL or a SPILL
        self.bank_end = config.bank_depth  # word from which on none is touched
        self.simple = {
            Opcode.TABLE: self.fill_tables,
            Opcode.LOAD: self.load,
            Opcode.MAXPOOL: self.max_pool,
            Opcode.STORE_RESULT: self.store_result,
            Opcode.STORE_MAP: self.store_map,
            Opcode.TAPS: self.taps,
            Opcode.FILL: self.fill,
            Opcode.SPILL: self.spill,
            Opcode.STRIPES: self.stripes,
            Opcode.SHIFT: self.shift,
        }

    def admit(self, i: Instruction) -> None:
        """Refuse what programs of this layout do not have."""
        striped = bool(self.header.striped)
        known = striped or (i.opcode not in (Opcode.STRIPES, Opcode.SHIFT) and Flag.STRIPED not in i.flags)
        takes = Flag.STRIPED not in i.flags or i.opcode in ON_STRIPES
        if not known or not takes or (striped and Flag.LOAD_AHEAD in i.flags):
            layout = "a striped program" if striped else "a program that is not striped"
            raise EngineFaultError(ErrorCode.OPCODE, f"{layout} cannot have '{i.name or i.opcode.name}' {i.flags!r}")

    def fill_tables(self, i: Instruction) -> None:
        q, width = i.sub_rows, i.in_words
        self._counts(not self.tables_filled and self.loaded is None, i)
        self.tables_filled = True
        self._pixel_words(i)
        self._in_range(i.in_base % self.config.bus_bytes == 0, i, "tables at a beat")
        self._reads(i.in_base + q * 256 * width, self.program, "program")
        data = np.frombuffer(self.program, dtype=np.uint8, count=q * 256 * width, offset=i.in_base)
        self.table[:q, :width] = data.reshape(q, 256, width).transpose(0, 2, 1)

    def load(self, i: Instruction) -> None:
        pixels, q, width, digits = i.out_height * i.out_width, i.sub_rows, i.in_words, i.levels
        if self.loaded is not None:
            self._several_movers(i)
        self.loaded = i
        self._counts(pixels and digits, i)
        self._pixel_words(i)
        self._moves(i)
        step = digit_step(width, q, digits, self.config.sub_row)
        stored = -(-digits * step // self.config.sub_row)
        end = i.out_base + (pixels - 1) * i.out_words + stored
        self._in_range(end <= self.config.bank_depth, i, "load")
        pitch = self.header.image_pitch_bytes
        self._in_range((pitch | i.in_base) % self.config.bus_bytes == 0, i, "image")
        self._reads(self.count * pitch, self.images, "images")
        images = self.images[: self.count * pitch].reshape(self.count, pitch)
        address = i.out_base + np.arange(pixels)[:, None] * i.out_words + np.arange(stored)
        if Flag.STRIPED not in i.flags:
            last = i.in_base + pixels * q * width
            self._in_range(last <= pitch, i, "image")
            self.bank[:: self.lanes, address] = self._loaded(i, images[:, i.in_base : last], stored)
            return
        row_bytes = i.out_width * q * width
        beats, odd = divmod(row_bytes, self.config.bus_bytes)
        self._in_range(not (odd or i.residual_base % self.config.bus_bytes) and beats <= MOST_ROW_BEATS, i, "rows")
        for lane in range(self.lanes):
            for row in self.window.rows(lane, i.out_height):
                first = row_offset(i.in_base, i.residual_base, row_bytes, lane, row)
                self._in_range(first + row_bytes <= pitch, i, "image")
                words = self._loaded(i, images[:, first : first + row_bytes], stored)
                self.bank[lane :: self.lanes, address[row * i.out_width : (row + 1) * i.out_width]] = words

    def _loaded(self, i: Instruction, raw: npt.NDArray[np.uint8], stored: int) -> npt.NDArray[np.uint8]:
        """Return the bank words (images, pixels, stored, S) of pixels, given the bytes of each image."""
        q, width, digits = i.sub_rows, i.in_words, i.levels
        step = digit_step(width, q, digits, self.config.sub_row)
        raw = raw.reshape(len(raw), -1, q, width)
        pixels = raw.shape[1]
        entries = self.table[np.arange(q)[:, None], np.arange(width)[None, :], raw]
        if digits > 1:
            values = cut_digits(entries.view(np.int8).astype(np.int64), digits, self.config.digit_bits)
        else:
            values = entries[None].astype(np.int64)
        values &= (1 << self.config.activation_bits) - 1
        elements = np.zeros((self.count, pixels, stored * self.config.sub_row), dtype=np.uint8)
        for d in range(digits):
            for word in range(q):
                first = d * step + word * self.config.sub_row
                elements[:, :, first : first + width] = values[d, :, :, word]
        return elements.reshape(self.count, pixels, stored, self.config.sub_row)

    def load_ahead(self, i: Instruction) -> None:
        if i.opcode not in (Opcode.CONV, Opcode.MAXPOOL):
            raise EngineFaultError(ErrorCode.OPCODE, f"'{i.name or i.opcode.name}' cannot have LOAD_AHEAD")
        self._counts(self.loaded is not None and not self.moved, i)
        assert self.loaded is not None
        self.ahead = True
        self.bank_end = self.loaded.out_base

    def conv(self, i: Instruction, stream: memoryview) -> memoryview:
        c = self.config
        if Flag.INDEXED in i.flags and not c.gather:
            raise EngineFaultError(ErrorCode.OPCODE, f"'{i.name or i.opcode.name}' has indices, the engine no gather")
        positions = i.out_height * i.out_width
        self._counts(positions and i.channels and i.rows and i.groups == -(-i.channels // c.lanes_k), i)
        self._counts(i.sub_rows and i.steps_last and (i.steps or i.sub_rows == 1 or i.tile), i)
        if i.rows > c.weight_depth:
            raise EngineFaultError(ErrorCode.COUNT, f"{i.rows} rows exceed weight_depth {c.weight_depth}")
        form = self._form(i)
        direct = i.levels * i.kernel_h * i.kernel_w * ((i.sub_rows - 1) * i.steps + i.steps_last)
        walked = direct if form is None else int(i.rows_of_taps(self.last_taps).sum())
        if i.rows != walked:
            raise EngineFaultError(ErrorCode.COUNT, f"{i.rows} rows must be the {walked} that the walk takes")
        if Flag.TO_RESULT not in i.flags:
            self._moves(i)
            end = i.out_base + (positions - 1) * i.out_words + -(-i.channels // c.sub_row)
            self._in_range(end <= self.bank_end, i, "bank write")
        else:
            self._in_range(i.out_base + positions * i.channels <= c.result_depth, i, "result")
        between = Flag.RESIDUAL in i.flags and i.residual_offset % c.drain_k
        self._in_range(not between, i, "residual between the channels of a chunk")
        indexed = Flag.INDEXED in i.flags
        weights = c.packing.weights
        for group in range(i.groups):
            channels = min(c.lanes_k, i.channels - group * c.lanes_k)
            try:
                packet, used = unpack(c, stream, channels, i.rows, indexed)
            except ToolflowError as error:
                raise EngineFaultError(ErrorCode.COUNT, str(error)) from error
            if packet.values.min() < weights.lower or packet.values.max() > weights.upper:
                outside = f"has a weight outside {weights.lower} to {weights.upper}"
                raise EngineFaultError(ErrorCode.WEIGHT, f"'{i.name or i.opcode.name}' {outside}")
            stream = stream[used:]
            acc = self._direct(i, group, packet) if form is None else self._tiled(i, form, packet)
            self._drain(i, group, packet, self._wrapped(acc)[..., :channels])
        return stream

    def _direct(self, i: Instruction, group: int, packet: Packet) -> FloatArray:
        """Return the accumulators (banks, positions, lanes_k) of a group, kernel offset by kernel offset."""
        c = self.config
        first = (group * i.channel_step) >> (c.sub_row.bit_length() - 1)
        acc = np.zeros((len(self.bank), i.out_height * i.out_width, c.lanes_k), dtype=np.float64)
        row = 0
        for level, iy, ix in self._taps(i):
            if level is not None and level > 0:
                acc *= 1 << c.digit_bits
            for q in range(i.sub_rows):
                steps = i.steps_last if q == i.sub_rows - 1 else i.steps
                acc += self._words(i, iy, ix, first + q) @ self._matrix(packet, row, steps)
                row += steps
        return acc

    def _tiled(self, i: Instruction, form: Winograd, packet: Packet) -> FloatArray:
        """Return the same of a tile: transformed words, a sum for each tap, and what the taps make of the outputs."""
        down, across = form.tiles(i.out_height, i.out_width)
        ty, tx = np.divmod(np.arange(down * across), across)
        offsets = range(form.taps)
        words = np.array(
            [
                [[self._words(i, ty * form.tile + r - i.pad_top, tx * form.tile + s - i.pad_left, q) for s in offsets]
                 for r in offsets]
                for q in range(i.sub_rows)
            ]
        )  # fmt: skip
        transformed = np.einsum("yr,qrsntc,xs->yxqntc", form.input, words, form.input, optimize=True)
        exponent, steps_of_taps = self.last_taps.exponents(form.taps), i.steps_of_taps(self.last_taps)
        banks = len(self.bank)
        y = np.zeros((form.tile, form.tile, banks, down * across, self.config.lanes_k))
        row = 0
        for ky, kx in np.ndindex(form.taps, form.taps):
            total = np.zeros(y.shape[2:])
            own = int(steps_of_taps[ky, kx])
            for _ in range(i.levels):
                total *= 1 << self.config.digit_bits
                for q in range(i.sub_rows):
                    steps = min(own, i.steps_last) if q == i.sub_rows - 1 else own
                    total += transformed[ky, kx, q] @ self._matrix(packet, row, steps)
                    row += steps
            share = np.outer(form.output[:, ky], form.output[:, kx]) << int(exponent[ky, kx])
            y += share[:, :, None, None, None] * total
        whole = y.reshape(form.tile, form.tile, banks, down, across, -1).transpose(2, 3, 0, 4, 1, 5)
        whole = whole.reshape(banks, down * form.tile, across * form.tile, -1)[:, : i.out_height, : i.out_width]
        return np.ascontiguousarray(whole).reshape(banks, i.out_height * i.out_width, -1)

    def _form(self, i: Instruction) -> Winograd | None:
        """Return the transforms of a tile, None for a direct convolution."""
        if i.tile == 0:
            return None
        if i.tile not in WINOGRAD or i.tile > self.config.tile:
            raise EngineFaultError(
                ErrorCode.OPCODE, f"'{i.name or i.opcode.name}' has tile {i.tile}, the engine {self.config.tile}"
            )
        form = WINOGRAD[i.tile]
        plain = (i.kernel_h, i.kernel_w, i.stride_h, i.stride_w, i.dilation_h, i.dilation_w) == (3, 3, 1, 1, 1, 1)
        self._counts(plain and i.channel_step == 0 and Flag.TO_RESULT not in i.flags, i)
        self._counts(form.taps**2 * i.sub_rows <= self.config.transform_depth, i)
        self._counts(int(i.rows_of_taps(self.last_taps).min()), i)
        return form

    def taps(self, i: Instruction) -> None:
        if i.exponents().max() > MAX_EXPONENT:
            raise EngineFaultError(ErrorCode.OPCODE, f"'{i.name or i.opcode.name}' shifts by more than {MAX_EXPONENT}")
        self.last_taps = i

    def _taps(self, i: Instruction) -> Iterator[tuple[int | None, Int64Array, Int64Array]]:
        """Yield (level at its first tap, else None; input row; input column) for every level and tap."""
        oy, ox = np.divmod(np.arange(i.out_height * i.out_width), i.out_width)
        for level in range(i.levels):
            for ky in range(i.kernel_h):
                for kx in range(i.kernel_w):
                    iy = oy * i.stride_h + ky * i.dilation_h - i.pad_top
                    ix = ox * i.stride_w + kx * i.dilation_w - i.pad_left
                    yield level if ky == kx == 0 else None, iy, ix

    def _words(self, i: Instruction, iy: Int64Array, ix: Int64Array, word: int) -> FloatArray:
        """Read one word of the pixels (iy, ix): (banks, positions, S) elements, 0 outside the map."""
        inside = (iy >= 0) & (iy < i.in_height) & (ix >= 0) & (ix < i.in_width)
        address = i.in_base + iy * i.in_row_words + ix * i.in_words + word
        used = address[inside]
        self._in_range(not used.size or int(used.max()) < self.bank_end, i, "bank read")
        signed = Flag.INPUT_SIGNED in i.flags
        words = self._elements(self.bank[:, np.where(inside, address, 0)], signed).astype(np.float64)
        words[:, ~inside] = 0
        if Flag.STRIPED in i.flags:
            words[~self._in_window(iy)] = 0
        return words

    def _in_window(self, iy: Int64Array) -> npt.NDArray[np.bool_]:
        """Return whether rows iy (positions,) lie in the window of each bank's lane: (banks, positions)."""
        return np.tile(self.window.has(iy), (self.count, 1))

    def _elements(self, raw: npt.NDArray[np.uint8], signed: bool) -> Int64Array:
        values = raw.astype(np.int64)
        if signed:
            values -= (values >> (self.config.activation_bits - 1)) << self.config.activation_bits
        return values

    def _matrix(self, packet: Packet, row: int, steps: int) -> FloatArray:
        """Return the (S, lanes_k) weights that `steps` rows from `row` on apply to one word."""
        c = self.config
        values = packet.values[row : row + steps]
        if packet.indices is None:
            slot = np.arange(steps)[:, None] * c.slots + np.arange(c.slots)
            indices = np.broadcast_to((slot % c.sub_row)[:, None, :], values.shape)
        else:
            indices = packet.indices[row : row + steps].repeat(c.index_k, axis=1)
        matrix = np.zeros((c.sub_row, c.lanes_k), dtype=np.float64)
        lane = np.broadcast_to(np.arange(c.lanes_k)[None, :, None], values.shape)
        np.add.at(matrix, (indices, lane), values.astype(np.float64))
        return matrix

    def _wrapped(self, acc: FloatArray) -> Int64Array:
        """Wrap accumulators at their width; float64 held them exactly (|acc| < 2^53)."""
        half = 1 << (self.config.accumulator_bits - 1)
        return ((acc.astype(np.int64) + half) & (2 * half - 1)) - half

    def _drain(self, i: Instruction, group: int, packet: Packet, acc: Int64Array) -> None:
        first = group * self.config.lanes_k
        channel = np.arange(first, first + acc.shape[2])
        residual = self._residual(i, channel) if Flag.RESIDUAL in i.flags else None
        scaled = (acc + packet.bias) * packet.multiplier
        if residual is not None:
            left = packet.residual_shift & MAX_RESIDUAL_SHIFT if self.config.tile else 0
            scaled += residual * packet.residual_multiplier << left
        shift = packet.shift & ((1 << PARAMETER_RECORD["shift"].kept) - 1)
        out = np.minimum(np.maximum(round_half_even_shift(scaled, shift), i.lower), i.upper)
        positions = acc.shape[1]
        if Flag.TO_RESULT in i.flags:
            place = i.out_base + np.arange(positions)[:, None] * i.channels + channel
            self.result[:, place] = out
            return
        element = channel % self.config.sub_row
        address = i.out_base + np.arange(positions)[:, None] * i.out_words + channel // self.config.sub_row
        mask = (1 << self.config.activation_bits) - 1
        self.bank[:, address, element] = (out & mask).astype(np.uint8)

    def _residual(self, i: Instruction, channel: Int64Array) -> Int64Array:
        oy, ox = np.divmod(np.arange(i.out_height * i.out_width), i.out_width)
        e = channel - i.residual_offset
        present = (e >= 0) & (e < i.residual_channels)
        e = np.where(present, e, 0)
        pixel = i.residual_base + oy * i.residual_row_words + ox * i.residual_pixel_words
        address = pixel[:, None] + e // self.config.sub_row
        self._in_range(int(address.max()) < self.bank_end, i, "residual read")
        raw = self.bank[:, address, e % self.config.sub_row]
        return np.where(present, self._elements(raw, Flag.RESIDUAL_SIGNED in i.flags), 0)

    def max_pool(self, i: Instruction) -> None:
        address, words = self._maximum(i)
        self.bank[:, address] = words

    def stripes(self, i: Instruction) -> None:
        self._counts(i.in_height * i.out_height, i)
        self.window.set(i)

    def shift(self, i: Instruction) -> None:
        self._counts((i.kernel_h, i.kernel_w) == (1, 1) and i.levels <= 1, i)
        address, words = self._maximum(i)
        by_lane = words.reshape(self.count, self.lanes, *words.shape[1:])
        shifted = np.full_like(by_lane, UNDEFINED)
        if i.levels == 0:
            shifted[:, 1:] = by_lane[:, :-1]
        else:
            shifted[:, :-1] = by_lane[:, 1:]
        self.bank[:, address] = shifted.reshape(words.shape)

    def _maximum(self, i: Instruction) -> tuple[Int64Array, npt.NDArray[np.uint8]]:
        """Return where a MAXPOOL writes, (positions, words), and what: (banks, positions, words, S)."""
        self._counts(i.out_height * i.out_width and i.kernel_h and i.kernel_w and i.sub_rows, i)
        self._moves(i)
        self._in_range(i.out_height * i.out_width <= self.config.bank_depth, i, "output")
        self._in_range(i.sub_rows <= self.config.bank_depth, i, "words")
        oy, ox = np.divmod(np.arange(i.out_height * i.out_width), i.out_width)
        lowest = -(1 << 15)
        best = np.full((len(self.bank), len(oy), i.sub_rows, self.config.sub_row), lowest, dtype=np.int64)
        q = np.arange(i.sub_rows)
        for ky in range(i.kernel_h):
            for kx in range(i.kernel_w):
                iy = oy * i.stride_h + ky * i.dilation_h - i.pad_top
                ix = ox * i.stride_w + kx * i.dilation_w - i.pad_left
                inside = (iy >= 0) & (iy < i.in_height) & (ix >= 0) & (ix < i.in_width)
                address = (i.in_base + iy * i.in_row_words + ix * i.in_words)[inside, None] + q
                self._in_range(not address.size or int(address.max()) < self.bank_end, i, "bank read")
                words = self._elements(self.bank[:, address], Flag.INPUT_SIGNED in i.flags)
                if Flag.STRIPED in i.flags:
                    words[~self._in_window(iy[inside])] = lowest
                best[:, inside] = np.maximum(best[:, inside], words)
        address = i.out_base + np.arange(len(oy))[:, None] * i.out_words + q
        self._in_range(int(address.max()) < self.bank_end, i, "bank write")
        best[best == lowest] = UNDEFINED
        return address, (best & ((1 << self.config.activation_bits) - 1)).astype(np.uint8)

    def fill(self, i: Instruction) -> None:
        height, width, words = i.out_height, i.out_width, i.sub_rows
        self._moves_maps(i)
        self._counts(height * width * words, i)
        self._moves(i)
        end = i.out_base + (height * width - 1) * i.out_words + words
        self._in_range(end <= self.config.bank_depth, i, "bank write")
        address = i.out_base + np.arange(height * width)[:, None] * i.out_words + np.arange(words)
        address = address.reshape(height, width * words)
        self._in_range(self.maps.moves(i.in_base, i.residual_base, width * words), i, "maps")
        if Flag.STRIPED in i.flags:
            for lane, row, at in self._map_rows(i, i.in_base, height, width * words):
                self.bank[lane :: self.lanes, address[row]] = at
            return
        self._in_range(self.maps.holds(i.in_base, i.residual_base, height, width * words), i, "maps")
        self.bank[:: self.lanes, address] = self.maps.read(i.in_base, i.residual_base, height, width * words)

    def spill(self, i: Instruction) -> None:
        height, width, words = i.in_height, i.in_width, i.sub_rows
        self._moves_maps(i)
        self._counts(height * width * words, i)
        end = i.in_base + (height - 1) * i.in_row_words + (width - 1) * i.in_words + words
        self._in_range(end <= self.config.bank_depth, i, "bank read")
        self._in_range(self.maps.moves(i.out_base, i.residual_base, width * words), i, "maps")
        words_of_row = (np.arange(width)[:, None] * i.in_words + np.arange(words)).reshape(-1)
        address = i.in_base + np.arange(height)[:, None] * i.in_row_words + words_of_row
        if Flag.STRIPED in i.flags:
            self._in_range(height * self.maps.row_bytes(width * words) <= i.residual_base, i, "pitch")
            for lane, row, at in self._map_rows(i, i.out_base, height, width * words):
                at[:] = self.bank[lane :: self.lanes, address[row]]
            return
        self._in_range(self.maps.holds(i.out_base, i.residual_base, height, width * words), i, "maps")
        self.maps.write(i.out_base, i.residual_base, self.bank[:: self.lanes, address])

    def _moves_maps(self, i: Instruction) -> None:
        if not self.config.external_maps:
            raise EngineFaultError(ErrorCode.OPCODE, f"'{i.name or i.opcode.name}': the engine has no maps outside")
        self._several_movers(i)

    def _map_rows(
        self, i: Instruction, base: int, height: int, row_words: int
    ) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
        """Yield (lane, row, its words in the maps of every image) for the rows that lanes move."""
        for lane in range(self.lanes):
            for row in self.window.rows(lane, height):
                words = self.maps.row(
                    row_offset(base, i.residual_base, self.maps.row_bytes(row_words), lane, row), row_words
                )
                self._in_range(words is not None, i, "maps")
                assert words is not None
                yield lane, row, words

    def _several_movers(self, i: Instruction) -> None:
        """Refuse a second LOAD, a FILL or a SPILL where the images of the next pass may be loaded meanwhile."""
        self._counts(not self.ahead, i)
        self.moved = True

    def store_result(self, i: Instruction) -> None:
        header, classes = self.header, self.header.classes
        self._counts(classes and header.confidence_m <= header.confidence_n <= MAX_N, i)
        self._in_range(classes <= self.config.result_depth, i, "result")
        start, end = result_header_bytes(self.config), result_record_bytes(self.config, classes)
        pitch = header.result_pitch_bytes
        self._in_range(end <= pitch and pitch % self.config.bus_bytes == 0, i, "record")
        logits = self.result[:: self.lanes, :classes]
        records = np.zeros((self.count, pitch), dtype=np.uint8)
        head = np.zeros(self.count, dtype=RESULT_HEAD)
        if self.config.confidence:
            rule = ConfidenceRule(header.confidence_k, header.confidence_m, header.confidence_n, header.threshold)
            answer = evaluate(logits, rule)
            head["klass"], head["confident"] = answer.klass, answer.confident
            head["numerator"], head["total"] = answer.numerator, answer.total
        else:
            head["klass"], head["confident"] = logits.argmax(axis=1), 1
        records[:, : RESULT_HEAD.itemsize] = head.view(np.uint8).reshape(self.count, -1)
        records[:, start:end] = logits.astype("<i2").view(np.uint8).reshape(self.count, -1)
        self._write(0, records.tobytes())

    def store_map(self, i: Instruction) -> None:
        words = i.in_row_words * i.in_height
        self._counts(words, i)
        self._in_range(i.out_base % self.config.bus_bytes == 0, i, "map at a beat")
        self._in_range(i.in_base + words <= self.bank_end, i, "bank read")
        pitch = words * self.config.sub_row
        pitch += -pitch % self.config.bus_bytes
        stored = self.bank[:: 1 if Flag.STRIPED in i.flags else self.lanes, i.in_base : i.in_base + words]
        records = np.zeros((len(stored), pitch), dtype=np.uint8)
        records[:, : words * self.config.sub_row] = stored.reshape(len(stored), -1)
        self._write(i.out_base, records.tobytes())

    def _write(self, offset: int, data: bytes) -> None:
        missing = offset + len(data) - len(self.output)
        self.output += bytes(max(missing, 0))
        self.output[offset : offset + len(data)] = data

    def _counts(self, good: int, i: Instruction) -> None:
        """Refuse an instruction with a count that is 0 or otherwise wrong."""
        if not good:
            raise EngineFaultError(ErrorCode.COUNT, f"'{i.name or i.opcode.name}' with {i.used_fields()}")

    def _pixel_words(self, i: Instruction) -> None:
        """Refuse words of a pixel that the tables do not cover."""
        c, width = self.config, i.in_words
        self._counts(i.sub_rows and width, i)
        lanes = c.sub_row if c.table_words > 1 else c.input_lanes
        self._in_range(i.sub_rows <= c.table_words and width <= lanes, i, "tables")
        self._counts(not width & (width - 1), i)

    def _reads(self, end: int, buffer: Sized, name: str) -> None:
        """Refuse a read past the end of a buffer, where a bus has nothing."""
        if end > len(buffer):
            raise EngineFaultError(ErrorCode.AXI_READ, f"{end} bytes of {name} are read, which has {len(buffer)}")

    def _moves(self, i: Instruction) -> None:
        """Refuse outputs that all lie in one place."""
        self._counts(i.out_words or i.out_height * i.out_width == 1, i)

    def _in_range(self, fits: bool, i: Instruction, what: str) -> None:
        if not fits:
            raise EngineFaultError(ErrorCode.ADDRESS, f"{what} of '{i.name or i.opcode.name}' with {i.used_fields()}")
