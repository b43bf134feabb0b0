"""From a compute step to its part of the weight stream: one packet for each group of output channels."""

from __future__ import annotations

import numpy as np

from toolflow.engine.config import EngineConfig
from toolflow.engine.rows import group_rows
from toolflow.engine.steps import Compute
from toolflow.engine.stream import Packet, pack, suited


def pack_weights(step: Compute, config: EngineConfig) -> bytes:
    """Return the packets of a step.

    Raises:
        ToolflowError: the engine does not take a parameter of it.
    """
    rule = step.rule
    none = np.zeros_like(rule.bias)
    residual = none if rule.residual_multiplier is None else rule.residual_multiplier
    residual_shift = none if rule.residual_shift is None else rule.residual_shift
    packets = []
    for group, channels in enumerate(step.groups(config.lanes_k)):
        mine = slice(group * config.lanes_k, group * config.lanes_k + channels)
        values, indices = group_rows(config, step.weights, step.walk, group)
        packet = Packet(
            bias=rule.bias[mine],
            multiplier=rule.multiplier[mine],
            residual_multiplier=residual[mine],
            shift=rule.shift[mine],
            residual_shift=residual_shift[mine],
            values=values,
            indices=indices,
        )
        packets.append(pack(config, suited(config, packet, step.name)))
    return b"".join(packets)
