"""Names of designs, of their units and of a network's variants; files and JSON hold them as texts."""

from __future__ import annotations

from enum import StrEnum


class VariantName(StrEnum):
    """A network at one of its two precisions."""

    LOW = "low"
    HIGH = "high"


class UnitName(StrEnum):
    """A network of a design with its program: one of a cascade's two, or the only one.

    It also names the engine that runs it. Both programs of a morphing pair run on one engine, which is `SINGLE`.
    """

    LOW = "low"
    HIGH = "high"
    SINGLE = "single"


class DesignKind(StrEnum):
    """Which units a design has, and how they share the device."""

    RESIDENT_PAIR = "resident pair"
    MORPHING_PAIR = "morphing pair"
    TIME_SHARED_PAIR = "time-shared pair"
    SINGLE_LOW = "single low"
    SINGLE_HIGH = "single high"

    @property
    def is_pair(self) -> bool:
        """Whether the design is a cascade of two units."""
        return self not in (DesignKind.SINGLE_LOW, DesignKind.SINGLE_HIGH)
