"""Delays of a device's cells and nets, read from boards/delays/<family>.yaml, in nanoseconds."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from toolflow.ir.errors import ToolflowError

DELAYS_FOLDER = Path(__file__).resolve().parents[2] / "boards" / "delays"


class _Delays(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetDelays(_Delays):
    """A net to a pin in another slice: first + per_doubling · log2(fan-out), at most limit."""

    first: float
    per_doubling: float
    limit: float

    def of(self, fan_out: int) -> float:
        """Return the delay of a net that drives `fan_out` pins."""
        return min(self.limit, self.first + self.per_doubling * math.log2(max(fan_out, 1)))


class CarryDelays(_Delays):
    """A block of four bits of a carry chain.

    Attributes:
        entry: operand to a carry output.
        own_sum: operand to the sum of the same bit.
        entry_sum: operand to the sum of a higher bit.
        pass_: carry input to the last carry output, which the next block takes.
        exit: carry input to a sum, or to another carry output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=lambda name: name.rstrip("_"))

    entry: float
    own_sum: float
    entry_sum: float
    pass_: float
    exit: float


class FlipFlopDelays(_Delays):
    """Clock to output, and set-up times of data, clock enable and synchronous set or reset."""

    output: float
    data: float
    enable: float
    reset: float


class RamDelays(_Delays):
    """Clock to output of what was written, and set-up times; reading takes a LUT."""

    output: float
    data: float
    address: float
    enable: float


class ShiftDelays(_Delays):
    """Clock to output and set-up times of a LUT's shift register."""

    output: float
    data: float
    enable: float


class BlockRamDelays(_Delays):
    """Clock to output without and with the output register, and set-up times."""

    output: float
    registered_output: float
    address: float
    data: float
    enable: float


class DspDelays(_Delays):
    """Parts of a DSP block: input to first register, pre-adder, multiplier, final adder, register to output."""

    input: float
    pre_add: float
    multiply: float
    add: float
    output: float


class Delays(_Delays):
    """Delays of one fabric at one speed grade."""

    net: NetDelays
    lut: float
    wide_multiplexer: float
    wide_multiplexer_select: float
    carry: CarryDelays
    flip_flop: FlipFlopDelays
    lut_ram: RamDelays
    shift_register: ShiftDelays
    block_ram: BlockRamDelays
    dsp: DspDelays


def part_delays(family: str, part: str) -> Delays:
    """Return the delays of a part by its full number, which holds its speed grade.

    Raises:
        ToolflowError: the family is ECP5, or no file, fabric or grade fits.
    """
    fabrics = _fabrics(family)
    found = [fabric for fabric in fabrics.values() if re.match(fabric["part_pattern"], part.lower())]
    if not found:
        raise ToolflowError(f"boards/delays/{family}.yaml has no fabric whose part_pattern fits the part {part}")
    grade = re.search(r"-(\d[A-Za-z]*)(-[A-Za-z]+)?$", part)
    if grade is None:
        raise ToolflowError(f"the part {part} must end with its speed grade, as in xc7z020clg400-1")
    return _graded(found[0], grade[1].upper(), f"the part {part}")


def grade_delays(family: str, grade: str, fabric: str | None = None) -> Delays:
    """Return the delays of a family at a speed grade, as "1" or "2LV", of the file's first fabric if none is named.

    Raises:
        ToolflowError: the family is ECP5, or there is no such fabric or grade.
    """
    fabrics = _fabrics(family)
    name = fabric or next(iter(fabrics))
    if name not in fabrics:
        raise ToolflowError(f"the fabric of {family} must be one of {', '.join(fabrics)}, not {name}")
    return _graded(fabrics[name], grade.upper(), family)


@cache
def _fabrics(family: str) -> dict[str, dict[str, Any]]:
    """Return the fabrics of a family's file by name, in the order of the file."""
    path = DELAYS_FOLDER / f"{family}.yaml"
    if family == "ecp5":
        raise ToolflowError(
            "timing of ECP5 is not estimated: nextpnr-ecp5 places and routes the design (scripts/run.sh route)"
        )
    if not path.is_file():
        raise ToolflowError(f"there are no delays for the family {family}: {path} does not exist")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))["fabrics"])


def _graded(fabric: dict[str, Any], grade: str, what: str) -> Delays:
    scales = fabric["grades"]
    if grade not in scales:
        raise ToolflowError(f"the speed grade of {what} must be one of {', '.join(scales)}, not {grade}")
    base = {name: value for name, value in fabric.items() if name not in ("part_pattern", "grades")}
    return Delays.model_validate(_scaled(base, scales[grade]))


def _scaled(value: Any, scale: float) -> Any:
    if isinstance(value, dict):
        return {name: _scaled(part, scale) for name, part in value.items()}
    return value * scale
