"""A request to compress a network by recipes, as typed values that are checked once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from toolflow.flow.search import require_board
from toolflow.flow.source import Source
from toolflow.flow.values import as_number, as_path_or_none, as_whole, refused, require_kind
from toolflow.flow.workers import require_workers
from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.board import Board, board_source, load_board
from toolflow.plan.explore.choose import check_engine

if TYPE_CHECKING:
    from quant.mechanisms.cost import Pricing
    from quant.recipes.recipe import CompressionRecipe
    from toolflow.ir.graph import Graph

DEFAULT_BOARD = "zcu104"


@dataclass(frozen=True)
class CompressRequest:
    """A network, the recipes that make it smaller, and the board that its cost is counted on.

    Attributes:
        source: the model, and the images to train and to judge on.
        recipes: in order: names, Python files, or recipes with their settings.
        board: name or file of the board.
        engine: fixed parameters of its engine.
        budget: share of the cycles that may remain, above 0 and below 1; None if the recipes decide.
        settings: settings of the recipes by name, as texts; each must be one of a recipe at least.
        test: images to report on; None to hold some of the others out.
        workers: processes that judge candidates, or the address of a Dask scheduler.
        batch: images of an optimiser step.
        flip: whether to train on mirrored images too.
        seed: of all random choices.

    Raises:
        ToolflowError: a value is out of its range, or values contradict each other.
    """

    source: Source
    recipes: Sequence[str | CompressionRecipe]
    board: str | Path = DEFAULT_BOARD
    engine: Mapping[str, int | str] = field(default_factory=dict)
    budget: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    test: Path | None = None
    workers: int | str = 1
    batch: int = 64
    flip: bool = False
    seed: int = 0
    _pricing: Pricing | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_kind("source", self.source, Source)
        object.__setattr__(self, "test", as_path_or_none("--test", self.test))
        if isinstance(self.recipes, str) or not isinstance(self.recipes, Sequence) or not self.recipes:
            raise refused("--recipe", "one recipe or several", self.recipes)
        require_board(self.board, self.engine)
        if self.budget is not None and not 0 < as_number("--budget", self.budget) < 1:
            raise ToolflowError(f"--budget must be above 0 and below 1, a share of the cycles, not {self.budget}")
        require_workers(self.workers)
        as_whole("--batch", self.batch, 2)
        as_whole("--seed", self.seed, 0)
        if self.source.pruned is not None:
            raise ToolflowError("a pruned file cannot be compressed: compress first, then prune")

    @cached_property
    def steps(self) -> tuple[CompressionRecipe, ...]:
        """The recipes with their settings.

        Raises:
            ToolflowError: there is no such recipe, or no recipe has such a setting or takes a budget.
        """
        from quant.recipes.catalogue import find_recipe, with_settings

        found: list[CompressionRecipe] = []
        used: set[str] = set()
        for given in self.recipes:
            recipe = find_recipe(given) if isinstance(given, str) else given
            recipe, names = with_settings(recipe, self.settings)
            found.append(recipe)
            used |= names
        if unknown := sorted(set(self.settings) - used):
            known = sorted({name for recipe in found for name in asdict(recipe)})
            raise ToolflowError(f"--settings must be of the recipes: {', '.join(known)}, not {', '.join(unknown)}")
        if self.budget is not None and not any(recipe.takes_budget for recipe in found):
            given = ", ".join(recipe.name for recipe in found)
            raise ToolflowError(f"--budget must come with a recipe that takes one; {given} finds its own size")
        return tuple(found)

    def board_to_use(self) -> Board:
        """Return the board.

        Raises:
            ToolflowError: there is no such board, or no engine with the parameters that are fixed.
        """
        board = load_board(board_source(self.board))
        check_engine(self.engine, {8}, board)
        return board

    def pricing(self, graph: Graph) -> Pricing:
        """Return the prices on the engine that is best for the network before; it is planned once.

        Raises:
            DoesNotFitError: no engine for the network fits the board.
        """
        from quant.mechanisms.cost import Pricing

        if self._pricing is None:
            object.__setattr__(self, "_pricing", Pricing.of(graph, self.board_to_use(), self.engine))
        return cast("Pricing", self._pricing)

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files that the request reads; None for a file that is not given."""
        own = (Path(given) for given in self.recipes if isinstance(given, str) and given.endswith(".py"))
        return *self.source.files, self.test, *own

    def inputs(self) -> dict[str, Any]:
        """Return the values that a stage's fingerprint covers; the number of workers changes nothing."""
        return {
            **self.source.inputs(),
            "test": self.test,
            "board": board_source(self.board),
            "engine": sorted(self.engine.items()),
            "budget": self.budget,
            "training": [self.batch, self.flip, self.seed],
        }

    def inputs_of(self, index: int) -> dict[str, Any]:
        """Return the values that the fingerprint of one recipe's stage covers."""
        recipe = self.steps[index]
        code = inspect.getsourcefile(type(recipe))
        return {**self.inputs(), "recipe": [recipe.name, asdict(recipe)], "code": None if code is None else Path(code)}
