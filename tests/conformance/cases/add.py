"""Conformance cases of addition: shapes, widths and corners that every level runs."""

from __future__ import annotations

from tests.conformance.casebook import RESULT, SAME, Case, NetworkBuilder, finish
from toolflow.numerics.srbs import Pattern
from toolflow.numerics.types import IntegerType
from toolflow.operators.max_pool.spec import MaxPool
from toolflow.operators.shortcut.spec import Shortcut


def _residual(channels: int, signed: bool) -> Case:
    """Return a convolution whose drain adds the convolution's input."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((2, 5, 4), weight_bits, activation_bits, 8, seed, extreme)
        out = IntegerType(activation_bits, signed)
        source = builder.conv("conv", "image", channels, 1, weight_bits=8, out=out)
        return finish(builder, builder.conv("sum", source, channels, 3, residual=source, pads=(1, 1, 1, 1)))

    return Case(f"residual,{channels}ch,signed={signed}", build)


def _maps(channels: int) -> Case:
    """Return an addition of two maps that other nodes read too."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((2, 4, 3), weight_bits, activation_bits, 8, seed, extreme)
        a = builder.conv("a", "image", channels, 1, weight_bits=8)
        b = builder.conv("b", "image", channels, 3, weight_bits=8, pads=(1, 1, 1, 1))
        return finish(builder, builder.add("second", builder.add("first", a, b), b))

    return Case(f"maps,{channels}ch", build)


def _shortcut(channels: int, before: int, after: int) -> Case:
    """Return the channel-padded, sub-sampled shortcut of the CIFAR ResNets."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((3, 7, 6), weight_bits, activation_bits, 8, seed, extreme)
        out = IntegerType(activation_bits, signed=False)
        source = builder.conv("conv", "image", channels, 1, weight_bits=8, out=out)
        short = builder.shortcut("short", source, Shortcut((2, 2), before, after))
        wide = before + channels + after
        name = builder.conv("sum", source, wide, 3, residual=short, stride=(2, 2), pads=(1, 1, 1, 1))
        return finish(builder, name)

    return Case(f"shortcut,{channels}ch+{before}+{after}", build)


def _few_rows(channels: int) -> Case:
    """Return positions with fewer steps than the drain needs to read a residual's word or to write single results."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((3, 8, 7), weight_bits, activation_bits, 8, seed, extreme)
        source = builder.conv("conv", "image", channels, 1, weight_bits=8)
        summed = builder.add("added", source, source)
        sparse = builder.conv("sparse", summed, channels, 1, residual=source, pattern=Pattern(2, 4))
        return builder, builder.conv("results", sparse, 3, 1, weight_bits=8, out=RESULT)

    return Case(f"few_rows,{channels}ch", build)


def _pooled_concat(widths: tuple[int, int], shortcut: bool) -> Case:
    """Return a residual of a pooled concat. Its operands begin at whole words, so its channels have gaps."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((2, 5, 4), weight_bits, activation_bits, 8, seed, extreme)
        out = IntegerType(activation_bits, signed=False)
        parts = tuple(
            builder.conv(f"part{i}", "image", width, 1, weight_bits=8, out=out) for i, width in enumerate(widths)
        )
        pooled = builder.max_pool("pool", builder.concat("joined", parts), MaxPool((2, 2), (1, 1)))
        residual = builder.shortcut("short", pooled, Shortcut((1, 1), 0, 0)) if shortcut else pooled
        channels = sum(widths)
        return finish(builder, builder.conv("sum", pooled, channels, 3, residual=residual, pads=(1, 1, 1, 1)))

    return Case(f"pooled_concat,{widths},shortcut={shortcut}".replace(" ", ""), build)


def _small_maps(channels: int) -> Case:
    """Return small maps behind a large one, of every kind of layer: the next pass's images are loaded beside them."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((3, 12, 12), weight_bits, activation_bits, 8, seed, extreme)  # several pieces
        large = builder.conv("large", "image", channels, 1, weight_bits=8)
        pooled = builder.max_pool("pooled", large, MaxPool((2, 2), (2, 2)))
        added = builder.conv("added", pooled, channels, 3, residual=pooled, pads=SAME)
        narrow = builder.conv("narrow", added, 3, 1)
        again = builder.conv("again", narrow, 3, 3, residual=narrow, pads=SAME)
        return finish(builder, builder.max_pool("last", again, MaxPool((2, 2), (1, 1))))

    return Case(f"small_maps,{channels}ch", build)


def _bent_line(channels: int) -> Case:
    """Return a leaky rectifier: a rectified multiple of each channel is the residual of another multiple."""

    def build(weight_bits: int, activation_bits: int, seed: int, extreme: bool) -> tuple[NetworkBuilder, str]:
        builder = NetworkBuilder((2, 4, 3), weight_bits, activation_bits, 8, seed, extreme)
        signed, unsigned = (IntegerType(activation_bits, signed) for signed in (True, False))
        x = builder.conv("conv", "image", channels, 1, weight_bits=8, out=signed)
        part = builder.conv("part", x, channels, 1, groups=channels, out=unsigned)
        return finish(builder, builder.conv("line", x, channels, 1, groups=channels, residual=part, out=signed))

    return Case(f"bent_line,{channels}ch", build)


CASES = (
    _bent_line(10),
    _pooled_concat((3, 10), shortcut=False),
    _pooled_concat((5, 6), shortcut=True),
    _residual(8, signed=False),
    _residual(19, signed=True),
    _maps(11),
    _small_maps(12),
    _few_rows(12),
    _shortcut(8, 4, 4),
    _shortcut(5, 3, 2),
    _shortcut(16, 8, 8),
)
