"""Networks for timing in place of those that a search might select: same widths and sparsity, no useful answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from quant.arrangement.arrange import Arrangement
from quant.arrangement.forms import layer_form
from quant.config import QuantiseConfig
from quant.search.sensitivity import WORD, Option
from quant.sparsity.moments import tap_major
from quant.sparsity.support import tap_exponents
from toolflow.ir.graph import Node
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode
from toolflow.numerics.srbs import Pattern


def stand_in(
    base: QuantisedGraph, arrangement: Arrangement, form: Mapping[str, Option], config: QuantiseConfig
) -> QuantisedGraph:
    """Return a network with the widths and sparsity of these options; its answers mean nothing."""
    nodes = tuple(
        _layer(node, arrangement.graph.by_name[node.name], form[node.name], config) if node.name in form else node
        for node in base.nodes
    )
    return replace(base, nodes=nodes)


def _layer(node: QuantisedNode, plain: Node, option: Option, config: QuantiseConfig) -> QuantisedNode:
    """Return a layer in the form of an option, its weights rounded to nearest on a support that is as full."""
    made = plain if option.tile is None else layer_form(plain, option.tile, option.pattern)
    op = made.op
    weight = torch.as_tensor(made.weights["weight"].copy()).double()
    held = np.ones(weight.shape, dtype=bool) if op.pattern is None else as_full(weight.shape, op.pattern, option)
    weights: dict[str, npt.NDArray[np.int64]] = {}
    if op.tile:
        kernel = weight.shape[2], weight.shape[3]
        exponent = tap_exponents([tap_major(weight)], kernel)
        weights["exponent"] = exponent.numpy()
        weight = weight / 2.0 ** exponent.double()
    size = weight.abs().numpy()
    upper = config.integer_range(option.weight_bits)[1]
    step = size.reshape(len(size), -1).max(1).reshape(-1, *[1] * (size.ndim - 1)) / upper
    integers = np.clip(np.rint(size / np.maximum(step, 1e-30)), 1, upper)  # none becomes 0
    integers = np.where(weight.numpy() < 0, -integers, integers)
    weights["weight"] = np.where(held, integers, 0).astype(np.int64)
    return replace(node, op=op, weights=weights, weight_bits=option.weight_bits)


def as_full(shape: Sequence[int], pattern: Pattern, option: Option) -> npt.NDArray[np.bool_]:
    """Return a support (K, C, kh, kw) of the pattern whose words are as full, tap by tap, as the option's fullest ones.

    In each sub-row of a group of outputs one of its words, another one for the next group, holds all that it may; the
    others share the rest.
    """
    held = np.zeros((-(-shape[0] // pattern.outputs), *shape[1:]), dtype=bool)
    words = max(pattern.sub_row // WORD, 1)  # of a sub-row; a word of several holds as many of each
    order = np.array(sorted(range(WORD), key=lambda channel: channel % pattern.sub_row))
    for number, tap in enumerate(np.ndindex(*shape[2:])):
        limit = option.shares[number] * max(WORD // pattern.sub_row, 1)
        for begin in range(0, len(option.fullest), words):
            fullest = [word[number] for word in option.fullest[begin : begin + words]]
            for turn in range(len(fullest)):
                left = limit
                for place in (*range(turn, len(fullest)), *range(turn)):
                    taken = min(fullest[place], left)
                    left -= taken
                    channels = (begin + place) * WORD + order
                    held[(slice(turn, None, len(fullest)), channels[channels < shape[1]][:taken], *tap)] = True
    return held.repeat(pattern.outputs, axis=0)[: shape[0]]
