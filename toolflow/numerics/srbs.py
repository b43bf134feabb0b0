"""Sub-row-balanced sparsity: n of every S consecutive input channels are kept, at every tap.

Weights are (K, C, kh, kw): spatial kernels, or Winograd's U with its t × t taps. A row of a tap is cut into sub-rows
of S channels (the last one may be shorter); each keeps at most n values. A kept value travels with its index inside
the sub-row. Under a pattern n:SxG, G neighbouring output channels keep the same places, and one index serves all G.

The taps of U share the pattern's values: all sub-rows of a tap keep the same number, but one tap may keep more than
another, n on average. A tile takes as many multiplications as with n at every tap, and loses much less accuracy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

Int64Array = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SHARING = (1, 2, 4)  # output channels that may share their places


@dataclass(frozen=True, order=True, repr=False)
class Pattern:
    """`kept` of every `sub_row` input channels, at the same places in each `outputs` neighbouring output channels.

    Its text is n:S, or n:SxG if G > 1 output channels share their places; in JSON it is [n, S] or [n, S, G].
    """

    kept: int
    sub_row: int
    outputs: int = 1

    def __post_init__(self) -> None:
        if self.sub_row < 1 or self.sub_row & (self.sub_row - 1):
            raise ValueError(f"S of a pattern n:S must be a power of two, not {self.sub_row}")
        if not 1 <= self.kept <= self.sub_row:
            raise ValueError(f"n of a pattern n:S must be 1 to S = {self.sub_row}, not {self.kept}")
        if self.outputs not in SHARING:
            raise ValueError(f"G of a pattern n:SxG must be 1, 2 or 4 output channels, not {self.outputs}")

    @property
    def density(self) -> float:
        """Kept values ÷ all values, if S divides the number of channels."""
        return self.kept / self.sub_row

    @property
    def index_bits(self) -> int:
        """Width of an index into a sub-row."""
        return self.sub_row.bit_length() - 1

    @property
    def numbers(self) -> list[int]:
        """The pattern as JSON holds it."""
        return [self.kept, self.sub_row, *([self.outputs] if self.outputs > 1 else [])]

    def __str__(self) -> str:
        return f"{self.kept}:{self.sub_row}" + (f"x{self.outputs}" if self.outputs > 1 else "")

    def __repr__(self) -> str:  # as JSON holds it: digests of graphs (`ir/store.py`) read it
        return f"({', '.join(map(str, self.numbers))})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> CoreSchema:
        """Tell pydantic the form that a pattern has in JSON."""
        from pydantic_core import core_schema

        numbers = core_schema.list_schema(core_schema.int_schema(), min_length=2, max_length=3)
        read = core_schema.no_info_after_validator_function(lambda found: cls(*found), numbers)
        return core_schema.json_or_python_schema(
            json_schema=read,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), read]),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda pattern: pattern.numbers),
        )


def parse_pattern(text: str) -> Pattern:
    """Return the pattern of a text "n:S" or "n:SxG".

    Raises:
        ValueError: the text is not a pattern.
    """
    found = re.fullmatch(r"(\d+):(\d+)(?:x(\d+))?", text, re.ASCII)
    if found is None:
        raise ValueError(f"a pattern must be n:S or n:SxG, for example 3:16 or 4:16x2, not '{text}'")
    return Pattern(*(int(number) for number in found.groups(default="1")))


def sub_rows(weight: npt.NDArray[Any], sub_row: int) -> npt.NDArray[Any]:
    """Return (K, ceil(C/S), S, kh, kw), the last sub-row filled with zeros."""
    outputs, channels, *taps = weight.shape
    count = -(-channels // sub_row)
    padded = np.zeros((outputs, count * sub_row, *taps), dtype=weight.dtype)
    padded[:, :channels] = weight
    return padded.reshape(outputs, count, sub_row, *taps)


def over_groups(weight: npt.NDArray[Any], outputs: int) -> npt.NDArray[Any]:
    """Return (ceil(K / outputs), C, kh, kw): the sums of (K, C, kh, kw) over each group of output channels."""
    if outputs == 1:
        return weight
    summed: npt.NDArray[Any] = np.add.reduceat(weight, np.arange(0, len(weight), outputs), axis=0)
    return summed


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


def worth_of(saliency: npt.NDArray[Any], sub_row: int, outputs: int = 1) -> npt.NDArray[np.float64]:
    """Return (S, kh, kw): the greatest, the second, .. saliency of a sub-row, summed over all.

    Args:
        saliency: (K, C, kh, kw).
        sub_row: S.
        outputs: output channels that share their places; the saliency of a place is the sum of theirs.
    """
    cut = sub_rows(over_groups(saliency.astype(np.float64), outputs), sub_row)
    summed: npt.NDArray[np.float64] = -np.sort(-cut, axis=2).sum(axis=(0, 1))
    return summed


def project(saliency: npt.NDArray[Any], pattern: Pattern, shares: Int64Array | None = None) -> Mask:
    """Return the mask (K, C, kh, kw) that keeps those of greatest saliency in each sub-row, the first of equals.

    Args:
        saliency: (K, C, kh, kw); output channels that share their places keep those of the greatest sum.
        pattern: n of every S.
        shares: how many each tap (kh, kw) keeps, in place of n.
    """
    cut = sub_rows(over_groups(saliency.astype(np.float64) + 0.0, pattern.outputs), pattern.sub_row)
    channels = saliency.shape[1]
    padding = np.arange(cut.shape[1] * pattern.sub_row).reshape(cut.shape[1:3]) >= channels
    cut[:, padding] = -np.inf
    rank = np.argsort(np.argsort(-cut, axis=2, kind="stable"), axis=2, kind="stable")
    mask: Mask = rank < (pattern.kept if shares is None else shares)
    of_groups = mask.reshape(len(cut), -1, *saliency.shape[2:])[:, :channels]
    whole: Mask = of_groups.repeat(pattern.outputs, axis=0)[: len(saliency)]
    return whole


def fullest(weight: npt.NDArray[Any], sub_row: int, outputs: int = 1) -> npt.NDArray[np.int64]:
    """Return for each sub-row and tap (ceil(C/S), kh, kw) the most places at which an output channel keeps a value.

    Args:
        weight: (K, C, kh, kw).
        sub_row: S.
        outputs: output channels that share their places: each has those of all its group.
    """
    counts: Int64Array = np.count_nonzero(sub_rows(over_groups(weight != 0, outputs), sub_row), axis=2)
    most: Int64Array = counts.max(axis=0, initial=0)
    return most


def shares_of(weight: npt.NDArray[Any], sub_row: int, outputs: int = 1) -> Int64Array:
    """Return how many places of a sub-row each tap (kh, kw) of sparse weights keeps, 1 at least; as `fullest`."""
    shares: Int64Array = np.maximum(fullest(weight, sub_row, outputs).max(axis=0), 1)
    return shares


def obeys(weight: npt.NDArray[Any], pattern: Pattern, shared: bool) -> bool:
    """Return whether no sub-row holds more than n values, or where the taps share, than its tap's share of them."""
    shares = shares_of(weight, pattern.sub_row, pattern.outputs)
    return bool(shares.mean() <= pattern.kept if shared else shares.max() <= pattern.kept)


def support(weight: npt.NDArray[Any], pattern: Pattern, shared: bool) -> Mask:
    """Return the mask (K, C, kh, kw) of what weights keep: their own where they obey the pattern, else the largest."""
    size = np.abs(weight)
    if not shared:
        return project(size, pattern)
    if obeys(weight, pattern, shared):
        return project(size, pattern, shares_of(weight, pattern.sub_row, pattern.outputs))
    return project(size, pattern, share_taps(worth_of(size, pattern.sub_row, pattern.outputs), pattern))


def kept_values(weight: npt.NDArray[Any], pattern: Pattern | None, shared: bool) -> int:
    """Return how many values weights (K, C, kh, kw) keep, those among them that are 0 counted too."""
    return int(weight.size) if pattern is None else len(weight) * _places(weight, pattern, shared)


def _places(weight: npt.NDArray[Any], pattern: Pattern, shared: bool) -> int:
    """Return at how many places each output channel of weights (K, C, kh, kw) keeps a value."""
    channels, *taps = weight.shape[1:]
    shares = shares_of(weight, pattern.sub_row, pattern.outputs) if shared else np.full(taps, pattern.kept)
    full, rest = divmod(channels, pattern.sub_row)
    return int((full * shares + np.minimum(rest, shares)).sum())


@dataclass(frozen=True)
class Packed:
    """Sparse weights as streams.

    Attributes:
        values: of each tap, row by row, int64 (K, ceil(C/S), n of the tap); a sub-row of fewer ends in zeros.
        indices: of each tap, (K / G, ceil(C/S), n of the tap): those of G output channels that share their places.
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
    shares = shares_of(weight, pattern.sub_row, pattern.outputs)
    if not obeys(weight, pattern, shared):
        found = f"{shares.mean():g} on average over the taps" if shared else str(shares.max())
        raise ValueError(f"a sub-row must hold at most {pattern.kept} values to be packed {pattern}, not {found}")
    cut = sub_rows(weight, pattern.sub_row)
    empty = sub_rows(over_groups(weight != 0, pattern.outputs), pattern.sub_row) == 0
    order = np.argsort(empty, axis=2, kind="stable").astype(np.int64)
    values = np.take_along_axis(cut, order.repeat(pattern.outputs, axis=0)[: len(cut)], axis=2)
    each = [(slice(None), slice(None), slice(int(n)), *tap) for tap, n in np.ndenumerate(shares)]
    return Packed(tuple(values[e] for e in each), tuple(order[e] for e in each), weight.shape)


def unpack(packed: Packed, pattern: Pattern) -> Int64Array:
    """Return the dense weights of packed ones."""
    sub_row = pattern.sub_row
    outputs, channels, *taps = packed.shape
    cut = np.zeros((outputs, -(-channels // sub_row), sub_row, *taps), dtype=np.int64)
    for tap, values, indices in zip(np.ndindex(*taps), packed.values, packed.indices, strict=True):
        np.put_along_axis(cut[(..., *tap)], indices.repeat(pattern.outputs, axis=0)[:outputs], values, axis=2)
    return cut.reshape(outputs, -1, *taps)[:, :channels]


def storage_bits(weight: npt.NDArray[Any], pattern: Pattern | None, shared: bool, weight_bits: int) -> int:
    """Return the bits of weights (K, C, kh, kw): values, and if there is a pattern, an index for each shared place."""
    values = kept_values(weight, pattern, shared) * weight_bits
    if pattern is None:
        return values
    return values + -(-len(weight) // pattern.outputs) * _places(weight, pattern, shared) * pattern.index_bits
