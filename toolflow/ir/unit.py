"""The names of a design's engines."""

from __future__ import annotations

from enum import StrEnum


class UnitName(StrEnum):
    """An engine of a design: the low- or the high-precision one of a cascade, or the only one."""

    LOW = "low"
    HIGH = "high"
    SINGLE = "single"
