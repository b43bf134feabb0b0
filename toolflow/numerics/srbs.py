"""Sub-row-balanced sparsity: n of every S consecutive input channels are kept, at every tap.

Weights are (K, C, kh, kw): spatial kernels, or Winograd's U with its t × t taps. A row of a tap is cut into sub-rows
of S channels (the last one may be shorter); each keeps at most n values. A kept value travels with its index inside
the sub-row.

The taps of U share the pattern's values: all sub-rows of a tap keep the same number, but one tap may keep more than
another, n on average. A tile takes as many multiplications as with n at every tap, and loses much less accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

Int64Array = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, order=True, repr=False)
class Pattern:
    """`kept` of every `sub_row` consecutive input channels; in JSON the pair [kept, sub_row]."""

    kept: int
    sub_row: int

    def __post_init__(self) -> None:
        if self.sub_row < 1 or self.sub_row & (self.sub_row - 1):
            raise ValueError(f"S of a pattern n:S must be a power of two, not {self.sub_row}")
        if not 1 <= self.kept <= self.sub_row:
            raise ValueError(f"n of a pattern n:S must be 1 to S = {self.sub_row}, not {self.kept}")

    @property
    def density(self) -> float:
        """Kept values ÷ all values, if S divides the number of channels."""
        return self.kept / self.sub_row

    @property
    def index_bits(self) -> int:
        """Width of an index into a sub-row."""
        return self.sub_row.bit_length() - 1

    def __str__(self) -> str:
        return f"{self.kept}:{self.sub_row}"

    def __repr__(self) -> str:  # as JSON holds it: digests of graphs (`ir/store.py`) read it
        return f"({self.kept}, {self.sub_row})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> CoreSchema:
        """Tell pydantic the form that a pattern has in JSON."""
        from pydantic_core import core_schema

        pair = core_schema.tuple_schema([core_schema.int_schema(), core_schema.int_schema()])
        read = core_schema.no_info_after_validator_function(lambda numbers: cls(*numbers), pair)
        return core_schema.json_or_python_schema(
            json_schema=read,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), read]),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda pattern: [pattern.kept, pattern.sub_row]
            ),
        )


def parse_pattern(text: str) -> Pattern:
    """Return the pattern of a text "n:S".

    Raises:
        ValueError: the text is not a pattern.
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


def share_taps(worth: npt.NDArray[Any], pattern: Pattern) -> Int64Array:
    """Return how many values each tap (kh, kw) keeps in a sub-row: n on average, 1 at least, where they are worth most.

    Args:
        worth: (S, kh, kw), what the first, second, .. value of a sub-row is worth at each tap, all sub-rows together;
            never more than the one before it.
        pattern: n of every S.
    """
    taps = worth.shape[1:]
    further = worth[1:].reshape(-1)
    taken = np.zeros(further.shape, dtype=np.int64)
    taken[np.argsort(-further, kind="stable")[: (pattern.kept - 1) * int(np.prod(taps))]] = 1
    shares: Int64Array = 1 + taken.reshape(-1, *taps).sum(axis=0)
    return shares


def worth_of(saliency: npt.NDArray[Any], sub_row: int) -> npt.NDArray[np.float64]:
    """Return (S, kh, kw): the greatest, the second, .. saliency (K, C, kh, kw) of a sub-row, summed over all."""
    cut = sub_rows(saliency.astype(np.float64), sub_row)
    summed: npt.NDArray[np.float64] = -np.sort(-cut, axis=2).sum(axis=(0, 1))
    return summed


def project(saliency: npt.NDArray[Any], pattern: Pattern, shares: Int64Array | None = None) -> Mask:
    """Return the mask (K, C, kh, kw) that keeps those of greatest saliency in each sub-row, the first of equals.

    Args:
        saliency: (K, C, kh, kw).
        pattern: n of every S.
        shares: how many each tap (kh, kw) keeps, in place of n.
    """
    cut = sub_rows(saliency.astype(np.float64) + 0.0, pattern.sub_row)
    channels = saliency.shape[1]
    padding = np.arange(cut.shape[1] * pattern.sub_row).reshape(cut.shape[1:3]) >= channels
    cut[:, padding] = -np.inf
    rank = np.argsort(np.argsort(-cut, axis=2, kind="stable"), axis=2, kind="stable")
    mask: Mask = rank < (pattern.kept if shares is None else shares)
    return mask.reshape(len(saliency), -1, *saliency.shape[2:])[:, :channels]


def fullest(weight: npt.NDArray[Any], sub_row: int) -> npt.NDArray[np.int64]:
    """Return for each sub-row and tap (ceil(C/S), kh, kw) the most values of an output channel that differ from 0."""
    counts: Int64Array = np.count_nonzero(sub_rows(weight, sub_row), axis=2)
    most: Int64Array = counts.max(axis=0, initial=0)
    return most


def shares_of(weight: npt.NDArray[Any], sub_row: int) -> Int64Array:
    """Return how many values each tap (kh, kw) of sparse weights keeps in a sub-row, 1 at least."""
    shares: Int64Array = np.maximum(fullest(weight, sub_row).max(axis=0), 1)
    return shares


def obeys(weight: npt.NDArray[Any], pattern: Pattern, shared: bool) -> bool:
    """Return whether no sub-row holds more than n values, or where the taps share, than its tap's share of them."""
    shares = shares_of(weight, pattern.sub_row)
    return bool(shares.mean() <= pattern.kept if shared else shares.max() <= pattern.kept)


def support(weight: npt.NDArray[Any], pattern: Pattern, shared: bool) -> Mask:
    """Return the mask (K, C, kh, kw) of what weights keep: their own where they obey the pattern, else the largest."""
    size = np.abs(weight)
    if not shared:
        return project(size, pattern)
    own = shares_of(weight, pattern.sub_row)
    return project(
        size, pattern, own if obeys(weight, pattern, shared) else share_taps(worth_of(size, pattern.sub_row), pattern)
    )


def kept_values(weight: npt.NDArray[Any], pattern: Pattern | None, shared: bool) -> int:
    """Return how many values weights (K, C, kh, kw) keep, those among them that are 0 counted too."""
    if pattern is None:
        return int(weight.size)
    outputs, channels, *taps = weight.shape
    shares = shares_of(weight, pattern.sub_row) if shared else np.full(taps, pattern.kept)
    full, rest = divmod(channels, pattern.sub_row)
    return int(outputs * (full * shares + np.minimum(rest, shares)).sum())


@dataclass(frozen=True)
class Packed:
    """Sparse weights as streams.

    Attributes:
        values, indices: of each tap, row by row, int64 (K, ceil(C/S), n of the tap); a sub-row of fewer ends in zeros.
        shape: of the dense weights.
    """

    values: tuple[Int64Array, ...]
    indices: tuple[Int64Array, ...]
    shape: tuple[int, ...]


def pack(weight: Int64Array, pattern: Pattern, shared: bool) -> Packed:
    """Return the (value, index) streams of weights that obey a pattern; indices ascend.

    Raises:
        ValueError: a sub-row holds more values than it may.
    """
    shares = shares_of(weight, pattern.sub_row)
    if not obeys(weight, pattern, shared):
        found = f"{shares.mean():g} on average over the taps" if shared else str(shares.max())
        raise ValueError(f"a sub-row must hold at most {pattern.kept} values to be packed {pattern}, not {found}")
    cut = sub_rows(weight, pattern.sub_row)
    order = np.argsort(cut == 0, axis=2, kind="stable").astype(np.int64)
    values = np.take_along_axis(cut, order, axis=2)
    each = [(slice(None), slice(None), slice(int(n)), *tap) for tap, n in np.ndenumerate(shares)]
    return Packed(tuple(values[e] for e in each), tuple(order[e] for e in each), weight.shape)


def unpack(packed: Packed, sub_row: int) -> Int64Array:
    """Return the dense weights of packed ones."""
    outputs, channels, *taps = packed.shape
    cut = np.zeros((outputs, -(-channels // sub_row), sub_row, *taps), dtype=np.int64)
    for tap, values, indices in zip(np.ndindex(*taps), packed.values, packed.indices, strict=True):
        np.put_along_axis(cut[(..., *tap)], indices, values, axis=2)
    return cut.reshape(outputs, -1, *taps)[:, :channels]


def storage_bits(weight: npt.NDArray[Any], pattern: Pattern | None, shared: bool, weight_bits: int) -> int:
    """Return the bits of weights (K, C, kh, kw): values, and their indices if there is a pattern."""
    each = weight_bits + (0 if pattern is None else pattern.index_bits)
    return kept_values(weight, pattern, shared) * each
