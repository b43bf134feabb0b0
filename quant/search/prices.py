"""The costs of layer options: multiplications, bit-operations, or cycles on engines for a board.

Cycles come from the cycle model. A layer's cycles depend on the engine, because transform and drain can take longer
than the multipliers, and the best engine depends on the layers. So the planner chooses an engine for the whole network
in each form, a selection is priced on all these engines, and the cheapest price counts. The external memory works in
parallel: if it needs longer for a selection's weights, its cycles are the cost.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from quant.arrangement.arrange import Arrangement
from quant.config import QuantiseConfig
from quant.search.sensitivity import Option, Sensitivities
from quant.search.stand_in import stand_in
from toolflow.engine.config import FITTED, EngineConfig
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.srbs import Pattern
from toolflow.plan.boards.board import Board, load_board
from toolflow.plan.explore.choose import best_single, check_engine, timed_engines
from toolflow.plan.explore.estimate import layer_cycles

Saves = Literal["multiplications", "bit-operations", "cycles"]
_Key = tuple[int | None, Pattern | None, int]


@dataclass(frozen=True)
class Prices(ABC):
    """The prices of layers for one way to run the network.

    Several resources work in parallel. The cost of a network is the largest of their sums over the layers.

    Attributes:
        rest: the cost that no option changes.
        engine: the engine of the prices, or None if they hold for any engine.
    """

    rest: tuple[float, ...] = (0.0,)
    engine: EngineConfig | None = None

    @abstractmethod
    def of(self, layer: str, option: Option, bits: int) -> tuple[float, ...]:
        """Return a layer's price for each parallel resource, with an option and the bits of its input.

        The price is infinite if the layer cannot run in this way.
        """

    def total(self, chosen: Iterable[tuple[str, Option, int]]) -> float:
        """Return the cost of a network with these options."""
        return float(max(np.sum([self.rest, *(self.of(*each) for each in chosen)], axis=0)))


class Multiplications(Prices):
    """The multiplications of an image, whatever their width."""

    def of(self, layer: str, option: Option, bits: int) -> tuple[float, ...]:
        """Return a layer's multiplications."""
        return (option.multiplications,)


class BitOperations(Prices):
    """The multiplications of an image times the widths of both operands."""

    def of(self, layer: str, option: Option, bits: int) -> tuple[float, ...]:
        """Return a layer's bit-operations."""
        return (option.multiplications * option.weight_bits * option.operand[bits],)


@dataclass(frozen=True)
class EngineCycles(Prices):
    """The cycles of an image on one engine, and those that its external memory takes.

    Attributes:
        table: cycles by layer and option.
    """

    table: Mapping[tuple[str, _Key], tuple[float, float]] = field(default_factory=dict)

    def of(self, layer: str, option: Option, bits: int) -> tuple[float, ...]:
        """Return a layer's cycles on the array, and in the memory."""
        return self.table.get((layer, _key(option)), (math.inf, math.inf))


@dataclass(frozen=True)
class Target:
    """The target of the network.

    Attributes:
        board: the board that engines are planned for.
        bits: bits of the inner layers.
        fixed: engine parameters that the user fixed.
    """

    board: Board
    bits: int
    fixed: Mapping[str, int | str]

    @classmethod
    def of_options(cls, board: str | Path, bits: int, fixed: Mapping[str, int | str]) -> Target:
        """Return the target on a board that is given by name or file.

        Raises:
            ToolflowError: there is no such board, or no engine with the parameters that are fixed.
        """
        found = load_board(board)
        check_engine(fixed, {bits}, found)
        return cls(found, bits, fixed)


def cycles(
    found: Sensitivities,
    arrangement: Arrangement,
    base: QuantisedGraph,
    config: QuantiseConfig,
    target: Target,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Prices, ...]:
    """Return the prices in cycles of an image, on each engine that is best for one form of the whole network.

    Args:
        found: the options.
        arrangement: the float network.
        base: the network in integers, in any form; types and places are taken from it.
        config: how wide integers are cut.
        target: the board and what is fixed.
        progress: called with each form.

    Raises:
        DoesNotFitError: no form of the network fits the board.
        ToolflowError: no engine can have the parameters that are fixed.
    """
    forms = _whole_networks(found)
    networks = [stand_in(base, arrangement, form, config) for form in forms]
    engines: dict[str, EngineConfig] = {}  # each once, whatever depths its own network needs
    refused = None
    for count, network in enumerate(networks, 1):
        progress(f"plan an engine, {count} of {len(networks)}")
        try:
            timed = timed_engines(network, target.bits, target.fixed, target.board, alone=True)
            best = best_single(timed, target.board, f"'{network.name}' at {target.bits} bits").config
            engines.setdefault(best.model_dump_json(exclude={*FITTED}), best)
        except DoesNotFitError as error:
            refused = refused or error
    priced = [_priced(engine, forms, networks, found, target.board) for engine in engines.values()]
    runnable = [prices for prices in priced if prices is not None]
    if not runnable and refused is not None:
        raise refused
    return tuple(runnable)


def _priced(
    engine: EngineConfig,
    forms: Sequence[Mapping[str, Option]],
    networks: Sequence[QuantisedGraph],
    found: Sensitivities,
    board: Board,
) -> EngineCycles | None:
    """Return one engine's prices, or None if it cannot run some layer."""
    table: dict[tuple[str, _Key], tuple[float, float]] = {}
    rest = 0.0, 0.0
    for form, network in zip(forms, networks, strict=True):
        counted = layer_cycles(network, engine, board)
        if counted is not None:
            both = {name: (counted.engine[name], counted.memory[name]) for name in counted.engine}
            table |= {(name, _key(option)): both[name] for name, option in form.items()}
            others = [both[name] for name in both if name not in form]
            rest = tuple(np.sum([(counted.engine_rest, counted.memory_rest), *others], axis=0).tolist())
    if {name for name, _ in table} != set(found.layers):
        return None
    return EngineCycles(rest, engine, table)


def _key(option: Option) -> _Key:
    return option.tile, option.pattern, option.weight_bits


def _whole_networks(found: Sensitivities) -> list[Mapping[str, Option]]:
    """Return networks, one option for each layer, so that each option occurs in at least one of them."""
    keys = dict.fromkeys(_key(option) for options in found.layers.values() for option in options)
    networks: dict[tuple[_Key, ...], Mapping[str, Option]] = {}
    for key in keys:

        def alike(option: Option, key: _Key = key) -> int:
            return sum(mine == wanted for mine, wanted in zip(_key(option), key, strict=True))

        network = {name: max(options, key=alike) for name, options in found.layers.items()}
        networks.setdefault(tuple(map(_key, network.values())), network)
    return list(networks.values())
