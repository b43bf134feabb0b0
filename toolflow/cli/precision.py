"""What the user asks of quantisation, and the search for what was left open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolflow.cli import options
from toolflow.cli.options import ScaleFamily
from toolflow.ir.errors import ToolflowError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from quant.config import Normalisation, QuantiseConfig
    from quant.search import SearchResult
    from quant.sensitivity import Space
    from toolflow.ir.graph import Graph

AUTO: Literal["auto"] = "auto"
AUTO_PATTERNS = (8, 16), (6, 16), (4, 16), (3, 16)
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
        array_bits: width of the weights that the engine multiplies, where bits are searched for it.
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
    search_loss: float = 0.003
    array_bits: int | None = None

    @classmethod
    def of_options(cls, *, layer_bits: str | None, tile: str, sparsity: str | None, **others: Any) -> Precision:
        """Return what the command line's options say.

        Raises:
            ToolflowError: a text is not what its option takes.
        """
        return cls(
            layer_bits=AUTO if layer_bits == AUTO else tuple(options.parse_layer_bits(layer_bits).items()),
            tile=AUTO if tile == AUTO else int(tile),
            sparsity=AUTO if sparsity == AUTO else options.parse_sparsity(sparsity),
            **others,
        )

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

    def searches(self, variant: str) -> bool:
        """Return whether anything of a variant is to be searched."""
        return AUTO in (self.tile, self.sparsity) or (self.layer_bits == AUTO and variant == "high")

    def space(self, variant: str) -> Space:
        """Return what is to be searched of a variant."""
        from quant.sensitivity import Space

        config = self.config(variant)
        tiles = (0, 2) if self.scales == "fixed-point" else (0, 2, 4)
        mixed = self.layer_bits == AUTO and variant == "high"
        array = self.array_bits if mixed else None
        weight_bits: tuple[int, ...] = (config.weight_bits,)
        activation_bits: tuple[int, ...] = (config.activation_bits,)
        if array is not None:  # what fills its digits; narrower activations save it nothing
            weight_bits += tuple(width for width in _down(self.high_bits - 1, array) if width % array == 0)
        elif mixed:
            weight_bits = _down(self.high_bits, LEAST_WEIGHT_BITS)
            activation_bits = _down(self.high_bits, LEAST_ACTIVATION_BITS)
        return Space(
            tiles=tiles if self.tile == AUTO else (config.tile,),
            patterns=(None, *AUTO_PATTERNS) if self.sparsity == AUTO else (config.pattern,),
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            array_bits=array,
        )

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
        from quant.search import search

        asked = self.config(variant), self.space(variant)
        return search(graph, images, normalisation, *asked, *judged, self.search_loss, progress, notebook)


def _down(highest: int, lowest: int) -> tuple[int, ...]:
    return tuple(range(highest, min(highest, lowest) - 1, -1))
