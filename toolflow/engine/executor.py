"""Numpy executor of a program binary: the engine of PROGRAM.md, instruction by instruction.

It reads the same bytes as the HLS and the RTL engine and returns the bytes that they write. All
images run at once as lanes, which PROGRAM.md allows: passes do not see each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.executor_movers import Movers
from toolflow.engine.executor_state import FloatArray, Int64Array
from toolflow.engine.isa import INSTRUCTION_WORDS, Flag, Instruction, Opcode
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
)
from toolflow.engine.stream import Packet, unpack
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.requantise import MAX_RESIDUAL_SHIFT, round_half_even_shift
from toolflow.numerics.winograd import MAX_EXPONENT, WINOGRAD, Winograd

UNDEFINED = 0x55  # an element that is undefined but not left as it was: anything but 0, so that it shows


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


class _Engine(Movers):
    """What each opcode does."""

    def __init__(self, config: EngineConfig, header: Header, program: bytes, images: bytes, image_count: int) -> None:
        super().__init__(config, header, program, images, image_count)
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

    def conv(self, i: Instruction, stream: memoryview) -> memoryview:
        c = self.config
        if Flag.INDEXED in i.flags and not c.gather:
            raise EngineFaultError(ErrorCode.OPCODE, f"'{i.name or i.opcode.name}' has indices, the engine no gather")
        positions = i.out_height * i.out_width
        self._counts(positions and i.channels and i.rows and i.groups == -(-i.channels // c.lanes_k), i)
        self._counts(i.sub_rows and i.steps_last and (i.steps or i.sub_rows == 1 or i.tile), i)
        if i.rows > c.weight_depth and positions > 1:  # the rows of one position need not be kept
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
