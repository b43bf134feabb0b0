"""Sub-row-balanced sparsity (design section 5): n of every S consecutive input channels are kept, at every tap.

Weights are (K, C, kh, kw): spatial kernels, or Winograd's U with its t × t taps. A row of a tap is cut into sub-rows
of S channels (the last one may be shorter); each keeps at most n values. A kept value travels with its index inside
the sub-row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, order=True)
class Pattern:
    """`kept` of every `sub_row` consecutive input channels."""

    kept: int
    sub_row: int

    def __post_init__(self) -> None:
        if self.sub_row < 1 or self.sub_row & (self.sub_row - 1):
            raise ValueError(f"S of a pattern n:S must be a power of two, not {self.sub_row}")
        if not 1 <= self.kept <= self.sub_row:
            raise ValueError(f"n of a pattern n:S must be 1 to S = {self.sub_row}, not {self.kept}")

    @property
    def density(self) -> float:
        """Kept values over all, where S divides the channels."""
        return self.kept / self.sub_row

    @property
    def index_bits(self) -> int:
        """Width of an index into a sub-row."""
        return self.sub_row.bit_length() - 1

    def kept_of(self, channels: int) -> int:
        """Return the values that a row of so many channels keeps."""
        full, rest = divmod(channels, self.sub_row)
        return full * self.kept + min(rest, self.kept)

    def __str__(self) -> str:
        return f"{self.kept}:{self.sub_row}"


def parse_pattern(text: str) -> Pattern:
    """Return the pattern of a text "n:S".

    Raises:
        ValueError: it is none.
    """
    kept, colon, sub_row = text.partition(":")
    if not (colon and kept.isdecimal() and sub_row.isdecimal()):
        raise ValueError(f"a pattern must be n:S, for example 3:16, not '{text}'")
    return Pattern(int(kept), int(sub_row))


def sub_rows(weight: npt.NDArray[Any], sub_row: int) -> npt.NDArray[Any]:
    """Return (K, ceil(C/S), S, kh, kw), the last sub-row filled with zeros."""
    outputs, channels, *taps = weight.shape
    count = -(-channels // sub_row)
    padded = np.zeros((outputs, count * sub_row, *taps), dtype=weight.dtype)
    padded[:, :channels] = weight
    return padded.reshape(outputs, count, sub_row, *taps)


def project(saliency: npt.NDArray[Any], pattern: Pattern) -> Mask:
    """Return the mask (K, C, kh, kw) that keeps the n of greatest saliency in each sub-row, the first of equals."""
    cut = sub_rows(saliency.astype(np.float64) + 0.0, pattern.sub_row)
    channels = saliency.shape[1]
    padding = np.arange(cut.shape[1] * pattern.sub_row).reshape(cut.shape[1:3]) >= channels
    cut[:, padding] = -np.inf
    order = np.argsort(-cut, axis=2, kind="stable")
    mask = np.zeros(cut.shape, dtype=bool)
    np.put_along_axis(mask, order[:, :, : pattern.kept], True, axis=2)
    return mask.reshape(len(saliency), -1, *saliency.shape[2:])[:, :channels]


def most_in_sub_row(weight: npt.NDArray[Any], sub_row: int) -> npt.NDArray[np.int64]:
    """Return for each sub-row (ceil(C/S),) the greatest number of values that differ from 0, over channels and taps."""
    counts: Int64Array = np.count_nonzero(sub_rows(weight, sub_row), axis=2)
    most: Int64Array = counts.max(axis=(0, *range(2, counts.ndim)), initial=0)
    return most


def obeys(weight: npt.NDArray[Any], pattern: Pattern) -> bool:
    """Return whether no sub-row holds more than n values."""
    return int(most_in_sub_row(weight, pattern.sub_row).max(initial=0)) <= pattern.kept


@dataclass(frozen=True)
class Packed:
    """Sparse weights as streams.

    Attributes:
        values, indices: int64 (K, ceil(C/S), n, kh, kw); a sub-row of fewer than n values ends in zeros.
        shape: of the dense weights.
    """

    values: Int64Array
    indices: Int64Array
    shape: tuple[int, ...]


def pack(weight: Int64Array, pattern: Pattern) -> Packed:
    """Return the (value, index) streams of weights that obey a pattern; indices ascend.

    Raises:
        ValueError: a sub-row holds more than n values.
    """
    if not obeys(weight, pattern):
        most = int(most_in_sub_row(weight, pattern.sub_row).max())
        raise ValueError(f"a sub-row must hold at most {pattern.kept} values to be packed {pattern}, not {most}")
    cut = sub_rows(weight, pattern.sub_row)
    order = np.argsort(cut == 0, axis=2, kind="stable")[:, :, : pattern.kept]
    return Packed(np.take_along_axis(cut, order, axis=2), order.astype(np.int64), weight.shape)


def unpack(packed: Packed, pattern: Pattern) -> Int64Array:
    """Return the dense weights of packed ones."""
    outputs, count, _, *taps = packed.values.shape
    cut = np.zeros((outputs, count, pattern.sub_row, *taps), dtype=np.int64)
    np.put_along_axis(cut, packed.indices, packed.values, axis=2)
    return cut.reshape(outputs, count * pattern.sub_row, *taps)[:, : packed.shape[1]]


def storage_bits(shape: tuple[int, ...], pattern: Pattern | None, weight_bits: int) -> int:
    """Return the bits of weights (K, C, kh, kw): values, and their indices where there is a pattern."""
    outputs, channels, *taps = shape
    rows = outputs * int(np.prod(taps))
    if pattern is None:
        return rows * channels * weight_bits
    return rows * pattern.kept_of(channels) * (weight_bits + pattern.index_bits)
