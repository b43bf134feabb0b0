"""Names of a design's units and of a network's variants; files and JSON hold them as texts."""

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
