"""Conformance cases of average pooling: shapes, widths and corners that every level runs."""

from __future__ import annotations

from tests.conformance.casebook import Case, NetworkBuilder, finish
from toolflow.numerics.types import IntegerType
from toolflow.operators.avg_pool.spec import AvgPool


def _case(shape: tuple[int, int, int], channels: int, op: AvgPool, signed: bool, alike: bool = False) -> Case:
    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder(shape, weight_bits, activation_bits, 8, seed, extreme)
        out = IntegerType(activation_bits, signed)
        source = builder.conv("conv", "image", channels, 1, weight_bits=8, out=out)
        return finish(builder, builder.avg_pool("pool", source, op, alike=alike))

    counted = "" if op.count_include_pad else ",uncounted"
    ceil = ",ceil" if op.ceil_mode else ""
    name = f"{channels}ch,{op.kernel},{op.stride},{op.pads}{counted}{ceil},signed={signed}{',alike' if alike else ''}"
    return Case(name, build)


def _joined() -> Case:
    """Return a concat of two pools with edges: the distance of their pixels is larger than their own words."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((2, 5, 6), weight_bits, activation_bits, 8, seed, extreme)
        out = IntegerType(activation_bits, signed=False)
        source = builder.conv("conv", "image", 9, 1, weight_bits=8, out=out)
        op = AvgPool((3, 3), (1, 1), (1, 1, 1, 1), count_include_pad=False)
        pools = (builder.avg_pool("left", source, op, out), builder.avg_pool("right", source, op, out))
        return finish(builder, builder.concat("joined", pools))

    return Case("two uncounted side by side", build)


CASES = (
    _case((2, 5, 5), 9, AvgPool((5, 5), (5, 5)), signed=False),
    _case((1, 6, 7), 4, AvgPool((2, 2), (2, 2)), signed=True),
    _case((3, 5, 6), 18, AvgPool((3, 3), (1, 2), (1, 1, 1, 1)), signed=False),
    _case((3, 5, 6), 18, AvgPool((3, 3), (1, 1), (1, 1, 1, 1), count_include_pad=False), signed=True),
    _case((2, 8, 7), 5, AvgPool((5, 3), (2, 3), (2, 0, 1, 1), count_include_pad=False), signed=False),
    _case((2, 7, 8), 4, AvgPool((2, 3), (2, 2), ceil_mode=True), signed=False),
    _case((1, 4, 4), 3, AvgPool((3, 3), (2, 2), (1, 1, 1, 1), ceil_mode=True), signed=True),
    _case((2, 2, 1), 3, AvgPool((3, 3), (1, 1), (1, 1, 1, 1), count_include_pad=False), signed=False),
    _case((2, 4, 5), 18, AvgPool((4, 5), (1, 1)), signed=False, alike=True),
    _case((3, 5, 6), 33, AvgPool((3, 3), (2, 1), (1, 1, 1, 1)), signed=True, alike=True),
    _joined(),
)
