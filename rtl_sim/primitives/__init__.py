"""Models of the DSP blocks that engines instantiate: for simulation, and as the pins of the cells for Yosys."""

from __future__ import annotations

from pathlib import Path


def models() -> list[Path]:
    """Return the SystemVerilog file of each block; its name is that of the cell."""
    return sorted(Path(__file__).parent.glob("*.sv"))
