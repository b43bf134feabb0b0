"""Write the scripts of a project for Vitis HLS, Vivado, Yosys and nextpnr, and a Makefile that finds the tools.

The Tcl itself is plain and the same for every project; what differs lies in `design.tcl`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from toolflow import __version__
from toolflow.emit.render import render, resource, write_if_changed
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.board import Board
from toolflow.plan.resources.family import family_of

DESIGN_NAME = "cascade"
_PACKAGE = "hls_templates"
CONTROL_RANGE_BYTES = 0x1_0000
# address of the first unit's control registers behind each processing system's general-purpose master
_CONTROL_BASE = {"zynq7": 0x43C0_0000, "zynqmp": 0xA000_0000, "none": 0}
_ECP5_PACKAGES = {
    "BG256": "CABGA256",
    "BG381": "CABGA381",
    "BG554": "CABGA554",
    "BG756": "CABGA756",
    "MG285": "CSFBGA285",
}
_VENDOR_FILES = ("run_hls.tcl", "package_core.tcl", "package_rtl.tcl", "build_bitstream.tcl", "block_design.tcl")


@dataclass(frozen=True)
class HlsVectors:
    """What the C++ test bench reads: binaries and expected results of `count` images.

    Attributes:
        name: of the unit whose program it is.
        program, weights, images, expected: paths relative to the project's folder.
        image_bytes: of one image in memory.
        result_bytes: length of the expected results.
        map_bytes: of the maps that the program keeps in memory.
    """

    name: str
    program: str
    weights: str
    images: str
    expected: str
    count: int
    image_bytes: int
    result_bytes: int
    map_bytes: int

    @property
    def files(self) -> dict[str, str]:
        """The paths under the names that the test bench uses, without their suffix."""
        return {name: getattr(self, name) for name in ("program", "weights", "images", "expected")}


@dataclass(frozen=True)
class UnitSources:
    """Where the emitted sources of one engine lie; every path is relative to the project's folder, with slashes.

    Attributes:
        unit: "low", "high" or "single"; the top of both flavours is cascade_<unit>.
        hls_sources: C++ files to synthesise.
        hls_include: folder of the C++ library's headers.
        hls_bench: files of the C++ test bench, none if there is none.
        vectors: what it reads, once for each program of the engine; csim and cosim need both.
        rtl_sources: SystemVerilog files, packages before their users.
    """

    unit: str
    config: EngineConfig
    hls_sources: tuple[str, ...]
    hls_include: str
    rtl_sources: tuple[str, ...]
    hls_bench: tuple[str, ...] = ()
    vectors: tuple[HlsVectors, ...] = ()

    @property
    def top(self) -> str:
        """Name of the top module and of the top function."""
        return f"cascade_{self.unit}"


def processor(board: Board) -> str:
    """Return the board's processing system: zynq7, zynqmp or none."""
    return family_of(board.family).processing_system


def control_addresses(board: Board, units: Sequence[str]) -> dict[str, int]:
    """Return the byte address of each unit's control registers in the processor's address space."""
    base = _CONTROL_BASE[processor(board)]
    return {unit: base + index * CONTROL_RANGE_BYTES for index, unit in enumerate(units)}


def emit_scripts(board: Board, units: Sequence[UnitSources], folder: Path) -> tuple[Path, ...]:
    """Write `folder`/scripts and return its files.

    Raises:
        ToolflowError: a path holds a character that Tcl, make or the shell would take apart, or the units
            need more memory ports than the board's processing system has.
    """
    _check(board, units)
    addresses = control_addresses(board, [unit.unit for unit in units])
    described = [
        {**vars(unit), "top": unit.top, "control_base": addresses[unit.unit], "blocks": _declared_blocks(unit)}
        for unit in units
    ]
    context: dict[str, object] = {
        "version": __version__,
        "configuration": _configuration_hash(board, units),
        "name": DESIGN_NAME,
        "board": board,
        "processor": processor(board),
        "nextpnr_device": nextpnr_device(board),
        "units": described,
    }
    scripts = folder / "scripts"
    vendor = board.flow == "zynq"
    rendered = ("Makefile", "run.sh", *(("design.tcl",) if vendor else ()))
    texts = {name: render(_PACKAGE, f"scripts/{name}.j2", **context) for name in rendered}
    for unit in described:
        per_unit = {**context, "unit": unit}
        texts[f"yosys_{unit['unit']}.ys"] = render(_PACKAGE, "scripts/yosys.ys.j2", **per_unit)
        if vendor:
            texts[f"hls_{unit['unit']}.tcl"] = render(_PACKAGE, "scripts/hls_unit.tcl.j2", **per_unit)
    for name in _VENDOR_FILES if vendor else ():
        texts[name] = resource(_PACKAGE, "scripts", name).read_text(encoding="utf-8")
    for path in dict.fromkeys(path for unit in units for path in _declared_blocks(unit)):
        name = path.removeprefix("scripts/")
        texts[name] = resource("rtl_sim", *name.split("/")).read_text(encoding="utf-8")
    for name, text in texts.items():
        write_if_changed(scripts / name, text)
    (scripts / "run.sh").chmod(0o755)
    return tuple(scripts / name for name in sorted(texts))


def _declared_blocks(unit: UnitSources) -> tuple[str, ...]:
    """Return the declarations of the vendor's blocks that a unit instantiates, for Yosys, which takes its own cells."""
    block = unit.config.dsp_primitive
    return () if block == "none" else (f"scripts/primitives/{block.upper()}.sv",)


def _check(board: Board, units: Sequence[UnitSources]) -> None:
    for unit in units:
        vectors = [path for each in unit.vectors for path in each.files.values()]
        sources = (*unit.hls_sources, unit.hls_include, *unit.hls_bench, *unit.rtl_sources)
        for path in (unit.unit, *sources, *vectors):
            if not re.fullmatch(r"[A-Za-z0-9_./-]+", path):
                raise ToolflowError(
                    f"a path of an emitted project must be made of letters, digits and . _ - /, not '{path}'"
                )
    if board.flow == "zynq" and len(units) > 2:
        raise ToolflowError(
            f"a design for {board.name} must have at most 2 units (two memory ports each, 4 in all), not {len(units)}"
        )


def _configuration_hash(board: Board, units: Sequence[UnitSources]) -> str:
    texts = [board.model_dump_json()]
    for unit in units:
        fields = asdict(unit)
        fields["config"] = unit.config.model_dump_json()
        texts.append(repr(sorted(fields.items())))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def nextpnr_device(board: Board) -> str:
    """Return nextpnr-ecp5's device options, "" for other families."""
    if board.flow != "nextpnr":
        return ""
    match = re.fullmatch(r"LFE5(UM5G|UM|U)-(\d\d)F-([678])([A-Z]+\d+)\w*", board.part)
    if match is None or match[4] not in _ECP5_PACKAGES:
        raise ToolflowError(
            f"the part must be an ECP5 in one of the packages {', '.join(_ECP5_PACKAGES)}, not '{board.part}'"
        )
    kind = {"U": "", "UM": "um-", "UM5G": "um5g-"}[match[1]]
    return f"--{kind}{match[2]}k --package {_ECP5_PACKAGES[match[4]]} --speed {match[3]}"
