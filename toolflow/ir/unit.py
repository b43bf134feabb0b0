"""Names of designs, of their units and of a network's variants; files and JSON hold them as texts."""

from __future__ import annotations

from enum import StrEnum


class VariantName(StrEnum):
    """A network at one of its two precisions."""

    LOW = "low"
    HIGH = "high"


class UnitName(StrEnum):
    """An engine of a design: one of a cascade's two, or the only one."""

    LOW = "low"
    HIGH = "high"
    SINGLE = "single"


class DesignKind(StrEnum):
    """Which units a design has, and how they share the device."""

    RESIDENT_PAIR = "resident pair"
    TIME_SHARED_PAIR = "time-shared pair"
    SINGLE_LOW = "single low"
    SINGLE_HIGH = "single high"

    @property
    def is_pair(self) -> bool:
        """Whether the design is a cascade of two units."""
        return self in (DesignKind.RESIDENT_PAIR, DesignKind.TIME_SHARED_PAIR)
