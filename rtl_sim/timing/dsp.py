"""DSP48E1 and DSP48E2: a chain of stages, with a register behind each that the cell's parameters ask for.

A, B, D → [AREG, BREG, DREG] → operands → pre-adder → [ADREG] → factors → multiplier → [MREG] → addends
C, OPMODE … → [CREG …] → addends; PCIN → addends
addends → adder → [PREG] → P, PCOUT
"""

from __future__ import annotations

import re

from rtl_sim.timing.arcs import CellTiming
from rtl_sim.timing.netlist import Cell, Pin, pins
from toolflow.plan.clock.delays import Delays

_OPERANDS, _FACTORS, _ADDENDS = ("#operands", 0), ("#factors", 0), ("#addends", 0)
_TO_OPERANDS = {"A": "AREG", "B": "BREG", "D": "DREG", "ACIN": "AREG", "BCIN": "BREG", "INMODE": "INMODEREG"}
_TO_ADDENDS = {
    "C": "CREG",
    "OPMODE": "OPMODEREG",
    "ALUMODE": "ALUMODEREG",
    "CARRYIN": "CARRYINREG",
    "CARRYINSEL": "CARRYINSELREG",
}
_SUMS = ("P", "PCOUT", "CARRYOUT", "CARRYCASCOUT", "PATTERNDETECT", "PATTERNBDETECT", "OVERFLOW", "UNDERFLOW")


def dsp_block(cell: Cell, delays: Delays) -> CellTiming:
    """Return the timing of a DSP block. A register that the parameters do not name is present, as in the primitive."""
    d = delays.dsp
    timing = CellTiming(clocks=[("CLK", 0)])

    def stage(node: Pin, delay: float, register: str | None, to: Pin) -> None:
        """Let `node` reach `to` in `delay`, which includes the set-up time if a register ends the stage."""
        if register is not None and cell.parameters.get(register, 1):
            timing.captures.append((node, delay))
            timing.launches.append((to, 0.0))
        else:
            timing.arcs.append((node, to, delay if node[0].startswith("#") else 0.0))

    for pin, _ in pins(cell.inputs):
        port = pin[0]
        if port in _TO_OPERANDS:
            stage(pin, d.input, _TO_OPERANDS[port], _OPERANDS)
        elif port in _TO_ADDENDS:
            stage(pin, d.input, _TO_ADDENDS[port], _ADDENDS)
        elif port == "PCIN":
            stage(pin, 0.0, None, _ADDENDS)
        elif re.fullmatch("(CE|RST).*", port):
            timing.captures.append((pin, d.input))
    pre_adds = _pre_adds(cell)
    stage(_OPERANDS, d.pre_add if pre_adds else 0.0, "ADREG" if pre_adds else None, _FACTORS)
    multiplies = cell.parameters.get("USE_MULT", "MULTIPLY") != "NONE"
    stage(_FACTORS, d.multiply if multiplies else 0.0, "MREG" if multiplies else None, _ADDENDS)
    for pin, _ in pins(cell.outputs):
        if pin[0] not in _SUMS:
            timing.launches.append((pin, d.output))  # ACOUT, BCOUT: behind the first registers
        elif cell.parameters.get("PREG", 1):
            timing.launches.append((pin, d.output))
        else:
            timing.arcs.append((_ADDENDS, pin, d.add + d.output))
    if cell.parameters.get("PREG", 1):
        timing.captures.append((_ADDENDS, d.add))
    return timing


def _pre_adds(cell: Cell) -> bool:
    """Whether the pre-adder is used: USE_DPORT of DSP48E1, AMULTSEL and BMULTSEL of DSP48E2."""
    p = cell.parameters
    return p.get("USE_DPORT", "FALSE") == "TRUE" or "AD" in (p.get("AMULTSEL"), p.get("BMULTSEL"))
