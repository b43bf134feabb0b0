"""Which tile, pattern and bits each layer gets: measured one at a time, chosen together, judged by accuracy.

    sensitivities ─ what one choice alone does to the float network's answers (Kullback-Leibler divergence)
    selection     ─ the cheapest choices whose divergences add up to a budget (a linear programme in integers)
    judgement     ─ the budget that still keeps the accuracy, found by quantising the whole network

That small independent errors add up is an approximation; the judgement does not rely on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import Bounds, LinearConstraint, milp

from quant.arrangement.arrange import Arrangement, arrange
from quant.arrangement.forms import layer_forms
from quant.config import Normalisation, QuantiseConfig
from quant.quantise import quantise
from quant.search.notebook import Notebook
from quant.search.prices import Prices, Saves, Target, bit_operations, cycles, multiplications
from quant.search.sensitivity import MAX_IMAGES, Option, Sensitivities, Space, measure
from quant.sparsity.choice import Choice, shaped
from toolflow.engine.config import EngineConfig
from toolflow.interpreter.run import logits_of
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import QuantisedGraph

MAX_JUDGED = 2000  # images, of those that are used otherwise too
TILE_BITS = 8  # at which tiles alone are searched
TRIALS = 6  # networks that are judged after the plainest one
PRICED_IMAGES = 32  # on which the network is quantised whose cycles are asked for: they do not depend on it

TIE = 1e-6  # weight of the divergence among selections that cost the same
LEAST = 1e-9  # divergence that counts as none
SAME_COST, SAME_BUDGET = 0.995, 1.05  # closer than that, two selections or budgets count as one


@dataclass(frozen=True)
class Selection:
    """The option of every layer and the bits of every group, what they cost, and their divergences' sum.

    `engine` is the one whose cycles the cost counts, None where it counts none.
    """

    layers: Mapping[str, Option]
    groups: Mapping[str, int]
    cost: float
    divergence: float
    engine: EngineConfig | None = None


@dataclass(frozen=True)
class Trial:
    """A network that was judged.

    Attributes:
        divergence: the sum of its choices' own.
        cost: over the plainest network's.
        accuracy: of the whole network in integers.
    """

    divergence: float
    cost: float
    accuracy: float


@dataclass(frozen=True)
class SearchResult:
    """What the search ended with.

    Attributes:
        config: the given configuration with tiles, patterns and bits of every layer.
        saves: what the cost counts.
        trials: in their order; the first is the plainest network that fits the target.
        chosen: the place of the result among them.
        engine: on which the result takes fewest cycles, None where they were not counted.
    """

    config: QuantiseConfig
    saves: Saves
    trials: tuple[Trial, ...]
    chosen: int
    engine: EngineConfig | None


def plainest(found: Sensitivities, prices: Sequence[Prices]) -> Selection:
    """Return the first option of each layer, and the most bits of each group."""
    layers = {name: options[0] for name, options in found.layers.items()}
    groups = {group: max(widths) for group, widths in found.groups.items()}
    chosen = [(name, option, groups[found.source[name]]) for name, option in layers.items()]
    divergence = sum(o.divergence for o in layers.values()) + sum(found.groups[g][bits] for g, bits in groups.items())
    best = min(prices, key=lambda price: price.total(chosen))
    return Selection(layers, groups, best.total(chosen), divergence, best.engine)


def select(found: Sensitivities, budget: float, prices: Sequence[Prices]) -> Selection:
    """Return the cheapest selection whose divergences add up to the budget at most, whichever prices count.

    Where the budget is less than any selection needs, the one that needs least is returned.
    """
    selections = [_selected(found, budget, price) for price in prices]
    limit = max(budget, min(selection.divergence for selection in selections)) * (1 + 1e-6)
    return min((s for s in selections if s.divergence <= limit), key=lambda s: s.cost)


def _selected(found: Sensitivities, budget: float, prices: Prices) -> Selection:
    """Return the same at one list of prices.

    A variable is 1 where a layer takes an option and its input has so many bits, or where a group has so many bits; the
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


def search(
    graph: Graph,
    images: npt.NDArray[np.uint8],
    normalisation: Normalisation,
    config: QuantiseConfig,
    space: Space,
    judged: npt.NDArray[np.uint8],
    truth: npt.NDArray[np.int64],
    allowed: float,
    progress: Callable[[str], None] = lambda _: None,
    notebook: Path | None = None,
    target: Target | None = None,
) -> SearchResult:
    """Return the cheapest configuration that loses no more accuracy than allowed against the plainest one.

    Cheap is what takes few cycles on the target. Where there is none, it is what has few bit-operations, or few
    multiplications where all widths are fixed.

    Args:
        graph: the float network, through the passes.
        images: calibration images, uint8 (N, H, W, C).
        normalisation: from pixel to the network's input.
        config: what the space leaves open.
        space: what to choose from.
        judged: images to read accuracies on, others than those.
        truth: their classes (N,).
        allowed: share of the judged images.
        progress: is told what is measured or judged.
        notebook: a file for what is found out, from which a search that was cut short goes on.
        target: the board whose engines' cycles count, None to count operations.

    Raises:
        DoesNotFitError: the network fits the board in no form.
    """
    arrangement = arrange(graph, narrow=config.activation_bits < config.first_last_bits)
    layer_forms(arrangement, config)  # what cannot be is refused before anything is measured
    settings = {"config": config.model_dump(mode="json"), "space": asdict(space)}
    book = Notebook(notebook, graph, (images, judged, truth), settings | normalisation.model_dump())
    x = torch.as_tensor(normalisation.apply(images[:MAX_IMAGES])).float()

    def measured() -> Sensitivities:
        with torch.no_grad():
            return measure(arrangement, x, config, space, lambda what: progress(f"measure {what}"))

    found = book.measured(measured)
    count = 0

    def accuracy(candidate: QuantiseConfig) -> float:
        nonlocal count
        count += 1
        what = f"judge network {count} of {TRIALS + 1} at most"

        def judge() -> float:
            made = quantise(
                graph, images, normalisation, candidate, progress=lambda layer: progress(f"{what}, {layer}")
            )
            return float((logits_of(made.graph, judged).argmax(axis=1) == truth).mean())

        return book.judged(candidate, judge)

    if not found.layers:
        return SearchResult(config, "multiplications", (Trial(0.0, 1.0, accuracy(config)),), 0, None)

    def base() -> QuantisedGraph:
        progress("quantise the network that engines are planned for")
        plain = {"tile": 0, "tiles": {}, "pattern": None, "patterns": {}, "rounding": "nearest"}
        return quantise(graph, images[:PRICED_IMAGES], normalisation, config.model_copy(update=plain)).graph

    saves: Saves
    if target is not None:
        saves, prices = "cycles", cycles(found, arrangement, base(), config, target, progress)
    elif max(len(space.weight_bits), len(space.activation_bits)) > 1:
        saves, prices = "bit-operations", (bit_operations(),)
    else:
        saves, prices = "multiplications", (multiplications(),)
    return cheapest(found, prices, saves, lambda selected: configured(config, selected, arrangement), accuracy, allowed)


def search_tiles(
    graph: Graph,
    images: npt.NDArray[np.uint8],
    truth: npt.NDArray[np.int64],
    normalisation: Normalisation,
    choices: Mapping[str, Choice],
    allowed: float,
    progress: Callable[[str], None] = lambda _: None,
    notebook: Path | None = None,
    target: Target | None = None,
    fixed: Collection[str] = (),
) -> SearchResult:
    """Search the tiles of a network that is pruned without training, at `TILE_BITS`; direct layers are the plainest.

    Args:
        graph: the float network, through the passes.
        images: uint8 (N, H, W, C); at most half of them, up to `MAX_JUDGED`, are judged on.
        truth: their classes (N,).
        normalisation: from pixel to the network's input.
        choices: how layers are to be computed; those that have a tile may get another one, or none; all others are
            judged as chosen.
        allowed: accuracy that may be lost.
        progress: is told what is measured or judged.
        notebook: as in `search`.
        target: as in `search`.
        fixed: layers that keep the tile of their choice; those that have none stay direct and dense.
    """
    judged = min(len(images) // 2, MAX_JUDGED)
    searched = {name for name, choice in choices.items() if choice.tile} - set(fixed)
    patterns = {name: choices[name].pattern for name in choices if name in searched}
    others = {name: choice for name, choice in choices.items() if name not in searched}
    pairs = {name: None if pattern is None else (pattern.kept, pattern.sub_row) for name, pattern in patterns.items()}
    direct = dict.fromkeys(sorted(set(fixed) - set(choices)), 0)  # and dense: such layers have no choice
    config = QuantiseConfig(tiles=direct, patterns=pairs)  # type: ignore[arg-type]  # checked by the model
    space = Space((0, 2, 4), (None,), (TILE_BITS,), (TILE_BITS,))
    used = images[judged:], normalisation, config, space
    found = images[:judged], truth[:judged]
    return search(shaped(graph, others), *used, *found, allowed, progress, notebook, target)


def cheapest(
    found: Sensitivities,
    prices: Sequence[Prices],
    saves: Saves,
    configure: Callable[[Selection], QuantiseConfig],
    accuracy: Callable[[QuantiseConfig], float],
    allowed: float,
) -> SearchResult:
    """Return the cheapest configuration that is allowed: budgets are halved in their logarithm.

    Args:
        found: what one choice does.
        prices: what it costs, in each way to run the network.
        saves: what the prices count.
        configure: from a selection to the network's configuration.
        accuracy: of the whole network.
        allowed: accuracy that may be lost against the plainest selection.
    """
    plain = plainest(found, prices)
    if plain.cost == math.inf:  # it fits no engine: the network nearest to it that does
        plain = select(found, 0.0, prices)
    config, chosen, best = configure(plain), 0, plain
    trials = [Trial(plain.divergence, 1.0, accuracy(config))]
    lower = max(select(found, 0.0, prices).divergence, LEAST)
    upper = max(select(found, math.inf, prices).divergence, lower)
    budget = upper  # the cheapest of all may do
    while len(trials) <= TRIALS:
        selection = select(found, budget, prices)
        if selection.cost > SAME_COST * best.cost:
            lower = budget
        else:
            candidate = configure(selection)
            trials.append(Trial(selection.divergence, selection.cost / plain.cost, accuracy(candidate)))
            if trials[-1].accuracy >= trials[0].accuracy - allowed:
                lower, best, config, chosen = budget, selection, candidate, len(trials) - 1
            else:
                upper = budget
        if upper <= SAME_BUDGET * lower:
            break
        budget = math.sqrt(lower * upper)
    return SearchResult(config, saves, tuple(trials), chosen, best.engine)
