"""The form in which a cell's timing is given."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtl_sim.timing.netlist import Pin


@dataclass
class CellTiming:
    """Timing of one cell in nanoseconds. A node is a pin, or a place inside the cell whose name begins with "#".

    Attributes:
        arcs: (from, to, delay).
        launches: (output or inner node, clock to output).
        captures: (input or inner node, set-up time).
        clocks: the clock pins.
    """

    arcs: list[tuple[Pin, Pin, float]] = field(default_factory=list)
    launches: list[tuple[Pin, float]] = field(default_factory=list)
    captures: list[tuple[Pin, float]] = field(default_factory=list)
    clocks: list[Pin] = field(default_factory=list)
