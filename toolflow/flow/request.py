"""A request to the toolflow as typed values, parsed and checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from quant.cascade.calibrate import CalibrationOptions
from toolflow.flow.finetuning import Finetuning
from toolflow.flow.precision import AUTO, Precision
from toolflow.flow.search import Search, allowed_loss, require_board
from toolflow.flow.source import Source
from toolflow.flow.values import as_number, as_whole, require_kind
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.unit import VariantName
from toolflow.plan.boards.board import CLOCK_GIVEN, MAX_CLOCK_MHZ, Board, board_source, load_board
from toolflow.plan.explore.morphing import require_morphing
from toolflow.plan.explore.objective import THROUGHPUT, Objective


class Units(StrEnum):
    """The units to build."""

    FASTEST = "fastest"
    CASCADE = "cascade"
    MORPHING = "morphing"
    SINGLE = "single"


@dataclass(frozen=True)
class Request:
    """A network, its requested precision, and its target.

    Attributes:
        source: the model and its images.
        precision: the requested quantisation; values that are AUTO are searched.
        board: name or file of the board. `build` needs it; a search saves cycles on it.
        engine: fixed parameters of every unit's engine, by the names of `EngineConfig`'s fields.
        objective: the objective that the engines are chosen for; also its goal alone, "throughput" or "latency".
        units: the faster of a cascade and a single unit, both units of a cascade, both as programs of one engine, or
            the high-precision unit alone; also its text.
        tolerance: accuracy that the cascade may lose against its high-precision unit: 0.01 is one point.
        search_loss: accuracy that a search may lose; None for 0.003.
        finetuning: finetuning of units below 8 bits; None for none.
        clock: the clock in MHz to plan for; None for the board's own, or the estimate.

    Raises:
        ToolflowError: a value is out of its range, or values contradict each other.
    """

    source: Source
    precision: Precision = field(default_factory=Precision)
    board: str | Path | None = None
    engine: Mapping[str, int | str] = field(default_factory=dict)
    objective: Objective = THROUGHPUT
    units: Units = Units.FASTEST
    tolerance: float = 0.01
    search_loss: float | None = None
    finetuning: Finetuning | None = None
    clock: int | None = None

    def __post_init__(self) -> None:
        require_kind("source", self.source, Source)
        require_kind("precision", self.precision, Precision)
        if self.finetuning is not None:
            require_kind("finetuning", self.finetuning, Finetuning)
        as_number("--tolerance", self.tolerance)
        if self.clock is not None:
            as_whole("--clock", self.clock, 1, MAX_CLOCK_MHZ)
        if self.units not in tuple(Units):
            raise ToolflowError(f"units must be one of {', '.join(Units)}, not {self.units!r}")
        object.__setattr__(self, "units", Units(self.units))
        if not isinstance(self.objective, Objective):
            object.__setattr__(self, "objective", Objective.of(self.objective, None))
        CalibrationOptions(self.tolerance)  # a wrong value must not cost the time of a quantisation
        require_board(self.board, self.engine)
        if self.units is Units.MORPHING and self.board is not None and not self.source.is_quantised:
            require_morphing(self.precision.low_bits, self.precision.high_bits, load_board(self.board))
        if self.source.pruned is not None:
            for name, value in (("tile", self.precision.tile), ("pattern", self.precision.pattern)):
                if value is AUTO:
                    raise ToolflowError(
                        f"--{name} auto must not be given with --pruned, whose tiles and patterns are fixed"
                    )
        _ = self.search  # checks its values

    @cached_property
    def search(self) -> Search:
        """The search of quantisation; the tiles and patterns of a pruned network are fixed."""
        pruned = self.source.pruned is not None
        return Search(
            replace(self.precision, tile=0, pattern=None) if pruned else self.precision,
            allowed_loss(self.search_loss, self.precision.is_open),
            None if self.board is None else board_source(self.board),
            self.engine,
        )

    @property
    def variants(self) -> tuple[VariantName, ...]:
        """The variants that are quantised."""
        if self.source.low is not None or self.source.is_quantised:
            return (VariantName.HIGH,) if self.source.low is None or self.units is Units.SINGLE else tuple(VariantName)
        single = self.units is Units.SINGLE or self.precision.low_bits == self.precision.high_bits
        return (VariantName.HIGH,) if single else tuple(VariantName)

    def bits(self, variant: VariantName) -> int:
        """Return the width of a variant's inner layers."""
        return self.precision.low_bits if variant is VariantName.LOW else self.precision.high_bits

    def require_untouched(self) -> None:
        """Refuse what cannot be asked of a network that was quantised elsewhere: nothing of it is chosen again.

        Raises:
            ToolflowError: names what must be left out.
        """
        if not self.source.is_quantised:
            return
        asked = {
            "--finetune": self.finetuning is not None,
            "--pruned": self.source.pruned is not None,
            "--search-loss": self.search_loss is not None,
            "bits, scales, tiles, patterns, ranges and rounding": self.precision != Precision(),
        }
        wrong = [what for what, given in asked.items() if given]
        if wrong:
            raise ToolflowError(
                f"'{self.source.model}' is quantised already and is taken over as it is: leave out {', '.join(wrong)}"
            )

    def board_to_build(self) -> Board:
        """Return the board.

        Raises:
            ToolflowError: no board is given, or it does not exist.
        """
        if self.board is None:
            raise ToolflowError("a board must be given to build for: see 'toolflow boards'")
        board = load_board(self.board)
        return board if self.clock is None else board.at_clock(self.clock, CLOCK_GIVEN)

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files that the request reads; None for a file that is not given."""
        return *self.source.files, None if self.finetuning is None else self.finetuning.file

    @property
    def transforms(self) -> bool:
        """Whether there may be Winograd layers."""
        return self.source.transforms or self.search.transforms

    @property
    def is_dense(self) -> bool:
        """Whether all weights are kept."""
        return self.source.pruned is None and self.precision.pattern is None

    def graph(self) -> Graph:
        """Import and simplify the network; a pruned network must have the requested tile and pattern.

        Raises:
            ToolflowError: as `Source.graph`.
        """
        if self.source.pruned is None:
            return self.source.graph()
        tile, pattern = self.precision.tile, self.precision.pattern
        return self.source.graph(None if tile is AUTO or tile == 0 else tile, None if pattern is AUTO else pattern)
