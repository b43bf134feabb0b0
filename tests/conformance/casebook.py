"""Small random integer networks for the conformance suites. They saturate on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from toolflow.ir.activation import Activation
from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType
from toolflow.numerics.accumulator import accumulator_range
from toolflow.numerics.requantise import (
    MAX_MULTIPLIER,
    MAX_RESIDUAL_SHIFT,
    PLAIN_BIAS_BITS,
    TILE_BIAS_BITS,
    Requantise,
)
from toolflow.numerics.srbs import Pattern, project, share_taps, worth_of
from toolflow.numerics.types import IntegerType, smallest_signed_bits
from toolflow.numerics.winograd import MAX_EXPONENT, WINOGRAD, Winograd, effective_kernels, output_bits
from toolflow.operators.add.spec import Add
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.concat.spec import Concat
from toolflow.operators.conv.spec import Conv
from toolflow.operators.flatten.spec import Flatten
from toolflow.operators.linear.spec import Linear
from toolflow.operators.max_pool.spec import MaxPool
from toolflow.operators.pad.spec import Pad
from toolflow.operators.shortcut.spec import Shortcut
from toolflow.operators.winograd.spec import WinogradConv

RESULT = IntegerType(16, signed=True)
SAME = (1, 1, 1, 1)  # pads of a 3×3 kernel whose output is as large as its input
ACCUMULATOR_BITS = 40  # the widest that engines have
REACH = 8  # the greatest accumulator that there could be, over those that random operands make


@dataclass
class NetworkBuilder:
    """Builds a `QuantisedGraph` node by node with random integers.

    Attributes:
        shape: (C, H, W) of the image.
        weight_bits, activation_bits: widths of the inner layers.
        input_bits: width of the image's integers, signed.
        seed: of all random integers.
        extreme: weights and image integers take only their smallest and largest values.
    """

    shape: Shape
    weight_bits: int = 8
    activation_bits: int = 8
    input_bits: int = 8
    seed: int = 0
    extreme: bool = False
    nodes: list[QuantisedNode] = field(default_factory=list)
    types: dict[str, TensorType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.shapes: dict[str, Shape] = {"image": self.shape}
        integer = IntegerType(self.input_bits, signed=True)
        self.types["image"] = TensorType(integer, 2.0**-4)
        self.table = self._integers(symmetric(self.input_bits), (self.shape[0], 256))

    def conv(
        self,
        name: str,
        source: str,
        channels: int,
        kernel: int | tuple[int, int] = 3,
        *,
        residual: str | None = None,
        weight_bits: int | None = None,
        out: IntegerType | None = None,
        stride: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        pattern: Pattern | None = None,
    ) -> str:
        """Add a convolution, with a residual if one is named, and sub-row-balanced if there is a pattern."""
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        bits = weight_bits or self.weight_bits
        weight = self._integers(symmetric(bits), (channels, self.shapes[source][0] // groups, *size))
        weight = self._pruned(weight, pattern)
        op = Conv(stride, pads, dilation, groups, Activation.NONE, pattern)
        return self._weighted(name, op, source, weight, bits, residual, out)

    def winograd(
        self,
        name: str,
        source: str,
        channels: int,
        tile: int,
        *,
        pattern: Pattern | None = None,
        limits: tuple[int, int] | None = None,
        residual: str | None = None,
        out: IntegerType | None = None,
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> str:
        """Add a convolution in the Winograd domain; its taps are sub-row-balanced if there is a pattern.

        Weights lie between `limits`, which may be wider than those of the inner layers.
        """
        taps = WINOGRAD[tile].taps
        limits = limits or symmetric(self.weight_bits)
        bits = max(self.weight_bits, smallest_signed_bits(*limits))
        weight = self._integers(limits, (channels, self.shapes[source][0], taps, taps))
        weight = self._pruned(weight, pattern, shared=True)
        exponent = self.rng.integers(0, MAX_EXPONENT + 1, (taps, taps))
        while output_bits(WINOGRAD[tile], weight, exponent, self.types[source].integer) > ACCUMULATOR_BITS:
            exponent = np.maximum(exponent - 1, 0)
            weight = weight if exponent.any() else weight // 2
        reach = _typical(WINOGRAD[tile], weight, exponent, self.types[source].integer) * REACH
        kind = self._activation(out)
        added = self.types[residual].integer if residual else None
        rule = self._rule(channels, (-reach, reach), kind, added, MAX_RESIDUAL_SHIFT, TILE_BIAS_BITS)
        op = WinogradConv(tile, pads, pattern)
        inputs = (source,) if residual is None else (source, residual)
        weights = {"weight": weight, "exponent": exponent}
        return self._append(QuantisedNode(name, op, inputs, weights, rule, bits), TensorType(kind, 1.0))

    def linear(
        self, name: str, source: str, outputs: int, *, weight_bits: int | None = None, out: IntegerType | None = None
    ) -> str:
        """Add a fully connected layer."""
        bits = weight_bits or self.weight_bits
        weight = self._integers(symmetric(bits), (outputs, self.shapes[source][0]))
        return self._weighted(name, Linear(), source, weight, bits, None, out)

    def max_pool(self, name: str, source: str, op: MaxPool) -> str:
        """Add max pooling."""
        return self._plain(name, op, (source,), self.types[source])

    def pad(self, name: str, source: str, op: Pad) -> str:
        """Add padding."""
        return self._plain(name, op, (source,), self.types[source])

    def flatten(self, name: str, source: str) -> str:
        """Add a flatten node."""
        return self._plain(name, Flatten(), (source,), self.types[source])

    def shortcut(self, name: str, source: str, op: Shortcut) -> str:
        """Add a channel-padded shortcut."""
        return self._plain(name, op, (source,), self.types[source])

    def concat(self, name: str, sources: tuple[str, ...]) -> str:
        """Add a concat; the operands' types must be equal."""
        return self._plain(name, Concat(), sources, self.types[sources[0]])

    def avg_pool(self, name: str, source: str, op: AvgPool, out: IntegerType | None = None, alike: bool = False) -> str:
        """Add average pooling, with a requantisation for each channel, or the same for all of them."""
        area = op.kernel[0] * op.kernel[1]
        integer = self.types[source].integer
        bound = area * max(integer.upper, -integer.lower)
        out = self._activation(out)
        channels = 1 if alike else self.shapes[source][0]
        rule = self._rule(channels * op.rule_count(self.shapes[source]), (0, bound), out, None)
        return self._plain(name, op, (source,), TensorType(out, 1.0), rule)

    def add(self, name: str, a: str, b: str) -> str:
        """Add an addition of two maps."""
        integer = self.types[a].integer
        out = self._activation(None)
        spread = (integer.lower, integer.upper)
        rule = self._rule(self.shapes[a][0], spread, out, self.types[b].integer)
        return self._plain(name, Add(), (a, b), TensorType(out, 1.0), rule)

    def build(self, output: str) -> QuantisedGraph:
        """Return the graph."""
        return QuantisedGraph(
            name=f"case-{self.seed}",
            variant="single",
            family="multiplier",
            input_name="image",
            input_shape=self.shape,
            input_table=self.table,
            nodes=tuple(self.nodes),
            output=output,
            types=dict(self.types),
        )

    def images(self, count: int) -> np.ndarray:
        """Return random uint8 images (N, H, W, C)."""
        channels, height, width = self.shape
        return self.rng.integers(0, 256, (count, height, width, channels), dtype=np.uint8)

    def _activation(self, out: IntegerType | None) -> IntegerType:
        return out or IntegerType(self.activation_bits, signed=bool(self.rng.integers(2)))

    def _weighted(
        self,
        name: str,
        op: Conv | Linear,
        source: str,
        weight: np.ndarray,
        bits: int,
        residual: str | None,
        out: IntegerType | None,
    ) -> str:
        kind = self._activation(out)
        spread = accumulator_range(weight, self.types[source].integer)
        rule = self._rule(len(weight), spread, kind, self.types[residual].integer if residual else None)
        inputs = (source,) if residual is None else (source, residual)
        node = QuantisedNode(name, op, inputs, {"weight": weight}, rule, bits)
        return self._append(node, TensorType(kind, 1.0))

    def _plain(self, name: str, op, inputs: tuple[str, ...], kind: TensorType, rule: Requantise | None = None) -> str:  # type: ignore[no-untyped-def]
        return self._append(QuantisedNode(name, op, inputs, {}, rule), kind)

    def _append(self, node: QuantisedNode, kind: TensorType) -> str:
        self.shapes[node.name] = node.op.infer_shape([self.shapes[t] for t in node.inputs], node.weights)
        self.types[node.name] = kind
        self.nodes.append(node)
        return node.name

    def _pruned(self, weight: np.ndarray, pattern: Pattern | None, shared: bool = False) -> np.ndarray:
        """Return the weights on a random support. If taps share their values, some keep few and others many."""
        if pattern is None:
            return weight
        saliency = self.rng.random(weight.shape)
        if not shared:
            return np.where(project(saliency, pattern), weight, 0)
        saliency *= self.rng.random(weight.shape[2:]) ** 2
        shares = share_taps(worth_of(saliency, pattern.sub_row), pattern)
        return np.where(project(saliency, pattern, shares), weight, 0)

    def _integers(self, limits: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
        if self.extreme:
            return self.rng.choice(np.array(limits, dtype=np.int64), shape)
        return self.rng.integers(limits[0], limits[1] + 1, shape, dtype=np.int64)

    def _rule(
        self,
        channels: int,
        spread: tuple[int, int],
        out: IntegerType,
        residual: IntegerType | None,
        residual_shift: int = 0,
        bias_bits: int = PLAIN_BIAS_BITS,
    ) -> Requantise:
        """Draw multipliers and shifts that fill the output's range and saturate now and then.

        A residual, which may be shifted left by `residual_shift`, reaches half of the range: where its multiplier does
        not hold that, the shift is lessened, and the multiplier of the accumulators with it.
        """
        reach = max(spread[1], -spread[0], 1)
        typical = max(reach // REACH, 1)
        multiplier = self.rng.integers(1, MAX_MULTIPLIER + 1, channels)
        ratio = typical * multiplier / max(out.upper, 1)
        shift = np.clip(np.round(np.log2(ratio)) + self.rng.integers(-1, 2, channels), 0, 47).astype(np.int64)
        # of a tile an eighth: what it meets is less random than `typical` has it, and must not drown in its bias
        limit = min(typical if bias_bits == PLAIN_BIAS_BITS else typical // 8, (1 << bias_bits - 1) - 1)
        residuals = left = None
        if residual is not None:
            gain = max(out.upper, 1) / max(residual.upper, 1) / 2
            most = int(np.log2(MAX_MULTIPLIER / gain)) + residual_shift
            multiplier = np.maximum(multiplier >> np.maximum(shift - most, 0), 1)
            shift = np.minimum(shift, most)
            wanted = np.ldexp(gain, shift)
            left = np.maximum(np.ceil(np.log2(wanted / MAX_MULTIPLIER)), 0).astype(np.int64)
            residuals = np.maximum(np.ldexp(wanted, -left), 1).astype(np.int64)
        upper = out.upper if self.rng.integers(2) else max(out.upper * 3 // 4, 1)
        return Requantise(
            bias=self.rng.integers(-limit, limit + 1, channels),
            multiplier=multiplier,
            shift=shift,
            lower=out.lower,
            upper=upper,
            residual_multiplier=residuals,
            residual_shift=left if residual_shift else None,
        )


@dataclass(frozen=True)
class Case:
    """One conformance case: a small network around an operator.

    Attributes:
        name: unique within the operator.
        build: from (weight_bits, activation_bits, seed, extreme) to the builder and the output's name.
        tile: the Winograd tile that an engine must transform to run it, 0 for none.
    """

    name: str
    build: Callable[[int, int, int, bool], tuple[NetworkBuilder, str]]
    tile: int = 0


def finish(builder: NetworkBuilder, source: str, classes: int = 5) -> tuple[NetworkBuilder, str]:
    """End a case in a flattened fully connected layer with 16-bit results."""
    flat = builder.flatten(f"{source}.flat", source) if len(builder.shapes[source]) == 3 else source
    return builder, builder.linear("logits", flat, classes, weight_bits=8, out=RESULT)


def symmetric(bits: int) -> tuple[int, int]:
    """Return the range whose digits fit engines of any width: ±119 at 8 bits (PROGRAM.md)."""
    limit = min((1 << (bits - 1)) - 1, 119)
    return -limit, limit


def _typical(form: Winograd, weight: np.ndarray, exponent: np.ndarray, operand: IntegerType) -> int:
    """Return twice the root mean square of a tile's accumulators for random operands: far below their bound."""
    square = (operand.lower**2 + operand.lower * operand.upper + operand.upper**2) / 3
    kernels = effective_kernels(form, weight, exponent)
    largest = max(float(np.square(k.astype(np.float64)).sum(axis=(1, 2, 3)).mean()) for k in kernels)
    return max(int(2 * np.sqrt(largest * square)), 1)
