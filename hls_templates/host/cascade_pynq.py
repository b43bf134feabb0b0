"""Run a cascade accelerator on a Zynq board under PYNQ.

    from cascade_pynq import CascadeOverlay
    overlay = CascadeOverlay("cascade.bit")         # with cascade.hwh beside it, and this project's folder
    answer = overlay.classify(images)               # uint8 (N, H, W, C), RGB
    answer.klass, answer.logits, answer.by_high

The low-precision unit takes every image; those that it is not sure of go to the high-precision unit, which
works on one chunk's rest while the low one works on the next chunk. If both are programs of one engine, they
run in turn: the rest waits until it fills a start of the high one, or no image is left. Formats and registers
are those of PROGRAM.md; what differs between designs is in design.json. Needs numpy, and PYNQ on the board only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

try:
    from pynq import Overlay, allocate
except ImportError:  # the rest is used without a board, in tests and for file formats
    Overlay, allocate = object, None

CONTROL, PROGRAM, WEIGHTS, IMAGES, RESULTS = 0x00, 0x10, 0x1C, 0x28, 0x34
MAPS, COUNT, ERROR, SIGNATURE = 0x40, 0x4C, 0x54, 0x70
START, DONE = 1, 2
ALIGNMENT_BYTES = 4096
RECORD_BYTES = 16  # class, confident, numerator, total
ERRORS = {
    1: "the program's magic or version is wrong",
    2: "the program is for another engine: bitstream and weights folder do not belong together",
    3: "the program's CRC is wrong: the file is damaged",
    4: "the program holds an instruction that the engine does not have",
    5: "the program leaves a memory of the engine, or an address is not aligned",
    6: "a read on the memory bus failed",
    7: "a write on the memory bus failed",
    8: "a layer has too many weight rows for the engine, or a count is wrong",
    9: "the number of images was 0",
    10: "the weight stream holds a weight that the engine's packed multipliers do not take",
}


class EngineError(RuntimeError):
    """The engine stopped with an error code, or did not stop at all."""


class Records(NamedTuple):
    """What one unit answered: int64 (N,), bool (N,), int64 (N,), int64 (N,), int64 (N, K)."""

    klass: np.ndarray
    confident: np.ndarray
    numerator: np.ndarray
    total: np.ndarray
    logits: np.ndarray


class Answer(NamedTuple):
    """What the design answered: int64 (N,), int64 (N, K), and bool (N,), true where the high unit did."""

    klass: np.ndarray
    logits: np.ndarray
    by_high: np.ndarray


class Unit:
    """One program of an engine: the engine's registers, the buffers, and the layout of images and results.

    Args:
        registers: an object with read(offset) and write(offset, value), as pynq.MMIO.
        allocate_bytes: makes a buffer of uint8 that has `physical_address`, `flush` and `invalidate`.
        description: the unit's entry of design.json.
        folder: the project's folder, to which the description's paths are relative.
        batch: images that the buffers hold; more are worked off in several starts. None for those of the description,
            which the engine was planned for.
        check_signature: compare the engine's signature register, which the RTL engine has and the HLS engine has not.
    """

    def __init__(
        self,
        registers: Any,
        allocate_bytes: Callable[[int], Any],
        description: dict[str, Any],
        folder: Path,
        batch: int | None = None,
        check_signature: bool = False,
    ) -> None:
        self.registers = registers
        self.image, self.result = description["image"], description["result"]
        self.batch = batch = batch or description["batch"]
        self.started = 0
        if check_signature:
            self._check_signature(int(description["signature"], 16))
        self.program = self._filled(allocate_bytes, folder / description["program"])
        self.weights = self._filled(allocate_bytes, folder / description["weights"])
        self.images = self._aligned(allocate_bytes(batch * self.image["pitch"]))
        self.results = self._aligned(allocate_bytes(batch * self.result["pitch"]))
        map_bytes = description["map_bytes"]
        self.maps = self._aligned(allocate_bytes(map_bytes)) if map_bytes else None

    def _check_signature(self, expected: int) -> None:
        found = self.registers.read(SIGNATURE) | self.registers.read(SIGNATURE + 4) << 32
        if found != expected:
            raise EngineError(
                f"the bitstream's engine must be {expected:016x}, not {found:016x}: load the one built with this folder"
            )

    @staticmethod
    def _aligned(buffer: Any) -> Any:
        if buffer.physical_address % ALIGNMENT_BYTES:
            raise EngineError(
                f"buffers must be aligned to {ALIGNMENT_BYTES} bytes, not lie at 0x{buffer.physical_address:x}"
            )
        return buffer

    def _filled(self, allocate_bytes: Callable[[int], Any], path: Path) -> Any:
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        buffer = self._aligned(allocate_bytes(len(data)))
        buffer[: len(data)] = data
        buffer.flush()
        return buffer

    def pack(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 (N, H, W, C) images as rows of pixels of `pixel_bytes` bytes: uint8 (N, pitch)."""
        f = self.image
        shape = (f["height"], f["width"], f["channels"])
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            given = f"{images.dtype} {images.shape}"
            raise ValueError(f"images must be uint8 (N, {shape[0]}, {shape[1]}, {shape[2]}), not {given}")
        packed = np.zeros((len(images), f["pitch"]), dtype=np.uint8)
        used = f["height"] * f["width"] * f["pixel_bytes"]
        pixels = packed[:, :used].reshape(len(images), f["height"], f["width"], f["pixel_bytes"])
        pixels[..., : f["channels"]] = images
        return packed

    def start(self, images: np.ndarray) -> None:
        """Start on 1 to `batch` images; `finish` must follow before the next start."""
        if not 1 <= len(images) <= self.batch:
            raise ValueError(f"a start takes 1 to {self.batch} images, not {len(images)}")
        packed = self.pack(images)
        self.images[: packed.size] = packed.reshape(-1)
        self.images.flush()
        self.started = len(images)
        for offset, buffer in (
            (PROGRAM, self.program),
            (WEIGHTS, self.weights),
            (IMAGES, self.images),
            (RESULTS, self.results),
            (MAPS, self.maps),
        ):
            address = 0 if buffer is None else buffer.physical_address
            self.registers.write(offset, address & 0xFFFFFFFF)
            self.registers.write(offset + 4, address >> 32)
        self.registers.write(COUNT, self.started)
        self.registers.write(CONTROL, START)

    def finish(self, timeout_s: float = 10.0) -> Records:
        """Wait for the start's end and return its records."""
        deadline = time.monotonic() + timeout_s
        while not self.registers.read(CONTROL) & DONE:
            if time.monotonic() > deadline:
                raise EngineError(f"the engine did not finish {self.started} images within {timeout_s} s")
        code = self.registers.read(ERROR) & 0xF
        if code:
            raise EngineError(f"the engine stopped with error {code}: {ERRORS.get(code, 'unknown')}")
        self.results.invalidate()
        return self._unpack(self.started)

    def _unpack(self, count: int) -> Records:
        pitch, classes, header = self.result["pitch"], self.result["classes"], self.result["header_bytes"]
        raw = np.array(self.results[: count * pitch], dtype=np.uint8).reshape(count, pitch)
        words = np.ascontiguousarray(raw[:, :RECORD_BYTES]).view("<u4").astype(np.int64)
        logits = np.ascontiguousarray(raw[:, header : header + 2 * classes]).view("<i2").astype(np.int64)
        numerator = words[:, 2].astype(np.uint32).view(np.int32).astype(np.int64)
        return Records(words[:, 0], words[:, 1] != 0, numerator, words[:, 3], logits)

    def run(self, images: np.ndarray) -> Records:
        """Run any number of images, in as many starts as the buffers ask for."""
        parts = []
        for first in range(0, len(images), self.batch):
            self.start(images[first : first + self.batch])
            parts.append(self.finish())
        return Records(*(np.concatenate(column) for column in zip(*parts)))  # noqa: B905 - Python 3.8


class Cascade:
    """One unit, or a low- and a high-precision unit that share the work."""

    def __init__(self, units: dict[str, Unit]) -> None:
        self.first = units["single"] if "single" in units else units["low"]
        self.second: Unit | None = units.get("high")
        self.in_turn = self.second is not None and self.second.registers is self.first.registers

    def classify(self, images: np.ndarray) -> Answer:
        """Return class, logits and origin for uint8 (N, H, W, C) images, N ≥ 1."""
        if len(images) == 0:
            raise ValueError("at least one image must be given, not none")
        if self.second is None:
            records = self.first.run(images)
            return Answer(records.klass, records.logits, np.zeros(len(images), dtype=bool))
        klass = np.empty(len(images), dtype=np.int64)
        logits = np.empty((len(images), self.second.result["classes"]), dtype=np.int64)
        by_high = np.zeros(len(images), dtype=bool)
        pending: list[int] = []

        def next_high() -> list[int]:
            nonlocal pending
            now, pending = pending[: self.second.batch], pending[self.second.batch :]  # type: ignore[union-attr]
            return now

        def take_high(indices: list[int]) -> None:
            records = self.second.finish()  # type: ignore[union-attr]
            klass[indices], logits[indices], by_high[indices] = records.klass, records.logits, True

        def run_high() -> None:
            now = next_high()
            self.second.start(images[now])  # type: ignore[union-attr]
            take_high(now)

        for begin in range(0, len(images), self.first.batch):
            chunk = images[begin : begin + self.first.batch]
            self.first.start(chunk)
            now = [] if self.in_turn else next_high()
            if now:
                self.second.start(images[now])
            records = self.first.finish()
            here = np.arange(begin, begin + len(chunk))
            klass[here], logits[here] = records.klass, records.logits
            if now:
                take_high(now)
            pending += [int(i) for i in here[~records.confident]]
            while self.in_turn and len(pending) >= self.second.batch:
                run_high()
        while pending:
            run_high()
        return Answer(klass, logits, by_high)


class CascadeOverlay(Overlay):  # type: ignore[misc]
    """The bitstream with its engines.

    Args:
        bitfile: .bit with its .hwh beside it.
        folder: the project's folder; by default the one above this file's.
        batch: images per start; None for those that each engine was planned for.
        rtl: whether the bitstream was built from the SystemVerilog (it can then be checked).
    """

    def __init__(self, bitfile: str, folder: str | None = None, batch: int | None = None, rtl: bool = False) -> None:
        if allocate is None:
            raise RuntimeError("pynq must be installed to load a bitstream: run this on the board")
        super().__init__(bitfile)
        root = Path(folder) if folder is not None else Path(__file__).resolve().parent.parent
        design = json.loads((root / "host" / "design.json").read_text())
        engines = {unit["engine"]: None for unit in design["units"].values()}
        registers = {engine: getattr(self, engine).mmio for engine in engines}
        units = {}
        for name, description in design["units"].items():
            units[name] = Unit(registers[description["engine"]], _pynq_buffer, description, root, batch, rtl)
        self.cascade = Cascade(units)

    def classify(self, images: np.ndarray) -> Answer:
        """Return class, logits and origin for uint8 (N, H, W, C) images."""
        return self.cascade.classify(images)


def _pynq_buffer(size: int) -> Any:
    return allocate(shape=(size,), dtype=np.uint8)
