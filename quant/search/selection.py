"""Select the cheapest options whose divergences stay within a budget: an integer linear programme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from quant.arrangement.arrange import Arrangement
from quant.config import QuantiseConfig
from quant.search.prices import Prices
from quant.search.sensitivity import Option, Sensitivities
from toolflow.engine.config import EngineConfig

TIE = 1e-6  # weight of the divergence among selections that cost the same


@dataclass(frozen=True)
class Selection:
    """The option of every layer, the bits of every group, their cost, and the sum of their divergences.

    `engine` is the engine of the cycles that the cost counts; None if it does not count cycles.
    """

    layers: Mapping[str, Option]
    groups: Mapping[str, int]
    cost: float
    divergence: float
    engine: EngineConfig | None = None


def plainest(found: Sensitivities, prices: Sequence[Prices]) -> Selection:
    """Return the first option of each layer, and the most bits of each group."""
    layers = {name: options[0] for name, options in found.layers.items()}
    groups = {group: max(widths) for group, widths in found.groups.items()}
    chosen = [(name, option, groups[found.source[name]]) for name, option in layers.items()]
    divergence = sum(o.divergence for o in layers.values()) + sum(found.groups[g][bits] for g, bits in groups.items())
    best = min(prices, key=lambda price: price.total(chosen))
    return Selection(layers, groups, best.total(chosen), divergence, best.engine)


def select(found: Sensitivities, budget: float, prices: Sequence[Prices]) -> Selection:
    """Return the cheapest selection within the budget of divergence, over all price lists.

    If every selection exceeds the budget, the one with the smallest divergence is returned.
    """
    selections = [_selected(found, budget, price) for price in prices]
    limit = max(budget, min(selection.divergence for selection in selections)) * (1 + 1e-6)
    return min((s for s in selections if s.divergence <= limit), key=lambda s: s.cost)


def _selected(found: Sensitivities, budget: float, prices: Prices) -> Selection:
    """Return the cheapest selection with one price list.

    A variable is 1 if a layer takes an option and its input has so many bits, or where a group has so many bits; the
    two kinds must agree.
    """
    columns = [
        (name, option, bits)
        for name, options in found.layers.items()
        for option in options
        for bits in found.groups[found.source[name]]
        if math.inf not in prices.of(name, option, bits)
    ]
    groups = [(group, bits) for group, widths in found.groups.items() for bits in widths]
    cost = np.array([prices.of(*column) for column in columns] + [(0.0,) * len(prices.rest)] * len(groups)).T
    divergence = np.array([o.divergence for _, o, _ in columns] + [found.groups[g][b] for g, b in groups])
    rows, totals = [], []
    for name in found.layers:
        rows.append([column[0] == name for column in columns] + [False] * len(groups))
        totals.append(1)
    for group in found.groups:
        rows.append([False] * len(columns) + [pair[0] == group for pair in groups])
        totals.append(1)
    agree = []
    for name, source in found.source.items():
        for pair in groups:
            if pair[0] == source:
                mine = [column[0] == name and column[2] == pair[1] for column in columns]
                agree.append(np.array(mine + [-(other == pair) for other in groups], dtype=np.float64))
    matrix = np.vstack([np.array(rows, dtype=np.float64), *agree])
    totals += [0] * len(agree)
    least = sum(min(o.divergence for each, o, _ in columns if each == name) for name in found.layers)
    least += sum(min(widths.values()) for widths in found.groups.values())
    # the last variable is the cost, over the dearest option's: no less than any of those that work at the same time
    unit = max(cost.max(initial=1.0), 1.0)
    rest = np.array(prices.rest) / unit
    result: Any = milp(
        np.append(TIE * divergence / max(divergence.max(), 1e-30), 1.0),
        constraints=[
            LinearConstraint(np.pad(matrix, ((0, 0), (0, 1))), totals, totals),
            LinearConstraint(np.append(divergence / max(budget, least, 1e-12), 0.0)[None, :], -np.inf, 1 + 1e-9),
            LinearConstraint(np.column_stack([cost / unit, np.full(len(rest), -1.0)]), -np.inf, -rest),
        ],
        integrality=np.append(np.ones(cost.shape[1], dtype=np.int64), 0),
        bounds=Bounds(0, np.append(np.ones(cost.shape[1]), np.inf)),
        options={"mip_rel_gap": 1e-3},
    )
    assert result.x is not None, result.message
    taken = result.x[:-1] > 0.5
    return Selection(
        {name: option for (name, option, _), use in zip(columns, taken, strict=False) if use},
        {group: bits for (group, bits), use in zip(groups, taken[len(columns) :], strict=True) if use},
        prices.total(column for column, use in zip(columns, taken, strict=False) if use),
        float(divergence @ taken),
        prices.engine,
    )


def configured(config: QuantiseConfig, selection: Selection, arrangement: Arrangement) -> QuantiseConfig:
    """Return the configuration with a selection's tiles, patterns and bits."""
    tiles = {name: option.tile for name, option in selection.layers.items() if option.tile is not None}
    patterns = {name: option.pattern for name, option in selection.layers.items() if option.tile is not None}
    weights = {name: option.weight_bits for name, option in selection.layers.items()}
    overrides = dict(config.overrides)
    for group, nodes in arrangement.producers.items():
        for node in nodes:
            if group in selection.groups or node.name in weights:
                own = config.first_last_bits if node.name in arrangement.first else config.weight_bits
                own, _ = config.overrides.get(node.name, (own, 0))
                bits = selection.groups.get(group, config.activation_bits)
                overrides[node.name] = weights.get(node.name, own), bits
    # those that cannot carry the pattern of all are left to it, and to what is said of them
    held = patterns if config.pattern is None else dict(config.patterns)
    update = {"tiles": tiles, "patterns": held, "overrides": overrides}
    return QuantiseConfig.model_validate({**config.model_dump(), **update})
