"""Sensitivity: the effect of one tile, pattern or width on the network's answers, for each layer and tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional

from quant.arrangement.arrange import Arrangement
from quant.arrangement.forms import free_layers, layer_form, multiplications
from quant.config import QuantiseConfig
from quant.float_network import accumulate, apply_activation, before_activation, float_node, weight_of
from quant.post_training.ranges import activation_scale, histogram
from quant.post_training.weights import ScaleRule, Solving, solve_weights
from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Operator
from toolflow.numerics.srbs import Pattern, fullest, shares_of
from toolflow.numerics.types import IntegerType
from toolflow.numerics.winograd import WINOGRAD, transformed_type

Tensor = torch.Tensor

WORD = 8  # channels, the shortest word of the engines that are planned
MAX_IMAGES = 256  # on which sensitivities are measured
MAX_ELEMENTS = 1 << 27  # of all tensors over those images


@dataclass(frozen=True)
class Space:
    """The options of a search, the most exact first.

    Attributes:
        tiles, patterns: of the layers that may take them and have none of their own, by network or configuration.
        weight_bits: of layers that are neither first nor last and have none of their own.
        activation_bits: of tensors that are neither the image nor the logits, the same.
    """

    tiles: tuple[int, ...]
    patterns: tuple[Pattern | None, ...]
    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]


class _FreeScales(ScaleRule):
    """Any scale: the tensors around the layer have none yet."""

    def smallest(self, level: Tensor) -> Tensor:
        return torch.full((len(level),), 1e-30, dtype=torch.float64)

    def snap(self, scales: Tensor) -> Tensor:
        return scales


@dataclass(frozen=True)
class Option:
    """One way to compute a layer.

    Attributes:
        tile, pattern, weight_bits: the choice; None if the layer's own tile and pattern stay.
        multiplications: multiplications for one image.
        operand: widths of the multipliers' other operand, by the bits of the layer's input.
        divergence: divergence of the network's answers with this choice alone.
        fullest: of sparse layers the most places at which an output keeps a weight, by `WORD` input channels and by
            tap; output channels that share an index keep the places of all of them.
        shares: of sparse layers how many places of a sub-row each tap keeps.
    """

    tile: int | None
    pattern: Pattern | None
    weight_bits: int
    multiplications: int
    operand: Mapping[int, int]
    divergence: float
    fullest: tuple[tuple[int, ...], ...] = ()
    shares: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sensitivities:
    """The measured sensitivities.

    Attributes:
        layers: options by layer.
        source: layer -> the group of tensors that it reads.
        groups: divergence by group and bits.
    """

    layers: Mapping[str, tuple[Option, ...]]
    source: Mapping[str, str]
    groups: Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class _Rounding:
    """Values to multiples of a scale, as a type of integers has them."""

    kind: IntegerType
    scale: float

    def of(self, value: Tensor) -> Tensor:
        return torch.round(value / self.scale).clamp(self.kind.lower, self.kind.upper) * self.scale


@dataclass(frozen=True)
class _Form:
    """A layer with one tile and pattern; None if they are its own."""

    tile: int | None
    pattern: Pattern | None
    node: Node


class _Probe:
    """The float network on a few images, and the effect of changing one tensor on its answers."""

    def __init__(self, graph: Graph, x: Tensor, config: QuantiseConfig) -> None:
        self.graph, self.config = graph, config
        self.generator = torch.Generator().manual_seed(config.seed)
        self.live = {graph.input_name: x}
        for node in graph.nodes:
            self.live[node.name] = float_node(node, [self.live[t] for t in node.inputs])
        self.answers = functional.log_softmax(self.live[graph.output].flatten(1).double(), 1)

    def divergence(self, changed: Mapping[str, _Rounding | Tensor]) -> float:
        """Return the divergence when tensors are replaced, or rounded after they are computed."""
        new: dict[str, Tensor] = {}
        for node in self.graph.nodes:
            change = changed.get(node.name)
            if isinstance(change, Tensor):
                new[node.name] = change
                continue
            if any(t in new for t in node.inputs):
                new[node.name] = float_node(node, [new.get(t, self.live[t]) for t in node.inputs])
            if change is not None:
                new[node.name] = change.of(new.get(node.name, self.live[node.name]))
        if self.graph.output not in new:
            return 0.0
        found = functional.log_softmax(new[self.graph.output].flatten(1).double(), 1)
        return float(functional.kl_div(found, self.answers, reduction="batchmean", log_target=True).clamp_min(0))


def measure(
    arrangement: Arrangement,
    x: Tensor,
    config: QuantiseConfig,
    space: Space,
    progress: Callable[[str], None] = lambda _: None,
) -> Sensitivities:
    """Measure every option of every layer, and every width of every group of tensors.

    Args:
        arrangement: the float network.
        x: normalised images, float32 (N, C, H, W).
        config: family, rounding and what the space leaves open.
        space: what to measure.
        progress: is told each layer.
    """
    graph = arrangement.graph
    elements = sum(int(np.prod(shape)) for shape in graph.shapes.values())
    probe = _Probe(graph, x[: min(MAX_IMAGES, max(MAX_ELEMENTS // elements, 1))], config)
    free = free_layers(arrangement)
    ends = {arrangement.group[graph.input_name], arrangement.group[graph.output]}
    bits = {
        group: _own_bits([node.name for node in nodes], config) or space.activation_bits
        for group, nodes in arrangement.producers.items()
        if group not in ends
    }
    layers, source = {}, {}
    for node in graph.nodes:
        if not node.op.has_weights or node.name in arrangement.first | arrangement.inserted:
            continue
        progress(node.name)
        forms = [_Form(None, None, node)]
        if node.name in free:
            tiles = (config.tiles[node.name],) if node.name in config.tiles else space.tiles
            patterns = (config.patterns[node.name],) if node.name in config.patterns else space.patterns
            made = (layer_form(node, tile, pattern) for tile in tiles for pattern in patterns)
            forms = [_Form(form.op.tile, form.op.pattern, form) for form in {form.op: form for form in made}.values()]
        widths = (config.first_last_bits,) if node.name in arrangement.last else space.weight_bits
        if node.name in config.overrides:
            widths = (config.overrides[node.name][0],)
        group = arrangement.group[node.inputs[0]]
        kinds = [IntegerType(each, group not in arrangement.unsigned) for each in bits[group]]
        layers[node.name] = tuple(option for form in forms for option in _options(probe, form, widths, kinds))
        source[node.name] = group
    groups = {}
    for group, widths in bits.items():
        progress(group)
        kinds = [IntegerType(each, group not in arrangement.unsigned) for each in widths]
        groups[group] = _of_group(probe, [node.name for node in arrangement.producers[group]], kinds)
    return Sensitivities(layers, source, groups)


def _own_bits(producers: Sequence[str], config: QuantiseConfig) -> tuple[int, ...]:
    """Return the bits that the configuration gives a group of tensors, none where it leaves them open."""
    own = [config.overrides[name][1] for name in producers if name in config.overrides]
    return (max(own),) if own else ()


def _options(probe: _Probe, form: _Form, widths: Sequence[int], kinds: Sequence[IntegerType]) -> Iterator[Option]:
    """Return the options of one form of a layer, whose input may have several types."""
    node, config = form.node, probe.config
    op = node.op
    given = [probe.live[t] for t in node.inputs]
    shape = probe.graph.shapes[node.name]
    weight = weight_of(node, "weight", torch.float64)
    solved = solve_weights(op, weight, given[0], given[0], Solving(config.rounding, probe.generator))
    before = before_activation(probe.graph.by_name[node.name], given)
    axes = [0, *range(2, before.ndim)]
    operand = {kind.bits: _operand_bits(op, kind) for kind in kinds}
    rule = _FreeScales(config.family)
    for bits, rounded in zip(widths, solved.rounded([config.integer_range(b) for b in widths], rule), strict=True):
        sums = accumulate(op, given[0], rounded.values.float())
        total = sums + given[1] if len(given) > 1 else sums
        total = total + (before - total).mean(axes).view(1, -1, *[1] * (before.ndim - 2))
        divergence = probe.divergence({node.name: apply_activation(op.activation, total)})
        integers = rounded.integers.numpy()
        full = ((), ()) if op.pattern is None else fullness(integers, op.pattern)
        yield Option(form.tile, form.pattern, bits, multiplications(op, integers, shape), operand, divergence, *full)


def fullness(weight: npt.NDArray[Any], pattern: Pattern) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Return `fullest` and `shares` of an option with these weights (K, C, kh, kw)."""
    words = fullest(weight, WORD, pattern.outputs).reshape(-1, weight.shape[2] * weight.shape[3])
    shares = shares_of(weight, pattern.sub_row, pattern.outputs)
    return tuple(map(tuple, words.tolist())), tuple(shares.reshape(-1).tolist())


def _operand_bits(op: Operator, kind: IntegerType) -> int:
    return transformed_type(WINOGRAD[op.tile], kind).bits if op.tile else kind.bits


def _of_group(probe: _Probe, producers: Sequence[str], kinds: Sequence[IntegerType]) -> Mapping[int, float]:
    """Return the divergence of rounding a group's tensors, by bits."""
    histograms = [histogram(probe.live[name]) for name in producers]
    config = probe.config
    percentile = config.percentile if config.ranges == "percentile" else None
    found = {}
    for kind in kinds:
        rounding = _Rounding(kind, activation_scale(histograms, kind.upper, config.family, percentile))
        found[kind.bits] = probe.divergence(dict.fromkeys(producers, rounding))
    return found
