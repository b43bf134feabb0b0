"""Conformance cases of concat: shapes, widths and corners that every level runs."""

from __future__ import annotations

from tests.conformance.casebook import Case, NetworkBuilder, finish
from toolflow.numerics.types import IntegerType
from toolflow.operators.max_pool.spec import MaxPool


def _case(widths: tuple[int, ...], nested: bool) -> Case:
    """Return a concat of branches of several widths, read by a pooling and a convolution."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((2, 5, 5), weight_bits, activation_bits, 8, seed, extreme)
        out = IntegerType(activation_bits, signed=False)
        stem = builder.conv("stem", "image", 6, 1, weight_bits=8, out=out)
        branches = tuple(
            builder.conv(f"branch{i}", stem, width, 1 + 2 * (i % 2), pads=(i % 2,) * 4, out=out)
            for i, width in enumerate(widths)
        )
        joined = builder.concat("joined", branches)
        if nested:
            joined = builder.concat("again", (joined, branches[0], stem))
        pooled = builder.max_pool("pool", joined, MaxPool((3, 3), (2, 2), (1, 1, 1, 1)))
        return finish(builder, builder.conv("conv", pooled, 9, 3, pads=(1, 1, 1, 1)))

    return Case(f"{widths},nested={nested}".replace(" ", ""), build)


CASES = (_case((8, 8), nested=False), _case((3, 10, 5), nested=False), _case((4, 7), nested=True))
