"""The search of the tiles, patterns and bits that a request leaves open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from quant.config import DIGIT_BITS, QuantiseConfig
from toolflow.flow.engine_parameters import require_engine
from toolflow.flow.precision import AUTO, Precision
from toolflow.flow.values import as_share, require_board_name
from toolflow.ir.errors import ToolflowError, explained
from toolflow.ir.unit import VariantName
from toolflow.numerics.srbs import Pattern
from toolflow.plan.boards.board import load_board
from toolflow.plan.explore.shapes import longest_word

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from quant.config import Normalisation
    from quant.search.prices import Target
    from quant.search.search import SearchResult
    from quant.search.sensitivity import Space
    from toolflow.ir.graph import Graph

SAVES_MULTIPLICATIONS = "the search saves multiplications, whatever the engine; with --board B it saves cycles there"
AUTO_SIXTEENTHS = 8, 6, 4, 3  # that patterns keep of each sub-row
AUTO_SUB_ROW = 16  # where no board has shorter words
SEARCH_LOSS = 0.003
LEAST_WEIGHT_BITS, LEAST_ACTIVATION_BITS = 3, 4  # that a search tries


@dataclass(frozen=True)
class Search:
    """What is fixed and what is searched of each variant, and for which engine; `Request.search` makes it.

    Attributes:
        precision: the requested quantisation.
        loss: accuracy that a search may lose.
        board: name or file of the board whose cycles a search saves; None to save operations.
        engine: fixed parameters of the engine.

    Raises:
        ToolflowError: a value is out of its range, or the engine is none that bits can be searched for.
    """

    precision: Precision
    loss: float = SEARCH_LOSS
    board: str | Path | None = None
    engine: Mapping[str, int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.array_bits is not None and not 2 <= self.array_bits < self.precision.high_bits:
            raise ToolflowError(
                f"--layer-bits auto must have an array narrower than --high-bits {self.precision.high_bits}, not "
                f"--engine weight_bits={self.array_bits}: weights below that width save no cycles"
            )
        for variant in VariantName:
            try:
                self.config(variant)
            except ValidationError as error:
                raise ToolflowError(explained(error)) from error

    def inputs(self) -> dict[str, Any]:
        """Return the values that a stage's fingerprint covers: board and engine only if a search saves their cycles."""
        saved = {"board": self.board, "engine": dict(self.engine)} if self.saves_any_cycles else {}
        return {**asdict(self.precision), "search_loss": self.loss, **saved}

    @property
    def saves_any_cycles(self) -> bool:
        """Whether a search of either variant saves a board's cycles."""
        return any(map(self.saves_cycles, VariantName))

    @property
    def array_bits(self) -> int | None:
        """Width of the weights that the engine multiplies, where bits are searched for it.

        Raises:
            ToolflowError: its activations are narrower.
        """
        weight, activation = (self.engine.get(f"{what}_bits") for what in ("weight", "activation"))
        if self.precision.layer_bits is not AUTO or not isinstance(weight, int):
            return None
        if isinstance(activation, int) and activation < weight:
            raise ToolflowError(
                f"--layer-bits auto must have an array whose activations are as wide as its weights, not --engine "
                f"weight_bits={weight},activation_bits={activation}: a digit has the smaller of the two widths"
            )
        return weight

    def require_savings(self) -> None:
        """Refuse a board that changes nothing, as no search saves its cycles.

        Raises:
            ToolflowError: there is such a board.
        """
        if self.board is not None and not self.saves_any_cycles:
            raise ToolflowError(
                "--board must come with a search that saves cycles: --tile auto, --pattern auto, or --layer-bits auto "
                "with --engine weight_bits=N"
            )

    @property
    def transforms(self) -> bool:
        """Whether there may be Winograd layers."""
        return self.precision.tile != 0

    def config(self, variant: VariantName) -> QuantiseConfig:
        """Return the configuration of one variant, with the plainest value for everything that is searched."""
        asked = self.precision
        bits = asked.low_bits if variant is VariantName.LOW else asked.high_bits
        return QuantiseConfig(
            weight_bits=bits,
            activation_bits=bits,
            first_last_bits=asked.first_last_bits,
            overrides={} if variant is VariantName.HIGH or asked.layer_bits is AUTO else dict(asked.layer_bits),
            family=asked.scales,
            ranges=asked.ranges,
            percentile=asked.percentile,
            rounding=asked.rounding,
            equalise=asked.equalise,
            tile=0 if asked.tile is AUTO else asked.tile,  # type: ignore[arg-type]  # checked by the model
            pattern=None if asked.pattern is AUTO else asked.pattern,
            digit_bits=self.array_bits or DIGIT_BITS,
        )

    def least_bits(self, variants: Iterable[VariantName]) -> dict[VariantName, int]:
        """Return the fewest bits that the array of each variant can be planned with."""
        least = {}
        for name in variants:
            config = self.config(name)
            widths = [config.weight_bits, config.activation_bits, *(min(pair) for pair in config.overrides.values())]
            if self._mixed(name):
                widths += [LEAST_WEIGHT_BITS, LEAST_ACTIVATION_BITS]
            least[name] = min(widths)
        return least

    def searches(self, variant: VariantName) -> bool:
        """Return whether anything of a variant is to be searched."""
        return AUTO in (self.precision.tile, self.precision.pattern) or self._mixed(variant)

    def space(self, variant: VariantName) -> Space:
        """Return the options that a search has for a variant."""
        from quant.search.sensitivity import Space

        config, asked = self.config(variant), self.precision
        tiles = (0, 2) if asked.scales == "fixed-point" else (0, 2, 4)
        mixed, array = self._mixed(variant), self.array_bits
        weight_bits: tuple[int, ...] = (config.weight_bits,)
        activation_bits: tuple[int, ...] = (config.activation_bits,)
        if mixed and array is not None:  # what fills its digits; narrower activations save it nothing
            weight_bits += tuple(width for width in _down(asked.high_bits - 1, array) if width % array == 0)
        elif mixed:
            weight_bits = _down(asked.high_bits, LEAST_WEIGHT_BITS)
            activation_bits = _down(asked.high_bits, LEAST_ACTIVATION_BITS)
        return Space(
            tiles=tiles if asked.tile is AUTO else (config.tile,),
            patterns=(None, *self._auto_patterns()) if asked.pattern is AUTO else (config.pattern,),
            weight_bits=weight_bits,
            activation_bits=activation_bits,
        )

    def _auto_patterns(self) -> tuple[Pattern, ...]:
        """Return the patterns to try: sub-rows longer than the engine's words would wait for their fullest part."""
        s = AUTO_SUB_ROW
        if self.board is not None:
            s = min(s, longest_word(self.engine, load_board(self.board)))
        return tuple(Pattern(n * s // 16, s) for n in AUTO_SIXTEENTHS if n * s % 16 == 0)

    def check(self, variants: Sequence[VariantName]) -> tuple[str, ...]:
        """Refuse a search for an engine that cannot be, before anything is computed; return what each saves instead.

        Raises:
            ToolflowError: there is no such board or engine, or it is not what the bits are searched for.
        """
        if self.array_bits not in (None, self.precision.low_bits) and VariantName.LOW in variants:
            raise ToolflowError(
                f"--layer-bits auto with --engine weight_bits={self.array_bits} needs --single, or --low-bits "
                f"{self.array_bits}"
            )
        notes = []
        for variant in filter(self.searches, variants):
            if self.target(variant) is not None:
                continue
            if self._mixed(variant):
                notes.append(
                    f"the search for the {variant} unit saves bit-operations, because its widths are not tied to an "
                    "engine; with --engine weight_bits=N it saves cycles of that array on the board"
                )
            else:
                notes.append(SAVES_MULTIPLICATIONS)
        return tuple(dict.fromkeys(notes))

    def _mixed(self, variant: VariantName) -> bool:
        """Return whether the bits of a variant's layers are searched."""
        return self.precision.layer_bits is AUTO and variant is VariantName.HIGH

    def saves_cycles(self, variant: VariantName) -> bool:
        """Return whether the search of a variant, if there is one, saves a board's cycles, not operations.

        Bits of any width are searched for multipliers that are made for them, not for an engine's.
        """
        given = self.board is not None and not (self._mixed(variant) and self.array_bits is None)
        return given and self.searches(variant)

    def target(self, variant: VariantName) -> Target | None:
        """Return the board whose cycles the search of a variant saves, None if it saves operations.

        Raises:
            ToolflowError: there is no such board, or no engine with the parameters that are fixed.
        """
        if self.board is None or not self.saves_cycles(variant):
            return None
        from quant.search.prices import Target

        return Target.of_options(self.board, self.config(variant).weight_bits, self.engine)

    def run(
        self,
        variant: VariantName,
        graph: Graph,
        normalisation: Normalisation,
        images: npt.NDArray[np.uint8],
        judged: tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]],
        progress: Callable[[str], None],
        notebook: Path,
    ) -> SearchResult:
        """Search a variant's tiles, patterns and bits.

        Args:
            variant: that is searched.
            graph: the float network, simplified.
            normalisation: from pixel to the network's input.
            images: for ranges and weights.
            judged: other images, and their classes, to read accuracies on.
            progress: is told what is done.
            notebook: a file for what is found out, from which a search that was cut short goes on.
        """
        from quant.search.problem import Answered, Problem
        from quant.search.search import search

        asked = self.config(variant), self.space(variant)
        problem = Problem(graph, images, normalisation, *asked, Answered(*judged), self.loss, self.target(variant))
        return search(problem, progress, notebook)


def require_board(board: str | Path | None, engine: Mapping[str, int | str]) -> None:
    """Refuse an engine without a board.

    Raises:
        ToolflowError: parameters of an engine are given, but no board; or no engine has such a parameter.
    """
    require_board_name(board)
    require_engine(engine)
    if engine and board is None:
        raise ToolflowError("--engine must come with --board, which says how large an engine may be")


def allowed_loss(given: float | None, searched: bool) -> float:
    """Return the accuracy that a search may lose.

    Args:
        given: by the user, None for the usual.
        searched: whether anything is left to a search.

    Raises:
        ToolflowError: it is given and would change nothing, or is no share.
    """
    if given is None:
        return SEARCH_LOSS
    if not searched:
        raise ToolflowError("--search-loss must come with a search, for example --tile auto: it changes nothing else")
    return as_share("--search-loss", given)


def _down(highest: int, lowest: int) -> tuple[int, ...]:
    return tuple(range(highest, min(highest, lowest) - 1, -1))
