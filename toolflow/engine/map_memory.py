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
    """

    def __init__(self, config: EngineConfig, map_bytes: int, image_count: int) -> None:
        self.config, self.count = config, image_count
        self.bytes = np.zeros((-(-image_count // config.lanes_p), map_bytes), dtype=np.uint8)

    def row_bytes(self, row_words: int) -> int:
        """Return the bytes from a row of so many words to the next."""
        return align(row_words * self.config.sub_row, self.config.bus_bytes)

    def holds(self, base: int, pitch: int, height: int, row_words: int) -> bool:
        """Return whether so many rows of every lane lie in the memory, at whole beats, and apart from other lanes'."""
        lane_bytes = height * self.row_bytes(row_words)
        end = base + (self.config.lanes_p - 1) * pitch + lane_bytes
        aligned = (base | pitch) % self.config.bus_bytes == 0
        short = self.row_bytes(row_words) <= MOST_ROW_BEATS * self.config.bus_bytes
        return aligned and short and lane_bytes <= pitch and end <= self.bytes.shape[1]

    def read(self, base: int, pitch: int, height: int, row_words: int) -> Bytes:
        """Return the words of rows of every image: (images, height, row_words, S)."""
        return np.stack([self._rows(image, base, pitch, height, row_words) for image in range(self.count)])

    def write(self, base: int, pitch: int, words: Bytes) -> None:
        """Write the words of rows of every image, (images, height, row_words, S)."""
        for image, rows in enumerate(words):
            self._rows(image, base, pitch, *rows.shape[:2])[:] = rows

    def _rows(self, image: int, base: int, pitch: int, height: int, row_words: int) -> Bytes:
        """Return the words of rows of one image, as a view of the memory."""
        of_pass, lane = divmod(image, self.config.lanes_p)
        row_bytes, used = self.row_bytes(row_words), row_words * self.config.sub_row
        start = base + lane * pitch
        rows = self.bytes[of_pass, start : start + height * row_bytes].reshape(height, row_bytes)[:, :used]
        return rows.reshape(height, row_words, self.config.sub_row, copy=False)
