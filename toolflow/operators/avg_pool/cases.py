"""Conformance cases of average pooling: shapes, widths and corners that every level runs."""

from __future__ import annotations

from toolflow.numerics.types import IntegerType
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.casebook import Case, NetworkBuilder, finish


def _case(shape: tuple[int, int, int], channels: int, op: AvgPool, signed: bool) -> Case:
    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder(shape, weight_bits, activation_bits, 8, seed, extreme)
        out = IntegerType(activation_bits, signed)
        source = builder.conv("conv", "image", channels, 1, weight_bits=8, out=out)
        return finish(builder, builder.avg_pool("pool", source, op))

    return Case(f"{channels}ch,{op.kernel},{op.stride},{op.pads},signed={signed}", build)


CASES = (
    _case((2, 5, 5), 9, AvgPool((5, 5), (5, 5)), signed=False),
    _case((1, 6, 7), 4, AvgPool((2, 2), (2, 2)), signed=True),
    _case((3, 5, 6), 18, AvgPool((3, 3), (1, 2), (1, 1, 1, 1)), signed=False),
)
