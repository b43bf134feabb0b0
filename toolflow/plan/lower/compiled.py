"""A compiled program, and the host's side of its memory formats (PROGRAM.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Instruction
from toolflow.engine.places import ImageFormat
from toolflow.engine.program import Header
from toolflow.engine.records import RESULT_HEAD, result_header_bytes, result_record_bytes
from toolflow.engine.steps import StoreMap
from toolflow.ir.operator import Shape
from toolflow.plan.schedule.schedule import Schedule

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Results:
    """What the engine answered for N images.

    Attributes:
        logits: int64 (N, *output shape).
        klass: int64 (N,), index of the largest result in the engine's order.
        confident: bool (N,).
        numerator, total: int64 (N,), both sides of the confidence test.
    """

    logits: Int64Array
    klass: Int64Array
    confident: npt.NDArray[np.bool_]
    numerator: Int64Array
    total: Int64Array


@dataclass(frozen=True)
class CompiledProgram:
    """Everything that an engine needs to run a network, and what to expect of it.

    Attributes:
        schedule: what the engine does, step by step, and where tensors lie.
        header, instructions: of the program.
        program, weights: the binaries at the addresses of the same name.
    """

    schedule: Schedule
    header: Header
    instructions: tuple[Instruction, ...]
    program: bytes
    weights: bytes

    @property
    def config(self) -> EngineConfig:
        """The engine."""
        return self.schedule.config

    @property
    def image(self) -> ImageFormat:
        """Format of the images."""
        return self.schedule.load.image

    @property
    def output_shape(self) -> Shape:
        """Shape of one image's results, (K,) or (K, H, W)."""
        return self.schedule.graph.shapes[self.schedule.results.tensor]

    def pack_images(self, images: npt.NDArray[np.uint8]) -> bytes:
        """Return uint8 images (N, H, W, C) as the engine reads them.

        Raises:
            ValueError: the shape is not the network's.
        """
        f = self.image
        if images.dtype != np.uint8 or images.shape[1:] != (f.height, f.width, f.channels):
            raise ValueError(
                f"images must be uint8 (N, {f.height}, {f.width}, {f.channels}), not {images.dtype} {images.shape}"
            )
        packed = np.zeros((len(images), self.header.image_pitch_bytes), dtype=np.uint8)
        pixels = packed[:, : f.bytes].reshape(len(images), f.height, f.width, f.pixel_bytes)
        pixels[..., : f.channels] = images
        return packed.tobytes()

    def result_bytes(self, image_count: int) -> int:
        """Return the size of the results region, traces included."""
        stored = [step.out for steps in self.schedule.stored_maps.values() for step in steps]
        end = max((out.offset_bytes + out.pitch_bytes * image_count for out in stored), default=0)
        return max(image_count * self.header.result_pitch_bytes, end)

    def unpack_results(self, raw: bytes, image_count: int) -> Results:
        """Read the result records of N images."""
        pitch, classes = self.header.result_pitch_bytes, self.header.classes
        records = np.frombuffer(raw, dtype=np.uint8, count=image_count * pitch).reshape(image_count, pitch)
        head = records[:, : RESULT_HEAD.itemsize].copy().view(RESULT_HEAD)[:, 0]
        start, end = result_header_bytes(self.config), result_record_bytes(self.config, classes)
        flat = records[:, start:end].copy().view("<i2").astype(np.int64)
        if len(self.output_shape) == 3:
            channels, height, width = self.output_shape
            flat = flat.reshape(image_count, height, width, channels).transpose(0, 3, 1, 2)
        klass, numerator, total = (head[name].astype(np.int64) for name in ("klass", "numerator", "total"))
        return Results(flat, klass, head["confident"] != 0, numerator, total)

    def unpack_trace(self, raw: bytes, tensor: str, image_count: int) -> Int64Array:
        """Read a traced map of N images as int64 (N, C, H, W)."""
        stores = self.schedule.stored_maps[tensor]
        height = max((step.stripes.height for step in stores if step.stripes), default=0)
        if not height:
            return np.concatenate([self._unpack_band(raw, stored, image_count) for stored in stores], axis=2)
        rows: dict[int, Int64Array] = {}
        for stored in stores:
            assert stored.stripes is not None
            items = self._unpack_band(raw, stored, image_count)
            lanes = items.reshape(image_count, self.config.lanes_p, *items.shape[1:])
            for lane in range(self.config.lanes_p):
                for row in range(*stored.stripes.window(lane, stored.source.height)):
                    rows[stored.stripes.row_of_map(lane, row, height)] = lanes[:, lane, :, row]
        return np.stack([rows[row] for row in range(height)], axis=2)

    def _unpack_band(self, raw: bytes, stored: StoreMap, image_count: int) -> Int64Array:
        """Read the rows that a step stored, those of each lane in stripes."""
        place, out, s = stored.source, stored.out, self.config.sub_row
        data = np.frombuffer(raw, dtype=np.uint8, count=out.pitch_bytes * image_count, offset=out.offset_bytes)
        words = place.height * place.width * place.pixel_words
        items = image_count * (1 if stored.stripes is None else self.config.lanes_p)
        elements = np.zeros((items, words * s), dtype=np.int64)
        held = data.reshape(items, -1)[:, : words * s]
        elements[:, : held.shape[1]] = held
        pixels = elements.reshape(items, place.height, place.width, place.pixel_words * s)[..., list(place.channel)]
        if stored.integer.signed:
            bits = self.config.activation_bits
            pixels -= (pixels >> (bits - 1)) << bits
        return pixels.transpose(0, 3, 1, 2)
