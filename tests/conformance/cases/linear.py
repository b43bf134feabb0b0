"""Conformance cases of fully connected layers: shapes, widths and corners that every level runs."""

from __future__ import annotations

from tests.conformance.casebook import Case, NetworkBuilder, finish
from toolflow.numerics.types import IntegerType


def _case(shape: tuple[int, int, int], hidden: tuple[int, ...], classes: int) -> Case:
    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder(shape, weight_bits, activation_bits, 8, seed, extreme)
        tensor = builder.flatten("flat", "image")
        for index, width in enumerate(hidden):
            bits = 8 if index == 0 else weight_bits
            out = IntegerType(activation_bits, signed=False)
            tensor = builder.linear(f"hidden{index}", tensor, width, weight_bits=bits, out=out)
        return finish(builder, tensor, classes)

    return Case(f"{shape}->{hidden}->{classes}".replace(" ", ""), build)


CASES = (_case((1, 4, 3), (9,), 4), _case((3, 2, 2), (5, 18), 11), _case((2, 1, 1), (), 3))
