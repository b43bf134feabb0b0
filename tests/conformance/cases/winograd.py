"""Conformance cases of Winograd convolution: tiles, patterns, edges, and programs that change the mode."""

from __future__ import annotations

from typing import Any

from tests.conformance.casebook import SAME, Case, NetworkBuilder, finish
from toolflow.numerics.digits import digit_range
from toolflow.numerics.srbs import Pattern
from toolflow.numerics.types import IntegerType

# Limits of weights that are cut into digits of 4 bits: two digits, all of whose bits are used, or three of -128 to 127.
# Engines of 8 bits cut the first in two as well.
TWO_DIGITS = digit_range(2, 4)
EIGHT_BITS = (-128, 127)


def _case(
    shape: tuple[int, int, int],
    inner: int,
    channels: int,
    tile: int,
    pattern: Pattern | None = None,
    signed: bool = False,
    **attributes: Any,
) -> Case:
    """Return a case: a direct convolution on the image, the one under test, and the classifier."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder(shape, weight_bits, activation_bits, 8, seed, extreme)
        kind = IntegerType(activation_bits, signed)
        first = builder.conv("first", "image", inner, 1, weight_bits=8, out=kind)
        return finish(builder, builder.winograd("winograd", first, channels, tile, pattern=pattern, **attributes))

    text = ",".join(f"{key}={value}".replace(" ", "") for key, value in attributes.items())
    name = f"{shape}to{inner}to{channels},F{tile}".replace(" ", "")
    return Case(f"{name},{pattern or 'dense'},{'signed' if signed else 'unsigned'},{text}", build, tile)


def _modes(tile: int) -> Case:
    """Return a network of direct, dense Winograd and sparse layers, with a residual that a tile's outputs add."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((3, 7, 6), weight_bits, activation_bits, 8, seed, extreme)
        inner = IntegerType(activation_bits, signed=False)
        a = builder.conv("a", "image", 10, 3, weight_bits=8, pads=SAME, out=inner)
        b = builder.winograd("b", a, 12, tile, pattern=Pattern(2, 8), pads=SAME, out=inner)
        c = builder.conv("c", b, 10, 1, pattern=Pattern(1, 4, 4), out=inner)
        d = builder.winograd("d", c, 10, tile, pads=SAME, residual=a)
        e = builder.conv("e", d, 9, 3, pattern=Pattern(3, 8), stride=(2, 2), pads=SAME)
        return finish(builder, builder.winograd("f", e, 6, 2, pattern=Pattern(1, 8, 2), pads=SAME, out=inner))

    return Case(f"modes,F{tile}", build, tile)


def _wide_modes(tile: int) -> Case:
    """Return a network of dense and sparse tiles of wide and of narrow weights, between direct layers of either."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((3, 6, 5), weight_bits, activation_bits, 8, seed, extreme)
        inner = IntegerType(activation_bits, signed=False)
        a = builder.conv("a", "image", 10, 3, weight_bits=8, pads=SAME, out=inner)
        b = builder.winograd("b", a, 9, tile, limits=TWO_DIGITS, pads=SAME, out=inner)
        c = builder.conv("c", b, 10, 1, weight_bits=8, out=inner)
        d = builder.winograd("d", c, 16, tile, pads=SAME, out=inner)
        e = builder.winograd("e", d, 10, 2, pattern=Pattern(3, 8), limits=EIGHT_BITS, pads=SAME, residual=a)
        return finish(builder, builder.conv("f", e, 6, 3, pattern=Pattern(3, 8), stride=(2, 2)))

    return Case(f"wide modes,F{tile}", build, tile)


CASES = (
    _case((2, 4, 4), 5, 6, 2, pads=SAME),
    _case((2, 5, 7), 9, 17, 2, signed=True, pads=SAME),
    _case((3, 6, 5), 16, 8, 2, Pattern(3, 16), pads=SAME),
    _case((3, 5, 5), 20, 10, 2, Pattern(1, 8), signed=True, pads=(2, 0, 1, 3)),
    _case((1, 3, 3), 4, 3, 2, Pattern(2, 4)),
    _case((2, 4, 4), 5, 6, 4, pads=SAME),
    _case((2, 6, 9), 11, 9, 4, signed=True, pads=SAME),
    _case((3, 7, 5), 16, 18, 4, Pattern(3, 16), pads=SAME),
    _case((3, 9, 4), 20, 5, 4, Pattern(2, 8), signed=True, pads=(0, 2, 1, 1)),
    _case((2, 1, 1), 6, 4, 4, Pattern(1, 2), pads=SAME),
    _modes(2),
    _modes(4),
    _case((3, 5, 5), 9, 10, 2, signed=True, pads=SAME, limits=TWO_DIGITS),
    _case((3, 4, 6), 16, 7, 2, Pattern(3, 8), pads=SAME, limits=EIGHT_BITS),
    _case((3, 6, 5), 11, 9, 4, pads=SAME, limits=TWO_DIGITS),
    _case((2, 5, 4), 20, 5, 4, Pattern(2, 8), signed=True, pads=(0, 2, 1, 1), limits=EIGHT_BITS),
    # every weight the most negative, or the most positive
    _case((2, 4, 5), 8, 6, 4, pads=SAME, limits=TWO_DIGITS[:1] * 2),
    _case((2, 4, 5), 8, 6, 4, Pattern(4, 8), pads=SAME, limits=TWO_DIGITS[1:] * 2),
    _case((2, 5, 4), 8, 6, 2, pads=SAME, limits=TWO_DIGITS[1:] * 2),
    _case((2, 5, 4), 8, 6, 2, Pattern(4, 8), pads=SAME, limits=TWO_DIGITS[:1] * 2),
    _wide_modes(2),
    _wide_modes(4),
)
