"""What each AMD primitive takes: arcs from inputs to outputs, what its clock launches, what it captures.

A flip-flop launches its output and captures its inputs. A LUT RAM captures what is written, and a LUT's delay lies
between its read address and its output. A DSP block is a chain of stages (`dsp`). A pin that no arc, launch or capture
names, such as a clock, ends no path.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rtl_sim.timing.arcs import CellTiming
from rtl_sim.timing.dsp import dsp_block
from rtl_sim.timing.netlist import Cell, Pin, pins
from toolflow.ir.errors import ToolflowError
from toolflow.plan.clock.delays import Delays


def cell_timing(cell: Cell, delays: Delays) -> CellTiming:
    """Return the timing of a cell.

    Raises:
        ToolflowError: the primitive is not known.
    """
    for pattern, describe in _KINDS:
        if pattern.fullmatch(cell.kind):
            return describe(cell, delays)
    raise ToolflowError(
        f"the cell '{cell.name}' is a black box of type {cell.kind}: rtl_sim/timing/cells.py must say what it takes"
    )


def is_lut(kind: str) -> bool:
    """Return whether a primitive is a plain LUT."""
    return kind.startswith("LUT")


def _lut(cell: Cell, d: Delays) -> CellTiming:
    outputs = [pin for pin, _ in pins(cell.outputs)]
    return CellTiming(arcs=[(pin, out, d.lut) for pin, _ in pins(cell.inputs) for out in outputs])


def _wide_multiplexer(cell: Cell, d: Delays) -> CellTiming:
    delay = {"S": d.wide_multiplexer_select}
    return CellTiming(
        arcs=[(pin, ("O", 0), delay.get(pin[0], d.wide_multiplexer)) for pin, _ in pins(cell.inputs)],
    )


def _carry(cell: Cell, d: Delays) -> CellTiming:
    width = 4
    c = d.carry
    arcs: list[tuple[Pin, Pin, float]] = []
    for pin, _ in pins(cell.inputs):
        port, bit = pin
        for k in range(width):
            if port == "CI":
                arcs.append((pin, ("CO", k), c.pass_ if k == width - 1 else c.exit))
                arcs.append((pin, ("O", k), c.exit))
            elif port == "CYINIT":
                arcs += [(pin, ("CO", k), c.entry), (pin, ("O", k), c.entry_sum)]
            elif k >= bit:
                arcs.append((pin, ("CO", k), c.entry))
                if k > bit or port == "S":
                    arcs.append((pin, ("O", k), c.entry_sum if k > bit else c.own_sum))
    return CellTiming(arcs=arcs)


def _flip_flop(cell: Cell, d: Delays) -> CellTiming:
    f = d.flip_flop
    setup = {"D": f.data, "CE": f.enable, "R": f.reset, "S": f.reset}
    if {"CLR", "PRE"} & set(cell.inputs):
        raise ToolflowError(
            f"the flip-flop '{cell.name}' has an asynchronous set or reset: {cell.kind} is not supported"
        )
    return CellTiming(
        launches=[(("Q", 0), f.output)],
        captures=[(pin, setup[pin[0]]) for pin, _ in pins(cell.inputs) if pin[0] in setup],
        clocks=[("C", 0)],
    )


def _lut_ram(cell: Cell, d: Delays) -> CellTiming:
    """RAM32M, RAM64M and their wide forms: port A reads at ADDRA; the last port's address is the one written."""
    r = d.lut_ram
    timing = CellTiming(clocks=[("WCLK", 0)])
    last = max(port[-1] for port in cell.inputs if port.startswith("ADDR"))
    for pin, _ in pins(cell.inputs):
        port = pin[0]
        if port.startswith("ADDR"):
            letter = port[-1]
            timing.arcs += [(pin, out, d.lut) for out, _ in pins(cell.outputs) if out[0] == f"DO{letter}"]
            if letter == last:
                timing.captures.append((pin, r.address))
        elif port.startswith("DI"):
            timing.captures.append((pin, r.data))
        elif port == "WE":
            timing.captures.append((pin, r.enable))
    timing.launches = [(pin, r.output) for pin, _ in pins(cell.outputs)]
    return timing


def _dual_lut_ram(cell: Cell, d: Delays) -> CellTiming:
    """RAM32X1D, RAM64X1D …: A writes and reads SPO, DPRA reads DPO."""
    r = d.lut_ram
    timing = CellTiming(clocks=[("WCLK", 0)], launches=[(pin, r.output) for pin, _ in pins(cell.outputs)])
    for pin, _ in pins(cell.inputs):
        port = pin[0]
        if port.startswith("DPRA"):
            timing.arcs += [(pin, out, d.lut) for out, _ in pins(cell.outputs) if out[0] == "DPO"]
        elif port.startswith("A"):
            timing.arcs += [(pin, out, d.lut) for out, _ in pins(cell.outputs) if out[0] != "DPO"]
            timing.captures.append((pin, r.address))
        elif port in ("D", "WE"):
            timing.captures.append((pin, r.data if port == "D" else r.enable))
    return timing


def _shift_register(cell: Cell, d: Delays) -> CellTiming:
    s = d.shift_register
    timing = CellTiming(clocks=[("CLK", 0)], launches=[(pin, s.output) for pin, _ in pins(cell.outputs)])
    for pin, _ in pins(cell.inputs):
        if pin[0].startswith("A"):
            timing.arcs.append((pin, ("Q", 0), d.lut))
        elif pin[0] in ("D", "CE"):
            timing.captures.append((pin, s.data if pin[0] == "D" else s.enable))
    return timing


def _block_ram(cell: Cell, d: Delays) -> CellTiming:
    b = d.block_ram
    timing = CellTiming(clocks=[(port, 0) for port in cell.inputs if "CLK" in port])
    for pin, _ in pins(cell.outputs):
        side = "A" if re.match("DO(UT)?P?A", pin[0]) else "B"
        registered = cell.parameters.get(f"DO{side}_REG", int(cell.kind.endswith("E2")))  # the primitives' defaults
        timing.launches.append((pin, b.registered_output if registered else b.output))
    for pin, _ in pins(cell.inputs):
        port = pin[0]
        if "CLK" not in port:
            setup = b.address if port.startswith("ADDR") else b.data if port.startswith("DI") else b.enable
            timing.captures.append((pin, setup))
    return timing


def _ultra_ram(cell: Cell, d: Delays) -> CellTiming:
    """URAM288: its outputs are taken as those of a block RAM, with the register where OREG says so."""
    b = d.block_ram
    timing = CellTiming(clocks=[("CLK", 0)])
    for pin, _ in pins(cell.outputs):
        registered = str(cell.parameters.get(f"OREG_{pin[0][-1]}", "FALSE")) == "TRUE"
        timing.launches.append((pin, b.registered_output if registered else b.output))
    for pin, _ in pins(cell.inputs):
        if pin[0] != "CLK":
            setup = b.address if pin[0].startswith("ADDR") else b.data if pin[0].startswith("DIN") else b.enable
            timing.captures.append((pin, setup))
    return timing


def _buffer(cell: Cell, d: Delays) -> CellTiming:
    """A clock buffer: it is on the clock's own net."""
    return CellTiming(clocks=[("I", 0)])


_KINDS: tuple[tuple[re.Pattern[str], Callable[[Cell, Delays], CellTiming]], ...] = tuple(
    (re.compile(pattern), describe)
    for pattern, describe in (
        ("LUT[1-6](_2)?|INV", _lut),
        ("MUXF[789]", _wide_multiplexer),
        ("CARRY4", _carry),
        ("FD[RSCP]E", _flip_flop),
        ("RAM(32M|64M|32M16|64M8)", _lut_ram),
        ("RAM(32|64|128|256)X1D", _dual_lut_ram),
        ("SRL(16E|C32E|C16E)", _shift_register),
        ("RAMB(18|36)E[12]", _block_ram),
        ("URAM288(_BASE)?", _ultra_ram),
        ("DSP48E[12]", dsp_block),
        ("BUFG(CE)?", _buffer),
    )
)
