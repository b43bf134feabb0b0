"""Delays of a device's cells and nets, read from boards/delays/<family>.yaml, in nanoseconds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from toolflow.ir.errors import ToolflowError

DELAYS_FOLDER = Path(__file__).resolve().parents[3] / "boards" / "delays"


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


@dataclass(frozen=True)
class Fabric:
    """One kind of logic of a family.

    Attributes:
        name: in the family's file.
        delays: at the grade whose scale is 1.
        grades: factor of every delay by speed grade.
    """

    name: str
    delays: Delays
    grades: Mapping[str, float]
    part_pattern: str

    def at(self, grade: str, what: str) -> Delays:
        """Return the delays at a speed grade.

        Raises:
            ToolflowError: there is no such grade; the text says `what` it is of.
        """
        return Delays.model_validate(_scaled(self.delays.model_dump(by_alias=True), self.scale(grade, what)))

    def scale(self, grade: str, what: str) -> float:
        """Return the factor of a speed grade, as "1" or "2LV".

        Raises:
            ToolflowError: as `at`.
        """
        if grade.upper() not in self.grades:
            raise ToolflowError(f"the speed grade of {what} must be one of {', '.join(self.grades)}, not {grade}")
        return self.grades[grade.upper()]


def part_fabric(family: str, part: str) -> tuple[Fabric, str]:
    """Return the fabric of a part and its speed grade, from its full number.

    Raises:
        ToolflowError: the family is ECP5, or no file, fabric or grade fits.
    """
    found = [fabric for fabric in fabrics(family).values() if re.match(fabric.part_pattern, part.lower())]
    if not found:
        raise ToolflowError(f"boards/delays/{family}.yaml has no fabric whose part_pattern fits the part {part}")
    grade = re.search(r"-(\d[A-Za-z]*)(-[A-Za-z]+)?$", part)
    if grade is None:
        raise ToolflowError(f"the part {part} must end with its speed grade, as in xc7z020clg400-1")
    found[0].scale(grade[1], f"the part {part}")
    return found[0], grade[1].upper()


def part_delays(family: str, part: str) -> Delays:
    """Return the delays of a part.

    Raises:
        ToolflowError: as `part_fabric`.
    """
    fabric, grade = part_fabric(family, part)
    return fabric.at(grade, f"the part {part}")


def grade_delays(family: str, grade: str) -> Delays:
    """Return the delays of the first fabric of a family's file at a speed grade.

    Raises:
        ToolflowError: the family is ECP5, or there is no such grade.
    """
    return next(iter(fabrics(family).values())).at(grade, family)


@cache
def fabrics(family: str) -> Mapping[str, Fabric]:
    """Return the fabrics of a family by name, in the order of its file.

    Raises:
        ToolflowError: the family is ECP5, or has no file.
    """
    if family == "ecp5":
        raise ToolflowError(
            "timing of ECP5 is not estimated: nextpnr-ecp5 places and routes the unit (scripts/run.sh route)"
        )
    path = DELAYS_FOLDER / f"{family}.yaml"
    if not path.is_file():
        raise ToolflowError(f"there are no delays for the family {family}: {path} does not exist")
    return {
        name: Fabric(name, Delays.model_validate(data), grades, pattern)
        for name, data in yaml.safe_load(path.read_text(encoding="utf-8"))["fabrics"].items()
        for grades, pattern in [(data.pop("grades"), data.pop("part_pattern"))]
    }


def _scaled(value: Any, scale: float) -> Any:
    if isinstance(value, dict):
        return {name: _scaled(part, scale) for name, part in value.items()}
    return value * scale
