"""Families of devices: data files under boards/families/, one a family, named by the file.

A file holds the facts of the family: the shapes of its memories, what its DSP blocks take, and the vendor's tables
that board files are checked against. What LUTs and flip-flops an engine takes is fitted (`fit.json`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

FAMILIES_FOLDER = Path(__file__).resolve().parents[3] / "boards" / "families"


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BlockShape(_Data):
    """One way to use a block RAM: words × bits, the share of a block that it takes, and its cost."""

    words: int
    bits: int
    blocks: float
    cost: int


class LutShape(_Data):
    """One LUT RAM primitive: words × bits, the LUTs that it takes, and its cost."""

    words: int
    bits: int
    luts: int
    cost: int


class BlockRam(_Data):
    """Block RAM: what one is called, the field of a board file that counts it, and the shapes that it can take."""

    name: str
    field: Literal["bram36", "bram18"]
    shapes: tuple[BlockShape, ...]

    @property
    def bits(self) -> float:
        """Bits that a block holds at most."""
        return max(shape.words * shape.bits / shape.blocks for shape in self.shapes)


class Dsp(_Data):
    """DSP blocks.

    Attributes:
        primitive: the block, by its name in `numerics/packing.py`.
        least_product_bits: synthesis leaves a narrower product in LUTs, whatever it is meant for.
        operand_bits: widest signed operand that one block multiplies by 17 bits, that two blocks do, and so on.
    """

    primitive: Literal["dsp48e1", "dsp48e2", "mult18x18d"]
    least_product_bits: int
    operand_bits: tuple[int, ...]


class MemoryLimit(_Data):
    """Widest interface of a processing system's memory, and its fastest rate."""

    data_bits: int
    megatransfers_per_s: int


class MemoryLimits(_Data):
    """What external memory can be.

    Attributes:
        logic_megatransfers_per_s: fastest rate on the pins of the programmable logic.
        processor_pattern: how the parts begin that have a processing system; None if none has.
        packages: limit of each device and package with a processing system, by the beginning of its part.
    """

    logic_megatransfers_per_s: int
    processor_pattern: str | None = None
    packages: Mapping[str, MemoryLimit] = {}


class Device(_Data):
    """What a device holds by the vendor's table; block RAMs in the family's unit."""

    luts: int
    flip_flops: int
    dsps: int
    block_rams: int
    urams: int


class Family(_Data):
    """A family of devices.

    Attributes:
        flow: the tools that its boards are built with.
        processing_system: the processing system of its devices, as scripts name it.
        part_pattern: regular expression of a full part number.
        logic_cells_per_lut: by which the vendor's marketing figures are larger than its LUTs.
        two_flip_flops_per_lut: whether every device has twice as many flip-flops as LUTs.
        lut_inputs: inputs of a LUT.
        exponent_table_blocks: block RAMs of the confidence unit's table; 0 where synthesis makes it of LUTs.
        devices: by the beginning of the part.
    """

    flow: Literal["zynq", "nextpnr"]
    processing_system: Literal["zynq7", "zynqmp", "none"]
    part_pattern: str
    logic_cells_per_lut: float
    two_flip_flops_per_lut: bool
    lut_inputs: Literal[4, 6]
    block_ram: BlockRam
    lut_ram: tuple[LutShape, ...]
    dsp: Dsp
    exponent_table_blocks: int
    memory: MemoryLimits
    devices: Mapping[str, Device]


@cache
def families(folder: Path = FAMILIES_FOLDER) -> Mapping[str, Family]:
    """Return the families by name."""
    files = sorted(folder.glob("*.yaml"))
    return MappingProxyType(
        {path.stem: Family.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in files}
    )


def family_of(name: str) -> Family:
    """Return the family of that name.

    Raises:
        KeyError: there is none.
    """
    return families()[name]
