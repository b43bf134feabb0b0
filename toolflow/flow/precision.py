"""The requested precision of a network: bits, tiles and patterns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

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


@dataclass(frozen=True)
class Precision:
    """The requested quantisation of both variants.

    Attributes:
        low_bits, high_bits: bits of weights and activations in the two variants.
        first_last_bits: weight bits of the first and the last layer.
        layer_bits: layer -> (weight bits, activation bits) in the low variant; AUTO to search those of the high.
        scales: family of scales.
        ranges, percentile, rounding, equalise: as in `QuantiseConfig`.
        tile: Winograd tile; AUTO to search it for each layer.
        pattern: pattern of the sparse layers, None for dense layers; AUTO to search it for each layer.

    Raises:
        ToolflowError: values contradict each other.
    """

    low_bits: int = 4
    high_bits: int = 8
    first_last_bits: int = 8
    layer_bits: Mapping[str, tuple[int, int]] | Auto = field(default_factory=dict)
    scales: ScaleFamily = "multiplier"
    ranges: RangeMethod = "mse"
    percentile: float = 99.99
    rounding: RoundingMethod = "gptq"
    equalise: bool = False
    tile: int | Auto = 0
    pattern: Pattern | Auto | None = None

    def __post_init__(self) -> None:
        if self.low_bits > self.high_bits:
            raise ToolflowError(f"--low-bits must not exceed --high-bits, not {self.low_bits} > {self.high_bits}")
        if self.tile == 4 and self.scales == "fixed-point":
            raise ToolflowError("--tile must be 0 or 2 with --scales fixed-point, not 4: its sums are scaled by 576")

    @property
    def is_open(self) -> bool:
        """Whether a search has to choose anything."""
        return AUTO in (self.tile, self.pattern, self.layer_bits)
