"""Bits of every group of tensors, and of every layer's weights."""

from __future__ import annotations

from collections.abc import Mapping

from quant.arrangement.arrange import Arrangement
from quant.config import LOGIT_BITS, QuantiseConfig
from toolflow.numerics.types import IntegerType

INSERTED_BITS = 2


def group_types(arrangement: Arrangement, config: QuantiseConfig) -> Mapping[str, IntegerType]:
    """Return the integer type of every group of tensors."""
    bits: dict[str, int] = {}
    for group, nodes in arrangement.producers.items():
        chosen = [config.overrides[node.name][1] for node in nodes if node.name in config.overrides]
        bits[group] = max(chosen, default=config.activation_bits)
    bits[arrangement.group[arrangement.graph.input_name]] = config.first_last_bits
    bits[arrangement.group[arrangement.graph.output]] = LOGIT_BITS
    return {group: IntegerType(width, group not in arrangement.unsigned) for group, width in bits.items()}


def weight_bits(name: str, arrangement: Arrangement, config: QuantiseConfig) -> int:
    """Return the bits of a layer's weights."""
    if name in arrangement.inserted:
        return INSERTED_BITS
    if name in config.overrides:
        return config.overrides[name][0]
    if name in arrangement.first | arrangement.last:
        return config.first_last_bits
    return config.weight_bits
