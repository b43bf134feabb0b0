"""The errors that rounding causes in a network."""

from __future__ import annotations

from dataclasses import dataclass

from toolflow.ir.quantised import TensorType
from toolflow.numerics.srbs import Pattern


@dataclass(frozen=True)
class LayerQuality:
    """What rounding did to one tensor: error energy over signal energy, and the form of the layer that made it."""

    name: str
    weight_bits: int
    output: TensorType
    relative_error: float
    tile: int = 0
    pattern: Pattern | None = None
