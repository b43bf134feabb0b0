"""The requested precision of a network: bits, tiles and patterns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal, get_args

from toolflow.flow.values import as_number, as_whole, refused, require_one_of
from toolflow.ir.errors import ToolflowError

if TYPE_CHECKING:
    from toolflow.numerics.srbs import Pattern

ScaleFamily = Literal["multiplier", "fixed-point"]
RangeMethod = Literal["mse", "percentile"]
RoundingMethod = Literal["gptq", "nearest"]


class Auto(StrEnum):
    """The type of AUTO: a value that a search chooses for each layer."""

    AUTO = "auto"


AUTO: Final = Auto.AUTO
TILES = 0, 2, 4
PERCENTILE = 99.99


def read_pattern(option: str, value: object) -> Pattern:
    """Return the pattern that a value is, or that its text, n:S or n:SxG, says.

    Raises:
        ToolflowError: it is no pattern, S is no power of two, n exceeds it, or G is not 1, 2 or 4.
    """
    from toolflow.numerics.srbs import Pattern, parse_pattern

    if isinstance(value, Pattern):
        return value
    if not isinstance(value, str):
        raise ToolflowError(
            f"{option} must be a Pattern or a text n:S or n:SxG, for example 3:16 or 4:16x2, not {value!r}"
        )
    try:
        return parse_pattern(value)
    except ValueError as error:
        raise ToolflowError(f"{option}: {error}") from error


@dataclass(frozen=True)
class Precision:
    """The requested quantisation of both variants.

    "auto" is read as AUTO, and a pattern's text, for example "3:16", as the pattern.

    Attributes:
        low_bits, high_bits: bits of weights and activations in the two variants.
        first_last_bits: weight bits of the first and the last layer.
        layer_bits: layer -> (weight bits, activation bits) in the low variant; AUTO to search those of the high.
        scales: family of scales.
        ranges, percentile, rounding, equalise: as in `QuantiseConfig`.
        tile: Winograd tile; AUTO to search it for each layer.
        pattern: pattern of the sparse layers, None for dense layers; AUTO to search it for each layer.

    Raises:
        ToolflowError: a pattern, tile or bits of layers are of no form that is read, or values contradict each other.
    """

    low_bits: int = 4
    high_bits: int = 8
    first_last_bits: int = 8
    layer_bits: Mapping[str, tuple[int, int]] | Auto = field(default_factory=dict)
    scales: ScaleFamily = "multiplier"
    ranges: RangeMethod = "mse"
    percentile: float = PERCENTILE
    rounding: RoundingMethod = "gptq"
    equalise: bool = False
    tile: int | Auto = 0
    pattern: Pattern | Auto | None = None

    def __post_init__(self) -> None:
        for name in ("tile", "pattern", "layer_bits"):
            if getattr(self, name) == AUTO:
                object.__setattr__(self, name, AUTO)
        if self.pattern is not None and self.pattern is not AUTO:
            object.__setattr__(self, "pattern", read_pattern("--pattern", self.pattern))
        self._check_layer_bits()
        for name in ("low_bits", "high_bits", "first_last_bits"):
            as_whole(_option(name), getattr(self, name), 2, 8)
        for name, choices in (("scales", ScaleFamily), ("ranges", RangeMethod), ("rounding", RoundingMethod)):
            require_one_of(_option(name), getattr(self, name), get_args(choices))
        if self.tile is not AUTO and self.tile not in TILES:
            raise refused("--tile", "0, 2, 4 or auto", self.tile)
        if not 50 < as_number("--percentile", self.percentile) <= 100:
            raise ToolflowError(f"--percentile must be above 50 and at most 100, not {self.percentile}")
        if self.percentile != PERCENTILE and self.ranges != "percentile":
            raise ToolflowError("--percentile must come with --ranges percentile: it changes nothing else")
        if self.low_bits > self.high_bits:
            raise ToolflowError(f"--low-bits must not exceed --high-bits, not {self.low_bits} > {self.high_bits}")
        if self.tile == 4 and self.scales == "fixed-point":
            raise ToolflowError("--tile must be 0 or 2 with --scales fixed-point, not 4: its sums are scaled by 576")

    def _check_layer_bits(self) -> None:
        if self.layer_bits is AUTO:
            return
        wanted = "AUTO or a mapping of layers to (weight bits, activation bits)"
        if not isinstance(self.layer_bits, Mapping):
            raise refused("--layer-bits", wanted, self.layer_bits)
        for layer, pair in self.layer_bits.items():
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise refused(f"--layer-bits {layer}", "(weight bits, activation bits)", pair)
            for bits in pair:
                as_whole(f"--layer-bits {layer}", bits, 2, 8)

    @property
    def is_open(self) -> bool:
        """Whether a search has to choose anything."""
        return AUTO in (self.tile, self.pattern, self.layer_bits)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
