"""Conformance cases of max pooling: shapes, widths and corners that every level runs."""

from __future__ import annotations

from tests.conformance.casebook import Case, NetworkBuilder, finish
from toolflow.numerics.types import IntegerType
from toolflow.operators.max_pool.spec import MaxPool


def _case(shape: tuple[int, int, int], channels: int, op: MaxPool, signed: bool) -> Case:
    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder(shape, weight_bits, activation_bits, 8, seed, extreme)
        out = IntegerType(activation_bits, signed)
        source = builder.conv("conv", "image", channels, 1, weight_bits=8, out=out)
        return finish(builder, builder.max_pool("pool", source, op))

    return Case(f"{channels}ch,{op.kernel},{op.stride},{op.pads},ceil={op.ceil_mode},signed={signed}", build)


CASES = (
    _case((1, 6, 6), 5, MaxPool((2, 2), (2, 2)), signed=False),
    _case((2, 7, 5), 10, MaxPool((3, 3), (2, 2), (1, 1, 1, 1)), signed=True),
    _case((3, 8, 7), 17, MaxPool((3, 3), (2, 2), ceil_mode=True), signed=False),
    _case((1, 6, 5), 3, MaxPool((2, 3), (1, 2), (1, 0, 0, 1), (2, 1)), signed=True),
)
