"""Choose the scale of every group of tensors from the magnitudes in the float network.

Scales are chosen group by group, each for its own least error, and then matched: the two terms of an addition share
one shift, so that one of them whose steps are far finer than the other's or than the output's cannot be held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from quant.arrangement.arrange import Arrangement
from quant.config import QuantiseConfig
from quant.post_training.ranges import Histogram, activation_scale, next_power_of_two
from toolflow.ir.graph import Node
from toolflow.numerics.requantise import MULTIPLIER_BITS
from toolflow.numerics.scales import snap_residual_scale
from toolflow.numerics.types import IntegerType

LOGIT_MARGIN = 2.0
COARSEST_TERM = 2.0**13  # steps of the output in one of a residual's
TERMS_APART = 2.0 ** (MULTIPLIER_BITS - 2)  # the larger term's step over the smaller's; two bits are left to rounding


@dataclass
class Magnitudes:
    """Magnitudes of the nodes that round into one group, on the calibration images.

    Attributes:
        histograms: of each node's outputs.
        hidden: widest range of a channel before the activation, of nodes whose outputs are all 0.
    """

    histograms: list[Histogram] = field(default_factory=list)
    hidden: float = 0.0

    @property
    def largest(self) -> float:
        """The largest output."""
        return max(h.largest for h in self.histograms)


@dataclass(frozen=True)
class SumStep:
    """The step of a layer's sums, of the channel where it is largest: max(input scale · `weight`, `bias`)."""

    weight: float
    bias: float


def group_scales(
    arrangement: Arrangement,
    found: Mapping[str, Magnitudes],
    integers: Mapping[str, IntegerType],
    sums: Mapping[str, SumStep],
    image_scale: float,
    config: QuantiseConfig,
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the scale of every group, including the image, and notes for the report.

    Args:
        arrangement: the float network.
        found: group -> the magnitudes of its nodes; without the image.
        integers: group -> its integer type.
        sums: layer -> the step of its sums.
        image_scale: scale of the image.
        config: the family, and how ranges are found.
    """
    scales = {arrangement.group[arrangement.graph.input_name]: image_scale}
    rounding = [node for node in arrangement.graph.nodes if node.op.rounds]
    for node in rounding:
        group = arrangement.group[node.name]
        if group not in scales:
            known = [arrangement.group[tensor] for tensor in node.inputs]
            inputs = [scales[operand] for operand in known if operand in scales]
            is_output = group == arrangement.group[arrangement.graph.output]
            scales[group] = _own_scale(found[group], integers[group].upper, is_output, inputs, config)
    notes = _match(arrangement, rounding, scales, sums)
    if config.family == "multiplier":
        _snap(arrangement, rounding, scales)
    return scales, notes


def _own_scale(
    found: Magnitudes, upper: int, is_output: bool, inputs: Sequence[float], config: QuantiseConfig
) -> float:
    """Return the scale that suits a group alone.

    Where all outputs are 0, other images may still show something: its range is like that which the activation hid.
    If nothing is hidden either, any scale will do, and the inputs' is one that the hardware can requantise to.
    """
    if found.largest == 0 and found.hidden == 0:
        return max(inputs)
    if is_output or found.largest == 0:
        scale = (found.largest * LOGIT_MARGIN or found.hidden) / upper
        return scale if config.family == "multiplier" else next_power_of_two(scale)
    percentile = config.percentile if config.ranges == "percentile" else None
    return activation_scale(found.histograms, upper, config.family, percentile)


def _match(
    arrangement: Arrangement, rounding: Sequence[Node], scales: dict[str, float], sums: Mapping[str, SumStep]
) -> tuple[str, ...]:
    """Raise scales until both terms of every addition can be held; the image keeps its own. Return what to say of it.

    A term is raised only where all of its range is a small part of the other's step, an output only where a step of a
    term is thousands of its own.
    """
    image = arrangement.group[arrangement.graph.input_name]
    additions = [node for node in rounding if len(node.inputs) == 2]
    own, before, reasons = dict(scales), dict[str, float](), dict[str, str]()

    def raise_to(group: str, least: float, node: Node) -> None:
        if group != image and scales[group] < least:
            scales[group] = least
            reasons[group] = node.name

    while before != scales:
        before = dict(scales)
        for node in additions:
            output, one, other = (arrangement.group[tensor] for tensor in (node.name, *node.inputs))
            step = scales[one]
            if node.name in sums:
                step = max(step * sums[node.name].weight, sums[node.name].bias)
            else:
                raise_to(one, scales[other] / TERMS_APART, node)
                raise_to(output, scales[one] / COARSEST_TERM, node)
            raise_to(other, step / TERMS_APART, node)
            raise_to(output, scales[other] / COARSEST_TERM, node)
    return tuple(
        f"'{group}': steps {scales[group] / own[group]:.3g} times as coarse as it needs, so that '{reason}' can add"
        for group, reason in reasons.items()
    )


def _snap(arrangement: Arrangement, rounding: Sequence[Node], scales: dict[str, float]) -> None:
    """Move scales a little, so that residuals' multipliers are exact."""
    done = {arrangement.group[arrangement.graph.input_name]}
    for node in rounding:
        group = arrangement.group[node.name]
        if group not in done and len(node.inputs) == 2:
            scales[group] = snap_residual_scale(scales[arrangement.group[node.inputs[1]]], scales[group])
        done.add(group)
