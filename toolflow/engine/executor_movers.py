"""What moves bytes between external memory and the banks, in the numpy executor (PROGRAM.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
import numpy.typing as npt

from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.executor_state import EngineState
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.lane_window import row_offset
from toolflow.engine.map_memory import MOST_ROW_BEATS
from toolflow.engine.places import digit_step
from toolflow.engine.records import RESULT_HEAD, result_header_bytes, result_record_bytes
from toolflow.numerics.confidence import MAX_N, ConfidenceRule, evaluate
from toolflow.numerics.digits import cut_digits


class Movers(EngineState):
    """An engine that loads, fills, spills and stores."""

    def fill_tables(self, i: Instruction) -> None:
        """Do a TABLE."""
        q, width = i.sub_rows, i.in_words
        self._counts(not self.tables_filled and self.loaded is None, i)
        self.tables_filled = True
        self._pixel_words(i)
        self._in_range(i.in_base % self.config.bus_bytes == 0, i, "tables at a beat")
        self._reads(i.in_base + q * 256 * width, self.program, "program")
        data = np.frombuffer(self.program, dtype=np.uint8, count=q * 256 * width, offset=i.in_base)
        self.table[:q, :width] = data.reshape(q, 256, width).transpose(0, 2, 1)

    def load(self, i: Instruction) -> None:
        """Do a LOAD."""
        pixels, q, width, digits = i.out_height * i.out_width, i.sub_rows, i.in_words, i.levels
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
        """Keep what a LOAD_AHEAD leaves of the banks."""
        if i.opcode not in (Opcode.CONV, Opcode.MAXPOOL):
            raise EngineFaultError(ErrorCode.OPCODE, f"'{i.name or i.opcode.name}' cannot have LOAD_AHEAD")
        self._counts(self.loaded is not None and not self.never_ahead, i)
        assert self.loaded is not None
        self.ahead = True
        self.bank_end = self.loaded.out_base

    def fill(self, i: Instruction) -> None:
        """Do a FILL."""
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
        """Do a SPILL."""
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

    def store_result(self, i: Instruction) -> None:
        """Do a STORE_RESULT."""
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
        """Do a STORE_MAP."""
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
