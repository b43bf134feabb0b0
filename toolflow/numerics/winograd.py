"""Winograd convolution in integers: F(2x2,3x3) and F(4x4,3x3) with scaled transforms.

A tile of m × m outputs reads t × t inputs, t = m + 2. With the matrices of `Winograd`:

    V = input · d · inputᵀ        U = weight · g · weightᵀ        Y = output · (U ∘ V) · outputᵀ

Every matrix is integer, and Y is exactly `scale` times the direct convolution. The rows of the usual weight
transform are scaled by (1, 2, 2, 1) and (4, 6, 6, 24, 24, 1), and the columns of the output transform take in the
rest, so that each tap's U is as narrow as it can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from toolflow.numerics.accumulator import accumulator_bits
from toolflow.numerics.types import IntegerType, smallest_signed_bits

Int64Array = npt.NDArray[np.int64]

KERNEL = 3
MAX_EXPONENT = 7  # of a tap: the left shift that aligns its sum with the others'


@dataclass(frozen=True, eq=False)
class Winograd:
    """The transforms of one tile size; there is one object of each.

    Attributes:
        tile: m, outputs of a tile in each direction.
        input: int64 (t, t), Bᵀ.
        weight: int64 (t, 3), G with its rows scaled to integers.
        output: int64 (m, t), Aᵀ with its columns scaled.
        scale: Y / direct convolution.
    """

    tile: int
    input: Int64Array
    weight: Int64Array
    output: Int64Array
    scale: int

    @property
    def taps(self) -> int:
        """t, the inputs of a tile in each direction."""
        return self.tile + KERNEL - 1

    def tiles(self, height: int, width: int) -> tuple[int, int]:
        """Return how many tiles cover an output map, in each direction."""
        return -(-height // self.tile), -(-width // self.tile)


def _matrix(*rows: tuple[int, ...]) -> Int64Array:
    return np.array(rows, dtype=np.int64)


F2 = Winograd(
    tile=2,
    input=_matrix((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    weight=_matrix((1, 0, 0), (1, 1, 1), (1, -1, 1), (0, 0, 1)),
    output=_matrix((2, 1, 1, 0), (0, 1, -1, -2)),
    scale=4,
)
F4 = Winograd(
    tile=4,
    input=_matrix(
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    weight=_matrix((1, 0, 0), (-1, -1, -1), (-1, 1, -1), (1, 2, 4), (1, -2, 4), (0, 0, 1)),
    output=_matrix((6, 4, 4, 1, 1, 0), (0, 4, -4, 2, -2, 0), (0, 4, 4, 4, 4, 0), (0, 4, -4, 8, -8, 24)),
    scale=576,
)
WINOGRAD: Mapping[int, Winograd] = {2: F2, 4: F4}


@cache  # planners ask for every shape of an engine
def transformed_range(form: Winograd, operand: IntegerType) -> tuple[int, int]:
    """Return the smallest and the largest V, over all taps, that tiles of operands give."""
    tap = np.einsum("ya,xb->yxab", form.input, form.input)
    positive = np.where(tap > 0, tap, 0).sum(axis=(2, 3))
    negative = np.where(tap < 0, tap, 0).sum(axis=(2, 3))
    high = positive * operand.upper + negative * operand.lower
    low = positive * operand.lower + negative * operand.upper
    return int(low.min()), int(high.max())


def transformed_type(form: Winograd, operand: IntegerType) -> IntegerType:
    """Return the narrowest signed type that holds V for every tile of operands."""
    return IntegerType(smallest_signed_bits(*transformed_range(form, operand)), signed=True)


def effective_kernels(form: Winograd, weight: Int64Array, exponent: Int64Array) -> Iterator[Int64Array]:
    """Yield for each of a tile's m·m outputs what it is of the inputs: int64 (K, C, t, t).

    Y[k] = Σ over c, r, s of kernel[k, c, r, s] · d[c, r, s], whatever U is; a pruned U is no 3 × 3 kernel.

    Args:
        form: the transforms.
        weight: U (K, C, t, t).
        exponent: (t, t), the left shift of each tap.
    """
    aligned = (weight << exponent).reshape(-1, form.taps**2).astype(np.float64)  # below 2^53: exact
    for row in form.output:
        for column in form.output:
            taps = np.einsum("y,x,yr,xs->yxrs", row, column, form.input, form.input)
            kernel = aligned @ taps.reshape(form.taps**2, -1).astype(np.float64)
            yield kernel.astype(np.int64).reshape(weight.shape)


def output_bits(form: Winograd, weight: Int64Array, exponent: Int64Array, operand: IntegerType) -> int:
    """Return the width in which every Y fits, whatever the tile holds."""
    return max(accumulator_bits(kernel, operand) for kernel in effective_kernels(form, weight, exponent))
