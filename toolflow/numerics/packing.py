"""Several products in one DSP block: where their fields lie, how many may be summed, how they are taken apart.

A block multiplies a wide and a narrow signed operand. With two weights w, or two operands a (elements of two
positions), or both, it makes all their products at once:

    (w[0] + w[1]·2^weight_step) · (a[0] + a[1]·2^operand_step) = Σ w[i]·a[j] · 2^(i·weight_step + j·operand_step)

A field is as wide as the smaller of the steps. Fields are signed: a negative one borrows from the one above it, and
`take_apart` gives the borrow back. Sums of packed products are packed sums, until a field no longer fits; `chain` says
how many products may be added before. Every bound is exact: the extremes of all operands, not their widths.

A block of an engine with two precisions makes two products of a wide program, as pack_k=2 pack_p=1, and four of a
narrow one, as pack_k=2 pack_p=2. In both the weights are on the block's wide port, so that only their step and the
places of the fields change. With operands of either sign (`all` weights are taken, or all but the smallest):

    block    program              weight_step  operand_step  chain        weights
    dsp48e1  wide, 8 bits         16           -             up to 1      all
    dsp48e1  wide, 8 bits         17           -             up to 2      without -128
    dsp48e1  narrow, 4 bits       20           10            up to 4      all
    dsp48e2  wide, 8 bits         18           -             up to 4      all
    dsp48e2  wide, 8 bits         19           -             up to 8      without -128
    dsp48e2  narrow, 4 bits       22           11            up to 8      all
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from toolflow.numerics.types import smallest_signed_bits

ENDLESS = 64  # a chain so long is longer than any engine's: messages give no number


@dataclass(frozen=True)
class Interval:
    """All integers from `lower` to `upper`."""

    lower: int
    upper: int

    def __mul__(self, other: Interval) -> Interval:
        """Return the range of the products."""
        corners = [a * b for a in (self.lower, self.upper) for b in (other.lower, other.upper)]
        return Interval(min(corners), max(corners))

    def fits(self, bits: int) -> bool:
        """Return whether two's complement of so many bits holds every integer."""
        return -(1 << (bits - 1)) <= self.lower and self.upper < 1 << (bits - 1)

    def most(self, bits: int) -> int:
        """Return how many of these integers may be summed in so many bits of two's complement."""
        half = 1 << (bits - 1)
        down = half // -self.lower if self.lower < 0 else half
        up = (half - 1) // self.upper if self.upper > 0 else half
        return min(down, up)


@dataclass(frozen=True)
class Primitive:
    """A DSP block as a multiplier of two signed operands.

    Attributes:
        wide, narrow: bits of its two operands.
        product: bits of its result, in which products are summed.
    """

    wide: int
    narrow: int
    product: int


PRIMITIVES: Mapping[str, Primitive] = {
    "dsp48e1": Primitive(25, 18, 48),
    "dsp48e2": Primitive(27, 18, 48),
    "mult18x18d": Primitive(18, 18, 36),
}


@dataclass(frozen=True)
class Packing:
    """How the products of one block share its operands and its result.

    Attributes:
        weight_step, operand_step: bits from one weight, or operand, to the next; 0 if there is one.
        weights: the weights that it takes.
        operands: the operands that it takes.
        chain: the largest number of packed products that may be summed before they are taken apart.
    """

    weight_step: int
    operand_step: int
    weights: Interval
    operands: Interval
    chain: int

    @property
    def spacing(self) -> int:
        """Bits of a field; 0 if there is one product."""
        return min((step for step in (self.weight_step, self.operand_step) if step), default=0)

    @property
    def weight_bits(self) -> int:
        """Bits of the packed weights, signed."""
        return _bits(_packed(self.weights, self.weight_step))

    @property
    def operand_bits(self) -> int:
        """Bits of the packed operands, signed."""
        return _bits(_packed(self.operands, self.operand_step))

    @property
    def shifts(self) -> tuple[int, ...]:
        """The place of each field, lowest first."""
        return tuple(sorted({w + a for w in {0, self.weight_step} for a in {0, self.operand_step}}))

    def multiply(self, weights: Sequence[int], operands: Sequence[int]) -> int:
        """Return the packed product of one weight or two and one operand or two."""
        packed_weight = sum(w << i * self.weight_step for i, w in enumerate(weights))
        return packed_weight * sum(a << j * self.operand_step for j, a in enumerate(operands))

    def take_apart(self, packed: int) -> tuple[int, ...]:
        """Return the sums in the fields of a packed sum, lowest first.

        The last field is whatever is left; each other one is `spacing` bits, signed.
        """
        fields = []
        for _ in self.shifts[:-1]:
            half = 1 << (self.spacing - 1)
            fields.append(((packed + half) & (2 * half - 1)) - half)
            packed = (packed - fields[-1]) >> self.spacing
        return (*fields, packed)


def one_product(weight_bits: int, operands: Interval) -> Packing:
    """Return the packing of a multiplier that synthesis infers: one product, no chain."""
    return Packing(0, 0, all_weights(weight_bits), operands, 1)


@cache  # planners ask for every shape of an engine
def packing_of(
    primitive: str,
    weight_bits: int,
    operands: Interval,
    pack_k: int,
    pack_p: int,
    chain: int,
    weights_wide: bool = False,
) -> Packing:
    """Return the packing of `pack_k` weights and `pack_p` operands whose sums of `chain` products can be taken apart.

    Fields lie as far apart as the block allows. If that is not enough for the chain, the smallest weight,
    −2^(weight_bits − 1), is excluded: the others are symmetric, and leave room for one bit more.

    Args:
        primitive: a name of `PRIMITIVES`.
        weight_bits: width of a weight, signed.
        operands: what a weight may meet.
        pack_k: weights of a block, 1 or 2.
        pack_p: operands of a block, 1 or 2.
        chain: packed products that are summed.
        weights_wide: whether the weights must be on the wide port; otherwise they are on either.

    Raises:
        ValueError: the block takes no such packing; the text says which it takes.
    """
    for packing in _packings(primitive, weight_bits, operands, pack_k, pack_p, weights_wide):
        if packing.chain >= chain:
            return packing
    others = ", ".join(
        f"pack_k={k} pack_p={p} with {f'chains of up to {most}' if most < ENDLESS else 'any chain'}"
        for (k, p), most in longest_chains(primitive, weight_bits, operands, weights_wide=weights_wide).items()
    )
    raise ValueError(
        f"{primitive} does not take pack_k={pack_k} pack_p={pack_p} with chain={chain} for weights of {weight_bits} "
        f"bits and operands from {operands.lower} to {operands.upper}: it takes {others or 'no such product at all'}"
    )


@cache
def longest_chains(
    primitive: str, weight_bits: int, operands: Interval, every_weight: bool = False, weights_wide: bool = False
) -> Mapping[tuple[int, int], int]:
    """Return the longest chain of each (pack_k, pack_p) that a primitive takes, without excluding a weight if asked."""
    found = {}
    for pack in product((1, 2), (1, 2)):
        packings = _packings(primitive, weight_bits, operands, *pack, weights_wide)
        chains = [p.chain for p in packings if not every_weight or p.weights == all_weights(weight_bits)]
        if chains:
            found[pack] = max(chains)
    return found


def all_weights(weight_bits: int) -> Interval:
    """Return every weight of so many bits."""
    return Interval(-(1 << (weight_bits - 1)), (1 << (weight_bits - 1)) - 1)


@cache
def _packings(
    primitive: str, weight_bits: int, operands: Interval, pack_k: int, pack_p: int, weights_wide: bool
) -> tuple[Packing, ...]:
    """Return the packings that a block takes: first those of every weight, then those of symmetric weights only.

    Of each, those with the longest chain come first.
    """
    block, full = PRIMITIVES[primitive], all_weights(weight_bits)
    symmetric = Interval(-full.upper, full.upper)
    found = []
    for weights in (full, symmetric):
        packings = [
            Packing(weight_step, operand_step, weights, operands, chain)
            for weight_step, operand_step in _steps(block, pack_k, pack_p)
            if (chain := _chain(block, weights, operands, weight_step, operand_step, weights_wide))
        ]
        found += sorted(packings, key=lambda packing: -packing.chain)
    return tuple(found)


def _steps(block: Primitive, pack_k: int, pack_p: int) -> Iterator[tuple[int, int]]:
    """Yield (weight_step, operand_step) of fields of every width, the widest first."""
    if (pack_k, pack_p) == (1, 1):
        yield 0, 0
        return
    for spacing in range(block.wide, 0, -1):
        if pack_k == pack_p == 2:
            yield spacing, 2 * spacing
            yield 2 * spacing, spacing
        else:
            yield spacing * (pack_k - 1), spacing * (pack_p - 1)


def _chain(
    block: Primitive, weights: Interval, operands: Interval, weight_step: int, operand_step: int, weights_wide: bool
) -> int:
    """Return how many packed products may be summed; 0 if the block does not even take one."""
    packed_weight, packed_operand = _packed(weights, weight_step), _packed(operands, operand_step)
    ports = (block.wide, block.narrow)
    choices = (ports,) if weights_wide else (ports, ports[::-1])
    if not any(packed_weight.fits(a) and packed_operand.fits(b) for a, b in choices):
        return 0
    chain = (packed_weight * packed_operand).most(block.product)
    if spacing := min((step for step in (weight_step, operand_step) if step), default=0):
        chain = min(chain, (weights * operands).most(spacing))
    return chain


def _bits(values: Interval) -> int:
    return smallest_signed_bits(values.lower, values.upper)


def _packed(values: Interval, step: int) -> Interval:
    """Return the range of two of these values, `step` bits apart, or of one if `step` is 0."""
    both = 1 + (1 << step) if step else 1
    return Interval(both * values.lower, both * values.upper)
