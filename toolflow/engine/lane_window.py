"""The rows of a map that each lane has in a striped program, as the executor keeps them (PROGRAM.md, "Stripes")."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolflow.engine.isa import Instruction

LAST_ROW = 65535
OFFSETS = 1 << 32  # byte offsets of rows are modulo this


class LaneWindow:
    """`first[p]` and `end[p]` of each lane: what STRIPES sets.

    Args:
        lanes: of the engine.
    """

    def __init__(self, lanes: int) -> None:
        self.first = np.zeros(lanes, dtype=np.int64)
        self.end = np.full(lanes, LAST_ROW, dtype=np.int64)

    def set(self, i: Instruction) -> None:
        """Do a STRIPES."""
        behind = np.arange(len(self.first)) * i.out_height
        self.first = np.maximum(i.pad_top - behind, 0)
        self.end = np.clip(i.in_height + i.pad_top - behind, 0, LAST_ROW)

    def rows(self, lane: int, count: int) -> range:
        """Return which of the rows 0 … count − 1 a lane has."""
        return range(int(self.first[lane]), min(int(self.end[lane]), count))

    def has(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return whether each lane has rows (n,): (lanes, n)."""
        return (self.first[:, None] <= rows) & (rows < self.end[:, None])


def row_offset(base: int, pitch: int, row_bytes: int, lane: int, row: int) -> int:
    """Return the byte offset of a row that a lane moves."""
    return (base + lane * pitch + row * row_bytes) % OFFSETS
