"""Which tiles and patterns the user wants a network pruned to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolflow.ir.errors import ToolflowError
from toolflow.numerics.srbs import Pattern, parse_pattern

if TYPE_CHECKING:
    from quant.search.prices import Target
    from quant.sparsity.choice import Choice
    from toolflow.ir.graph import Graph


@dataclass(frozen=True)
class Wanted:
    """The patterns and tiles that the user wants.

    Attributes:
        tile: of the layers that have a Winograd form, None to search each one's.
        pattern: of the layers that carry one unasked.
        named: of single layers, None for dense.
        tiles: of single layers, 0 for direct convolution.
        search_loss: accuracy that the search may lose against direct layers.
        board: name or file of the board whose cycles the search saves, None to save multiplications.
        engine: engine parameters that are fixed for it.
    """

    tile: int | None
    pattern: Pattern
    named: Mapping[str, Pattern | None]
    tiles: Mapping[str, int]
    search_loss: float
    board: str | Path | None = None
    engine: tuple[tuple[str, int | str], ...] = ()

    def inputs(self) -> dict[str, Any]:
        """Return what a stage's fingerprint must cover."""
        named = {name: None if pattern is None else str(pattern) for name, pattern in sorted(self.named.items())}
        searched = {"search_loss": self.search_loss, "board": self.board, "engine": self.engine}
        return {"tile": self.tile, "pattern": str(self.pattern), "named": named, "tiles": dict(self.tiles), **searched}

    def target(self) -> Target | None:
        """Return the board whose cycles the search saves, None where it saves multiplications.

        Raises:
            ToolflowError: there is no such board, or no engine with the parameters that are fixed.
        """
        if self.board is None:
            return None
        from quant.search.prices import Target
        from quant.search.problem import TILE_BITS

        return Target.of_options(self.board, TILE_BITS, dict(self.engine))

    def choices(self, graph: Graph) -> tuple[dict[str, Choice], tuple[str, ...]]:
        """Return the choice of every layer, tiles of 2 where they are to be searched, and sentences about the rest."""
        from quant.sparsity.choice import choose_layers

        return choose_layers(graph, 2 if self.tile is None else self.tile, self.pattern, self.named, self.tiles)


def parse_layer_patterns(text: str | None) -> dict[str, Pattern | None]:
    """Return {layer: pattern, None for dense} of `--layer-pattern`.

    Raises:
        ToolflowError: the text is no list of NAME=n:S or NAME=dense, or a layer is given twice.
    """
    given = _by_layer("--layer-pattern", text, "NAME=n:S,.. or NAME=dense")
    return {name: None if each == "dense" else one_pattern("--layer-pattern", each) for name, each in given.items()}


def parse_layer_tiles(text: str | None) -> dict[str, int]:
    """Return {layer: tile, 0 for direct convolution} of `--layer-tile`.

    Raises:
        ToolflowError: the text is no list of NAME=TILE, or a layer is given twice.
    """
    given = _by_layer("--layer-tile", text, "NAME=TILE,.. with tiles of 0, 2 or 4")
    return {name: _tile(each) for name, each in given.items()}


def _by_layer(option: str, text: str | None, form: str) -> dict[str, str]:
    """Return {layer: what it is to have} of a list in the given form."""
    named: dict[str, str] = {}
    for part in text.split(",") if text else ():
        name, _, value = (piece.strip() for piece in part.rpartition("="))
        if not name:
            raise ToolflowError(f"{option} must be {form}, not '{part.strip()}'")
        if name in named:
            raise ToolflowError(f"{option}: layer '{name}' must be given once, not twice")
        named[name] = value
    return named


def _tile(text: str) -> int:
    if text not in ("0", "2", "4"):
        raise ToolflowError(f"--layer-tile: a tile must be 0, 2 or 4, not '{text}'")
    return int(text)


def one_pattern(option: str, text: str) -> Pattern:
    """Return the pattern that an option gives.

    Raises:
        ToolflowError: the text is none.
    """
    try:
        return parse_pattern(text)
    except ValueError as error:
        raise ToolflowError(f"{option}: {error}") from error
