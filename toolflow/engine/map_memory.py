"""The maps in external memory, as the executor keeps them: what FILL reads and SPILL writes (PROGRAM.md)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolflow.engine.config import EngineConfig
from toolflow.engine.places import align

Bytes = npt.NDArray[np.uint8]
MOST_ROW_BEATS = 65535  # engines count the beats of a row in 16 bits


class MapMemory:
    """`map_bytes` bytes for each pass, since all passes are executed at once and each rewrites the maps.

    Args:
        config: the engine.
        map_bytes: of the program's header.
        image_count: images of the start.
        images_of_pass: that a pass takes: one for each lane, or a single one in a striped program.
    """

    def __init__(self, config: EngineConfig, map_bytes: int, image_count: int, images_of_pass: int) -> None:
        self.config, self.count, self.images_of_pass = config, image_count, images_of_pass
        self.bytes = np.zeros((-(-image_count // images_of_pass), map_bytes), dtype=np.uint8)

    def row_bytes(self, row_words: int) -> int:
        """Return the bytes from a row of so many words to the next."""
        return align(row_words * self.config.sub_row, self.config.bus_bytes)

    def moves(self, base: int, pitch: int, row_words: int) -> bool:
        """Return whether rows of so many words can be moved to and from there: whole beats, and not too many."""
        aligned = (base | pitch) % self.config.bus_bytes == 0
        return aligned and self.row_bytes(row_words) <= MOST_ROW_BEATS * self.config.bus_bytes

    def holds(self, base: int, pitch: int, height: int, row_words: int) -> bool:
        """Return whether so many rows of every image of a pass lie in the memory, and apart from other images'."""
        image_bytes = height * self.row_bytes(row_words)
        end = base + (self.images_of_pass - 1) * pitch + image_bytes
        return image_bytes <= pitch and end <= self.bytes.shape[1]

    def read(self, base: int, pitch: int, height: int, row_words: int) -> Bytes:
        """Return the words of rows of every image: (images, height, row_words, S)."""
        return np.stack([self._rows(image, base, pitch, height, row_words) for image in range(self.count)])

    def write(self, base: int, pitch: int, words: Bytes) -> None:
        """Write the words of rows of every image, (images, height, row_words, S)."""
        for image, rows in enumerate(words):
            self._rows(image, base, pitch, *rows.shape[:2])[:] = rows

    def row(self, first_byte: int, row_words: int) -> Bytes | None:
        """Return the words of one row in every pass, (passes, row_words, S), as a view; None if it lies outside."""
        used = row_words * self.config.sub_row
        if first_byte + self.row_bytes(row_words) > self.bytes.shape[1]:
            return None
        row = self.bytes[:, first_byte : first_byte + used]
        return row.reshape(len(row), row_words, self.config.sub_row, copy=False)

    def _rows(self, image: int, base: int, pitch: int, height: int, row_words: int) -> Bytes:
        """Return the words of rows of one image, as a view of the memory."""
        of_pass, lane = divmod(image, self.images_of_pass)
        row_bytes, used = self.row_bytes(row_words), row_words * self.config.sub_row
        start = base + lane * pitch
        rows = self.bytes[of_pass, start : start + height * row_bytes].reshape(height, row_bytes)[:, :used]
        return rows.reshape(height, row_words, self.config.sub_row, copy=False)
