"""Poolings by words: each word of a pixel as a position of its own, so that the weights of a word serve all of them.

An average pool is a depthwise convolution that treats every channel alike. As such it has a packet of weights for each
group of channels, which take longer to arrive than the array needs for them. Before: a position of C channels, with a
packet for each `lanes_k` of them. After: positions of S channels, C / S times as many, and the packets of S channels.

The maps do not change. A pixel of W words is read as W pixels of a word, so that a tap lies W times as many pixels from
the next one in its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import LAYOUT
from toolflow.engine.places import BankPlace
from toolflow.engine.rows import plan_walk
from toolflow.engine.steps import Compute
from toolflow.numerics.requantise import Requantise
from toolflow.plan.schedule.layer import Computing

KEPT_ROWS = 128  # of an array with S slots: so many rows cost no more than fewer, as block RAM is that deep


def by_words(steps: Sequence[Computing], config: EngineConfig) -> tuple[Computing, ...]:
    """Return the steps of a node, by words if they allow it.

    Args:
        steps: of the node, as `compute_steps` returns them.
        config: the engine.
    """
    step = steps[0] if len(steps) == 1 else None  # several: windows have several divisors
    if not isinstance(step, Compute) or not _treats_channels_alike(step):
        return (*steps,)
    words = step.source.words
    divisors = (count for count in range(words, 1, -1) if words % count == 0)
    divided = next((count for count in divisors if _fits(step, count)), 1)
    return (_divided(step, divided, config) if divided > 1 else step,)


def with_few_rows(steps: Iterable[tuple[Computing, ...]], config: EngineConfig) -> list[tuple[Computing, ...]]:
    """Return the steps of each node, by words where the engine does not have to keep many more rows for that."""
    every = list(steps)
    kept = max((step.kept_rows for of in every for step in of if isinstance(step, Compute)), default=0)
    most = max(kept, KEPT_ROWS * -(-config.sub_row // config.slots))
    divided = [by_words(of, config) for of in every]
    many = [any(isinstance(step, Compute) and step.kept_rows > most for step in new) for new in divided]
    return [old if too_many else new for old, new, too_many in zip(every, divided, many, strict=True)]


def _treats_channels_alike(step: Compute) -> bool:
    """Return whether each output channel is the same function of its own input channel."""
    digits, rule = step.weights.digits, step.rule
    own = step.weights.groups == step.channels and digits.shape[2] == 1
    if not own or step.weights.input_digits > 1 or step.residual or step.tile:
        return False
    alike = bool((digits == digits[:, :1]).all())
    return alike and all((values == values[0]).all() for values in (rule.bias, rule.multiplier, rule.shift))


def _fits(step: Compute, divided: int) -> bool:
    """Return whether an instruction can walk over maps whose pixels are divided so."""
    source, out, window = step.source, step.out, step.window
    if not isinstance(out, BankPlace):
        return False
    whole = all(place.contiguous and place.pixel_words == place.words for place in (source, out))
    straight = window.stride[1] == 1 or out.width == 1
    fields = {
        "in_width": source.width * divided,
        "out_width": out.width * divided,
        "dilation_w": window.dilation[1] * divided,
        "pad_left": window.pads[1] * divided,
    }
    return whole and straight and all(value <= LAYOUT[name].highest for name, value in fields.items())


def _divided(step: Compute, divided: int, config: EngineConfig) -> Compute:
    words = step.source.words // divided
    channels, old, rule = words * config.sub_row, step.weights, step.rule
    digits = old.digits[:, :1].repeat(channels, axis=1)
    weights = replace(old, digits=digits, groups=channels, channel=np.arange(channels), pixel_words=words)
    bias, multiplier, shift = (values[:1].repeat(channels) for values in (rule.bias, rule.multiplier, rule.shift))
    made = Requantise(bias, multiplier, shift, rule.lower, rule.upper)
    return replace(step, divided=divided, weights=weights, walk=plan_walk(config, weights), rule=made)
