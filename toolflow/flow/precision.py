"""What the user asks of quantisation, and the search for what was left open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolflow.cli import options
from toolflow.cli.options import ScaleFamily
from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.board import board_source, load_board
from toolflow.plan.explore.shapes import longest_word

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from quant.config import Normalisation, QuantiseConfig
    from quant.search.prices import Target
    from quant.search.selection import SearchResult
    from quant.search.sensitivity import Space
    from toolflow.ir.graph import Graph

AUTO: Literal["auto"] = "auto"
SAVES_MULTIPLICATIONS = "the search saves multiplications, whatever the engine; with --board B it saves cycles there"
AUTO_SIXTEENTHS = 8, 6, 4, 3  # that patterns keep of each sub-row
AUTO_SUB_ROW = 16  # where no board has shorter words
SEARCH_LOSS = 0.003
LEAST_WEIGHT_BITS, LEAST_ACTIVATION_BITS = 3, 4  # that a search tries


@dataclass(frozen=True)
class Precision:
    """What the user asked of quantisation, for both variants.

    Attributes:
        low_bits, high_bits: of weights and activations in the two variants.
        first_last_bits: of the first and the last layer's weights.
        layer_bits: (layer, (weight bits, activation bits)) in the low variant; "auto" to search the high one's.
        scales: family of scales.
        ranges, percentile, rounding, equalise: as in `QuantiseConfig`.
        tile: Winograd tile, "auto" to search each layer's.
        sparsity: (n, S), "auto" to search each layer's, None for dense.
        search_loss: accuracy that a search may lose.
        board: name or file of the board whose cycles a search saves; None to save multiplications, or where none is
            made.
        engine: parameters of the engine that are fixed for the search.
    """

    low_bits: int = 4
    high_bits: int = 8
    first_last_bits: int = 8
    layer_bits: tuple[tuple[str, tuple[int, int]], ...] | Literal["auto"] = ()
    scales: ScaleFamily = "multiplier"
    ranges: str = "mse"
    percentile: float = 99.99
    rounding: str = "gptq"
    equalise: bool = False
    tile: int | Literal["auto"] = 0
    sparsity: tuple[int, int] | Literal["auto"] | None = None
    search_loss: float = SEARCH_LOSS
    board: str | Path | None = None
    engine: tuple[tuple[str, int | str], ...] = ()

    @classmethod
    def of_options(
        cls,
        *,
        layer_bits: str | None,
        tile: str,
        sparsity: str | None,
        board: str | None,
        engine: Mapping[str, int | str],
        **others: Any,
    ) -> Precision:
        """Return what the command line's options say; board and engine are kept where a search is for them.

        Raises:
            ToolflowError: a text is not what its option takes.
        """
        made = cls(
            layer_bits=AUTO if layer_bits == AUTO else tuple(options.parse_layer_bits(layer_bits).items()),
            tile=AUTO if tile == AUTO else int(tile),
            sparsity=AUTO if sparsity == AUTO else options.parse_sparsity(sparsity),
            board=None if board is None else board_source(board),
            engine=tuple(sorted(engine.items())),
            **others,
        )
        return made if any(map(made.saves_cycles, ("low", "high"))) else replace(made, board=None, engine=())

    def __post_init__(self) -> None:
        if self.low_bits > self.high_bits:
            raise ToolflowError(f"--low-bits must not exceed --high-bits, not {self.low_bits} > {self.high_bits}")
        if self.tile == 4 and self.scales == "fixed-point":
            raise ToolflowError("--tile must be 0 or 2 with --scales fixed-point, not 4: its sums are scaled by 576")
        if self.array_bits is not None and not 2 <= self.array_bits < self.high_bits:
            raise ToolflowError(
                f"--layer-bits auto must have an array narrower than --high-bits {self.high_bits}, not --engine "
                f"weight_bits={self.array_bits}: narrower weights would save it no cycle"
            )

    @property
    def array_bits(self) -> int | None:
        """Width of the weights that the engine multiplies, where bits are searched for it.

        Raises:
            ToolflowError: its activations are narrower.
        """
        weight, activation = (dict(self.engine).get(f"{what}_bits") for what in ("weight", "activation"))
        if self.layer_bits != AUTO or not isinstance(weight, int):
            return None
        if isinstance(activation, int) and activation < weight:
            raise ToolflowError(
                f"--layer-bits auto must have an array whose activations are as wide as its weights, not --engine "
                f"weight_bits={weight},activation_bits={activation}: digits are as wide as the narrower"
            )
        return weight

    @property
    def transforms(self) -> bool:
        """Whether there may be Winograd layers."""
        return self.tile != 0

    def config(self, variant: str) -> QuantiseConfig:
        """Return the quantiser's configuration of one variant, what is to be searched left at its plainest."""
        from quant.config import DIGIT_BITS, QuantiseConfig

        bits = self.low_bits if variant == "low" else self.high_bits
        return QuantiseConfig(
            weight_bits=bits,
            activation_bits=bits,
            first_last_bits=self.first_last_bits,
            overrides=dict(self.layer_bits) if variant == "low" and self.layer_bits != AUTO else {},
            family=self.scales,
            ranges=self.ranges,  # type: ignore[arg-type]  # checked by the model
            percentile=self.percentile,
            rounding=self.rounding,  # type: ignore[arg-type]  # checked by the model
            equalise=self.equalise,
            tile=0 if self.tile == AUTO else self.tile,  # type: ignore[arg-type]  # checked by the model
            pattern=None if self.sparsity == AUTO else self.sparsity,
            digit_bits=self.array_bits or DIGIT_BITS,
        )

    def least_bits(self, variants: Iterable[str]) -> dict[str, int]:
        """Return the fewest bits that the array of each variant can be planned with."""
        least = {}
        for name in variants:
            config = self.config(name)
            widths = [config.weight_bits, config.activation_bits, *(min(pair) for pair in config.overrides.values())]
            if self._mixed(name):
                widths += [LEAST_WEIGHT_BITS, LEAST_ACTIVATION_BITS]
            least[name] = min(widths)
        return least

    def searches(self, variant: str) -> bool:
        """Return whether anything of a variant is to be searched."""
        return AUTO in (self.tile, self.sparsity) or self._mixed(variant)

    def space(self, variant: str) -> Space:
        """Return what is to be searched of a variant."""
        from quant.search.sensitivity import Space

        config = self.config(variant)
        tiles = (0, 2) if self.scales == "fixed-point" else (0, 2, 4)
        mixed, array = self._mixed(variant), self.array_bits
        weight_bits: tuple[int, ...] = (config.weight_bits,)
        activation_bits: tuple[int, ...] = (config.activation_bits,)
        if mixed and array is not None:  # what fills its digits; narrower activations save it nothing
            weight_bits += tuple(width for width in _down(self.high_bits - 1, array) if width % array == 0)
        elif mixed:
            weight_bits = _down(self.high_bits, LEAST_WEIGHT_BITS)
            activation_bits = _down(self.high_bits, LEAST_ACTIVATION_BITS)
        return Space(
            tiles=tiles if self.tile == AUTO else (config.tile,),
            patterns=(None, *self._auto_patterns()) if self.sparsity == AUTO else (config.pattern,),
            weight_bits=weight_bits,
            activation_bits=activation_bits,
        )

    def _auto_patterns(self) -> tuple[tuple[int, int], ...]:
        """Return the patterns to try: sub-rows longer than the engine's words would wait for their fullest part."""
        s = AUTO_SUB_ROW
        if self.board is not None:
            s = min(s, longest_word(dict(self.engine), load_board(self.board)))
        return tuple((n * s // 16, s) for n in AUTO_SIXTEENTHS if n * s % 16 == 0)

    def check_search(self, variants: Sequence[str]) -> tuple[str, ...]:
        """Refuse a search for an engine that cannot be, before anything is computed; return what each saves instead.

        Raises:
            ToolflowError: there is no such board or engine, or it is not what the bits are searched for.
        """
        if self.array_bits not in (None, self.low_bits) and "low" in variants:
            raise ToolflowError(
                f"--layer-bits auto with --engine weight_bits={self.array_bits} must be --single or have as many "
                "--low-bits"
            )
        notes = []
        for variant in filter(self.searches, variants):
            if self.target(variant) is not None:
                continue
            if self._mixed(variant):
                notes.append(
                    f"the search for the {variant} unit saves bit-operations, as bits of any width do; with --engine "
                    "weight_bits=N it saves cycles of that array on the board"
                )
            else:
                notes.append(SAVES_MULTIPLICATIONS)
        return tuple(dict.fromkeys(notes))

    def _mixed(self, variant: str) -> bool:
        """Return whether the bits of a variant's layers are searched."""
        return self.layer_bits == AUTO and variant == "high"

    def saves_cycles(self, variant: str) -> bool:
        """Return whether the search of a variant, where there is one, saves a board's cycles, not operations.

        Bits of any width are searched for multipliers that are made for them, not for an engine's.
        """
        given = self.board is not None and not (self._mixed(variant) and self.array_bits is None)
        return given and self.searches(variant)

    def target(self, variant: str) -> Target | None:
        """Return the board whose cycles the search of a variant saves, None where it saves operations.

        Raises:
            ToolflowError: there is no such board, or no engine with the parameters that are fixed.
        """
        if self.board is None or not self.saves_cycles(variant):
            return None
        from quant.search.prices import Target

        return Target.of_options(self.board, self.config(variant).weight_bits, dict(self.engine))

    def searched(
        self,
        variant: str,
        graph: Graph,
        normalisation: Normalisation,
        images: npt.NDArray[np.uint8],
        judged: tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]],
        progress: Callable[[str], None],
        notebook: Path,
    ) -> SearchResult:
        """Search a variant's tiles, patterns and bits.

        Args:
            variant: "low" or "high".
            graph: the float network, simplified.
            normalisation: from pixel to the network's input.
            images: for ranges and weights.
            judged: other images, and their classes, to read accuracies on.
            progress: is told what is done.
            notebook: a file for what is found out, from which a search that was cut short goes on.
        """
        from quant.search.selection import search

        asked = self.config(variant), self.space(variant)
        allowed, target = self.search_loss, self.target(variant)
        return search(graph, images, normalisation, *asked, *judged, allowed, progress, notebook, target)


def parse_search_engine(board: str | None, engine: str | None, *asked: str | None) -> dict[str, int | str]:
    """Return the engine parameters that a command without a unit fixes for its search.

    Args:
        board: whose cycles are to be saved.
        engine: as `--engine` gives it.
        asked: the options by which something may be searched.

    Raises:
        ToolflowError: as `parse_engine`; or board or engine would change nothing.
    """
    for option, value in (("--board", board), ("--engine", engine)):
        if value is not None and AUTO not in asked:
            raise ToolflowError(f"{option} must come with a search, for example --tile auto: it changes nothing else")
    if engine is not None and board is None:
        raise ToolflowError("--engine must come with --board, which says how large an engine may be")
    return options.parse_engine(engine)


def parse_search_loss(given: float | None, *asked: str | None) -> float:
    """Return the accuracy that a search may lose.

    Args:
        given: as `--search-loss` gives it.
        asked: the options by which something may be searched.

    Raises:
        ToolflowError: it would change nothing.
    """
    if given is not None and AUTO not in asked:
        raise ToolflowError("--search-loss must come with a search, for example --tile auto: it changes nothing else")
    return SEARCH_LOSS if given is None else given


def _down(highest: int, lowest: int) -> tuple[int, ...]:
    return tuple(range(highest, min(highest, lowest) - 1, -1))
