"""Delays of operations in nanoseconds, by width and device family.

The figures are those of PandA-Bambu's device files (etc/devices/Xilinx_devices), measured with Vivado from register to
register: xc7z020-1clg484 for the 7 series, xc7z045-2ffg900 for its devices with the logic of Kintex and Virtex,
xcu280-2Lfsvh2892 for UltraScale+. Delays are added up along a chain, as an HLS scheduler does. That counts a register's
own time with each operation and is therefore a little too long. A level of logic is taken as two thirds of the
characterised delay, since the rest is the register's. ECP5, which is no target for HLS here, uses the delays of the 7
series.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from toolflow.emit.ii.ir import Instruction, bits_of

# The part of a clock period that Vitis HLS leaves to placement and routing, unless it is told otherwise.
CLOCK_UNCERTAINTY = 0.27

_Table = tuple[tuple[int, float], ...]  # (width, nanoseconds), by width


@dataclass(frozen=True)
class Delays:
    """Delays of one family.

    Attributes:
        logic: one level of LUTs with its net.
        add, equal, less, shift, multiply: by the operands' width.
        memory: from a memory's clock to its output.
    """

    logic: float
    add: _Table
    equal: _Table
    less: _Table
    shift: _Table
    multiply: _Table
    memory: float

    def of(self, instruction: Instruction, widths: Mapping[str, int]) -> float:
        """Return the delay of an operation on values of `widths` bits; wires and unknown operations take none."""
        opcode, operands = instruction.opcode, instruction.operands
        constants = [operand for operand in operands if operand[0] not in "%@g"]
        width = max((widths.get(operand, 0) for operand in operands), default=0)
        if opcode in ("and", "or", "xor", "select", "phi"):
            return self._logic(instruction, constants, widths.get(instruction.name, 0))
        if opcode in ("add", "sub"):
            return _interpolate(self.add, width)
        if opcode == "icmp":
            return self._compare(instruction, constants, width)
        if opcode in ("shl", "lshr", "ashr"):
            return 0.0 if operands[1] in constants else _interpolate(self.shift, width)
        if opcode == "mul":
            additions = _additions(constants[0]) if constants else None
            multiplier = _interpolate(self.multiply, width)
            return multiplier if additions is None else min(multiplier, additions * _interpolate(self.add, width))
        if opcode in ("udiv", "urem", "sdiv", "srem"):
            return width * _interpolate(self.add, width)  # one subtraction a bit
        if opcode.startswith(("llvm.umin", "llvm.umax", "llvm.smin", "llvm.smax", "llvm.abs")):
            return _interpolate(self.less, width) + self.logic
        if opcode.startswith(("llvm.ctpop", "llvm.ctlz", "llvm.cttz")):
            return 3 * self.logic
        if opcode.startswith(("llvm.fshl", "llvm.fshr")):
            return 0.0 if operands[2] in constants else _interpolate(self.shift, width)
        return 0.0

    def _logic(self, instruction: Instruction, constants: list[str], width: int) -> float:
        """Two operations on single bits fit a LUT; a constant operand leaves wires, or an inverter that a LUT takes."""
        opcode, operands = instruction.opcode, instruction.operands
        if (opcode in ("and", "or", "xor") and constants) or "disjoint" in instruction.flags:
            return 0.0
        if opcode == "select" and width > 1 and len({*operands[1:]} & {*constants}) == 2:
            width = 1  # a choice of two constants: a bit, or its inverse, at some places
        return self.logic / 2 if width <= 1 else self.logic

    def _compare(self, instruction: Instruction, constants: list[str], width: int) -> float:
        predicate = instruction.flags[-1]
        if width <= 1:
            return self.logic / 2
        if constants and predicate in ("slt", "sgt") and constants[0] in ("0", "-1"):
            return 0.0  # the sign
        if constants and predicate in ("ult", "ugt") and _at_power(constants[0], predicate):
            predicate = "eq"  # whether any of the upper bits is set
        if predicate in ("eq", "ne") and width <= 6:
            return self.logic  # one LUT, or two
        return _interpolate(self.equal if predicate in ("eq", "ne") else self.less, width)

    def select_of(self, count: int) -> float:
        """Delay of choosing one of `count` registers: a LUT chooses one of four."""
        levels, reach = 0, 1
        while reach < count:
            levels, reach = levels + 1, reach * 4
        return levels * self.logic


def _at_power(bound: str, predicate: str) -> bool:
    if not bound.isdigit():
        return False
    value = int(bound) if predicate == "ult" else int(bound) + 1
    return value > 0 and value & (value - 1) == 0


def _additions(factor: str) -> int | None:
    """Levels of additions that multiply by a constant: of its digits 1 and -1 (none beside another) each adds one."""
    if not factor.lstrip("-").isdigit():
        return None
    value, digits = abs(int(factor)), 0
    while value:
        if value & 1:
            digits += 1
            value += 1 if value & 3 == 3 else -1
        value >>= 1
    return max(digits - 1, 0).bit_length()


def _interpolate(table: _Table, width: int) -> float:
    """Interpolate linearly between the table's widths; extrapolate beyond the last one from the last two."""
    for (low, a), (high, b) in itertools.pairwise(table):
        if width <= high or (high, b) == table[-1]:
            return a if width <= low else a + (b - a) * (width - low) / (high - low)
    return table[-1][1]


def budget_ns(clock_mhz: float) -> float:
    """What a chain of operations may take in one cycle."""
    return 1000.0 / clock_mhz * (1 - CLOCK_UNCERTAINTY)


XC7 = Delays(
    logic=0.70,
    add=((1, 0.70), (8, 1.88), (16, 2.18), (32, 2.59), (64, 3.56)),
    equal=((1, 0.35), (8, 1.89), (16, 2.17), (32, 2.28), (64, 2.55)),
    less=((1, 0.35), (8, 1.92), (16, 2.05), (32, 2.27), (64, 2.88)),
    shift=((1, 0.70), (8, 2.06), (16, 2.42), (32, 3.12), (64, 3.62)),
    multiply=((1, 0.70), (8, 4.42), (16, 5.60), (32, 8.44), (64, 12.47)),
    memory=3.09,
)
XC7_FAST = Delays(
    logic=0.35,
    add=((1, 0.35), (8, 1.00), (16, 1.11), (32, 1.32), (64, 1.75)),
    equal=((1, 0.18), (8, 1.01), (16, 1.13), (32, 1.20), (64, 1.26)),
    less=((1, 0.18), (8, 1.01), (16, 1.06), (32, 1.12), (64, 1.30)),
    shift=((1, 0.35), (8, 1.12), (16, 1.22), (32, 1.63), (64, 1.89)),
    multiply=((1, 0.35), (8, 2.20), (16, 3.91), (32, 5.54), (64, 8.35)),
    memory=1.73,
)
XCUP = Delays(
    logic=0.25,
    add=((1, 0.25), (8, 0.71), (16, 0.72), (32, 0.81), (64, 0.93)),
    equal=((1, 0.12), (8, 0.56), (16, 0.65), (32, 0.72), (64, 0.75)),
    less=((1, 0.12), (8, 0.56), (16, 0.66), (32, 0.66), (64, 0.79)),
    shift=((1, 0.25), (8, 0.59), (16, 0.67), (32, 1.02), (64, 1.09)),
    multiply=((1, 0.25), (8, 1.25), (16, 2.38), (32, 3.41), (64, 4.94)),
    memory=1.42,
)


def delays_of(family: str, part: str) -> Delays:
    """Return the delays of a device, given by its family and part number."""
    if family == "xcup":
        return XCUP
    return XC7_FAST if re.match(r"xc7(k|v|z0(30|35|45)|z100)", part) else XC7


def widths_of(instructions: list[Instruction]) -> dict[str, int]:
    """Bits of each value that can differ from 0 (as unsigned): what a synthesis tool leaves of an operation."""
    found: dict[str, int] = {}
    for i in instructions:  # in order: what an operand is has been seen, but for the loop's own values
        full = bits_of(i.type)
        of = [found.get(o, full) if o[0] in "%@g" else _constant_bits(o, full) for o in i.operands]
        if i.opcode == "zext" or (i.opcode in ("trunc", "freeze") and of):
            width = min(of[0] if i.operands[0] in found else bits_of(_source_type(i)), full)
        elif i.opcode == "and":
            width = min(of)
        elif i.opcode in ("or", "xor"):
            width = max(of)
        elif i.opcode == "select":
            width = max(of[1:])
        elif i.opcode == "lshr" and i.operands[1].isdigit():
            width = max(of[0] - int(i.operands[1]), 0)
        elif i.opcode == "shl" and i.operands[1].isdigit():
            width = min(of[0] + int(i.operands[1]), full)
        elif i.opcode == "add" and "-" not in (o[0] for o in i.operands):
            width = min(max(of) + 1, full)
        elif i.opcode == "mul":
            width = min(sum(of), full)
        elif i.opcode == "icmp":
            width = 1
        else:
            width = full
        if i.name:
            found[i.name] = width
    return found


def _source_type(instruction: Instruction) -> str:
    return instruction.flags[0] if instruction.flags else instruction.type


def _constant_bits(text: str, full: int) -> int:
    if text in ("true", "false"):
        return 1
    try:
        value = int(text)
    except ValueError:
        return full
    return full if value < 0 else value.bit_length()
