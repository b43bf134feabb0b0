"""Conformance networks of many layers that together hold every mode × every n of n:S × every weight width."""

from __future__ import annotations

from itertools import product

from tests.conformance.casebook import SAME, Case, NetworkBuilder, finish, symmetric
from toolflow.numerics.srbs import Pattern
from toolflow.numerics.types import IntegerType

MODES = ("3x3", "1x1", "F2", "F4")
WIDTHS = range(2, 9)


def sweep(sub_row: int, tile: int) -> tuple[Case, ...]:
    """Return networks that together hold a layer of every mode with every n of n:S, 0 for dense, and every width.

    One layer has the next width after the other; the networks begin with different ones.
    """
    return tuple(_network(sub_row, tile, first) for first in WIDTHS)


def _network(sub_row: int, tile: int, first: int) -> Case:
    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((2, 3, 2), weight_bits, activation_bits, 8, seed, extreme)
        channels = sub_row + -(-sub_row // 2)  # the last sub-row is short
        at = builder.conv("first", "image", channels, 1, weight_bits=8)
        for number, (kept, mode) in enumerate(product(range(sub_row + 1), MODES[: 2 + tile // 2])):
            pattern = Pattern(kept, sub_row) if kept else None
            bits = WIDTHS[(number + first) % len(WIDTHS)]
            out = IntegerType(max(activation_bits - number % 3, 2), signed=bool(number % 2))
            name = f"{mode}_{kept}_W{bits}"
            if mode.startswith("F"):
                m, limits = int(mode[1]), symmetric(bits)
                at = builder.winograd(name, at, channels, m, pattern=pattern, limits=limits, pads=SAME, out=out)
            else:
                kernel, pads = (3, SAME) if mode == "3x3" else (1, (0, 0, 0, 0))
                at = builder.conv(name, at, channels, kernel, pattern=pattern, weight_bits=bits, pads=pads, out=out)
        return finish(builder, at)

    return Case(f"every n:{sub_row},F{tile},from W{first}", build, tile)
