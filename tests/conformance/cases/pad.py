"""Conformance cases of padding: shapes, widths and corners that every level runs.

The passes leave no pad: they fold it into its reader, or write it as a convolution. A stored graph may have one.
"""

from __future__ import annotations

from tests.conformance.casebook import Case, NetworkBuilder, finish
from toolflow.numerics.types import IntegerType
from toolflow.operators.pad.spec import Pad


def _case(channels: int, op: Pad, signed: bool) -> Case:
    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((2, 5, 4), weight_bits, activation_bits, 8, seed, extreme)
        out = IntegerType(activation_bits, signed)
        source = builder.conv("conv", "image", channels, 1, weight_bits=8, out=out)
        return finish(builder, builder.conv("reader", builder.pad("pad", source, op), 7, 3))

    return Case(f"{channels}ch,{op.pads},{op.channels_before}+{op.channels_after},signed={signed}", build)


CASES = (
    _case(5, Pad((1, 0, 2, 1)), signed=True),
    _case(9, Pad((0, 0, 0, 0), 3, 6), signed=False),
    _case(4, Pad((1, 1, 1, 1), 0, 5), signed=True),
)
