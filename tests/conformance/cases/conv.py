"""Conformance cases of convolution: shapes, widths and corners that every level runs."""

from __future__ import annotations

from typing import Any

from tests.conformance.casebook import Case, NetworkBuilder, finish
from toolflow.numerics.srbs import Pattern
from toolflow.numerics.types import IntegerType


def _case(shape: tuple[int, int, int], channels: int, kernel: tuple[int, int], **attributes: Any) -> Case:
    """Return a case: the convolution under test on the image, then one on its output, then the classifier."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder(shape, weight_bits, activation_bits, 8, seed, extreme)
        inner = IntegerType(activation_bits, signed=False)
        first = builder.conv("first", "image", shape[0] * 2, 1, weight_bits=8, out=inner)
        grouped = {k: v * 2 if k == "groups" and v == shape[0] else v for k, v in attributes.items()}
        under_test = builder.conv("conv", first, channels, kernel, **grouped)
        return finish(builder, under_test)

    text = ",".join(f"{key}={value}".replace(" ", "") for key, value in attributes.items())
    return Case(f"{shape[0]}to{channels},{kernel[0]}x{kernel[1]}{',' if text else ''}{text}", build)


CASES = (
    _case((1, 4, 5), 3, (3, 3), pads=(1, 1, 1, 1)),
    _case((3, 6, 6), 10, (3, 3), stride=(2, 2), pads=(1, 1, 1, 1)),
    _case((3, 5, 7), 4, (1, 1)),
    _case((2, 7, 5), 17, (5, 2), pads=(2, 0, 1, 1)),
    _case((5, 6, 4), 6, (3, 3), dilation=(2, 1), pads=(2, 1, 2, 1)),
    _case((4, 5, 5), 8, (3, 3), groups=4, pads=(1, 1, 1, 1)),
    _case((6, 5, 4), 12, (3, 3), groups=6, stride=(1, 2), pads=(0, 1, 2, 1)),
    _case((4, 3, 3), 6, (1, 1), groups=2),
    _case((1, 1, 1), 1, (1, 1)),
    _case((9, 3, 4), 20, (3, 3), pads=(1, 1, 1, 1)),
    _case((10, 4, 3), 11, (3, 3), pads=(1, 1, 1, 1), pattern=Pattern(3, 8, 2)),
)
