"""A request to prune a network, as typed values that are checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.training.recipe import Recipe
from toolflow.flow.manifest import fingerprint
from toolflow.flow.precision import AUTO, TILES, Auto, read_pattern
from toolflow.flow.search import allowed_loss, require_board
from toolflow.flow.source import Source
from toolflow.flow.values import as_path_or_none, as_whole, refused, require_kind
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.numerics.srbs import Pattern
from toolflow.plan.boards.board import board_source

if TYPE_CHECKING:
    from quant.search.prices import Target
    from quant.sparsity.choice import Choice


@dataclass(frozen=True)
class PruneRequest:
    """A network, its requested tiles and patterns, and the training.

    Attributes:
        source: the model, and the images to prune or train on.
        pattern: pattern of all layers that can have one; also its text, for example "3:16".
        tile: tile of the layers that have a Winograd form; AUTO, or "auto", to search it for each layer.
        layer_patterns: patterns of single layers, None for dense.
        layer_tiles: tiles of single layers, 0 for direct convolution.
        recipe: the training recipe; None to prune without training.
        test: images to measure on; None to hold some of the others out.
        search_loss: accuracy that a search may lose against direct layers; None for 0.003.
        board: name or file of the board whose cycles a search saves; None to save multiplications.
        engine: fixed parameters of its engine.
        seed: seed of the samples that layers are solved on.

    Raises:
        ToolflowError: a value is out of its range, or values contradict each other.
    """

    source: Source
    pattern: Pattern
    tile: int | Auto
    layer_patterns: Mapping[str, Pattern | None] = field(default_factory=dict)
    layer_tiles: Mapping[str, int] = field(default_factory=dict)
    recipe: Recipe | None = None
    test: Path | None = None
    search_loss: float | None = None
    board: str | Path | None = None
    engine: Mapping[str, int | str] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        require_kind("source", self.source, Source)
        object.__setattr__(self, "test", as_path_or_none("--test", self.test))
        as_whole("--seed", self.seed, 0)
        if self.recipe is not None:
            require_kind("recipe", self.recipe, Recipe)
        for option, named in (("--layer-pattern", self.layer_patterns), ("--layer-tile", self.layer_tiles)):
            if not isinstance(named, Mapping):
                raise refused(option, "a mapping of layers to values", named)
        object.__setattr__(self, "pattern", read_pattern("--pattern", self.pattern))
        patterns = {
            name: None if pattern is None else read_pattern(f"--layer-pattern {name}", pattern)
            for name, pattern in self.layer_patterns.items()
        }
        object.__setattr__(self, "layer_patterns", patterns)
        if self.tile == AUTO:
            object.__setattr__(self, "tile", AUTO)
        elif self.tile not in TILES:
            raise ToolflowError(f"--tile must be 0, 2, 4 or auto, not {self.tile!r}")
        for name, tile in self.layer_tiles.items():
            if tile not in TILES:
                raise ToolflowError(f"--layer-tile {name} must be 0, 2 or 4, not {tile!r}")
        allowed_loss(self.search_loss, self.is_searched)
        require_board(self.board, self.engine)
        if self.board is not None and not self.is_searched:
            raise ToolflowError("--board must come with a search, for example --tile auto: it changes nothing else")
        if self.recipe is not None and not 0 < self.recipe.rate < 1:
            raise ToolflowError(f"--rate must be above 0 and below 1, not {self.recipe.rate}")

    @property
    def is_searched(self) -> bool:
        """Whether the tiles are searched."""
        return self.tile is AUTO

    @property
    def loss(self) -> float:
        """Accuracy that a search may lose."""
        return allowed_loss(self.search_loss, self.is_searched)

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files that the request reads; None for a file that is not given."""
        return *self.source.files, self.test

    def inputs(self) -> dict[str, Any]:
        """Return the values that a stage's fingerprint covers."""
        patterns = {name: pattern and str(pattern) for name, pattern in sorted(self.layer_patterns.items())}
        return {
            **self.source.inputs(),
            "test": self.test,
            "tile": self.tile,
            "pattern": str(self.pattern),
            "named": patterns,
            "tiles": dict(self.layer_tiles),
            "search_loss": self.loss,
            "board": None if self.board is None else board_source(self.board),
            "engine": sorted(self.engine.items()),
            "seed": self.seed,
            "training": self.recipe and asdict(self.recipe),
        }

    @cached_property
    def origin(self) -> str:
        """The hash of all inputs of the pruned network."""
        return fingerprint(self.inputs())

    def target(self) -> Target | None:
        """Return the board whose cycles a search saves, None if it saves multiplications.

        Raises:
            ToolflowError: there is no such board, or no engine with the parameters that are fixed.
        """
        if self.board is None:
            return None
        from quant.search.prices import Target
        from quant.search.problem import TILE_BITS

        return Target.of_options(board_source(self.board), TILE_BITS, dict(self.engine))

    def choices(self, graph: Graph) -> tuple[dict[str, Choice], tuple[str, ...]]:
        """Return the choice of every layer, tiles of 2 if they are to be searched, and sentences about the rest."""
        from quant.sparsity.choice import choose_layers

        tile = 2 if self.tile is AUTO else self.tile
        return choose_layers(graph, tile, self.pattern, self.layer_patterns, self.layer_tiles)
