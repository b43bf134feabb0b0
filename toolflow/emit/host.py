"""Write the host code of a project: a C++ driver, the design's description, and drivers for Linux on a Zynq.

The C++ driver reaches registers and memory through two interfaces and goes to every board. PYNQ and /dev/mem are
Linux on the processing system of a Zynq: other boards get no files for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolflow.emit.render import banner, render, resource, write_if_changed
from toolflow.emit.scripts import DESIGN_NAME, control_addresses
from toolflow.engine.records import result_header_bytes
from toolflow.engine.registers import PAGE_BYTES
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import UnitName
from toolflow.plan.boards.board import Board
from toolflow.plan.lower.compiled import CompiledProgram

_PACKAGE = "hls_templates"
_DRIVER = "cascade_driver.hpp"
_ZYNQ_LINUX = ("cascade_pynq.py", "devmem.hpp", "classify.cpp")


@dataclass(frozen=True)
class HostUnit:
    """One unit as the host sees it.

    Attributes:
        compiled: its program.
        program, weights: files, relative to the project's folder, with slashes.
        batch: images of a start: those that the engine was planned for. The drivers' buffers hold so many.
        engine: name of the engine that runs it; None for an engine of its own, of the unit's name.
    """

    compiled: CompiledProgram
    program: str
    weights: str
    batch: int
    engine: UnitName | None = None


def emit_host(board: Board, units: Mapping[str, HostUnit], folder: Path) -> tuple[Path, ...]:
    """Write `folder`/host and return its files; the low-precision unit comes first.

    Raises:
        ToolflowError: the units are neither one nor a low and a high one.
    """
    if len(units) != 1 and list(units) != [UnitName.LOW, UnitName.HIGH]:
        raise ToolflowError(f"the units must be one, or low and high in this order, not {', '.join(units)}")
    engines = {name: str(unit.engine or name) for name, unit in units.items()}
    addresses = control_addresses(board, list(dict.fromkeys(engines.values())))
    described = {name: _describe(unit, engines[name], addresses[engines[name]]) for name, unit in units.items()}
    design = {"design": DESIGN_NAME, "board": board.name, "clock_mhz": board.clock_mhz, "units": described}
    values = {"banner": banner(), "units": [{"name": name, **unit} for name, unit in described.items()]}
    linux = board.flow == "zynq"
    plain = (_DRIVER, *(_ZYNQ_LINUX if linux else ()))
    texts = {name: resource(_PACKAGE, "host", name).read_text(encoding="utf-8") for name in plain}
    texts["design.json"] = json.dumps(design, indent=2) + "\n"
    texts["PROGRAM.md"] = resource("toolflow.engine", "PROGRAM.md").read_text(encoding="utf-8")
    for name in ("design.hpp", *(("Makefile",) if linux else ())):
        texts[name] = render(_PACKAGE, f"host/{name}.j2", **values)
    for name, text in texts.items():
        write_if_changed(folder / "host" / name, text)
    return tuple(folder / "host" / name for name in sorted(texts))


def buffer_bytes(units: Iterable[HostUnit]) -> int:
    """Return the bytes of memory that the drivers allocate for all units: each buffer in whole pages."""
    total = 0
    for unit in units:
        compiled, header = unit.compiled, unit.compiled.header
        images, results = unit.batch * header.image_pitch_bytes, unit.batch * header.result_pitch_bytes
        for size in (len(compiled.program), len(compiled.weights), images, results, header.map_bytes):
            total += -(-size // PAGE_BYTES) * PAGE_BYTES
    return total


def _describe(unit: HostUnit, engine: str, control_base: int) -> dict[str, Any]:
    compiled = unit.compiled
    image, header = compiled.image, compiled.header
    return {
        "engine": engine,
        "control_base": control_base,
        "signature": f"{compiled.config.signature:016x}",
        "program": unit.program,
        "weights": unit.weights,
        "lanes_p": compiled.config.lanes_p,
        "batch": unit.batch,
        "image": {
            "height": image.height,
            "width": image.width,
            "channels": image.channels,
            "pixel_bytes": image.pixel_bytes,
            "pitch": header.image_pitch_bytes,
        },
        "result": {
            "classes": int(np.prod(compiled.output_shape)),
            "header_bytes": result_header_bytes(compiled.config),
            "pitch": header.result_pitch_bytes,
        },
        "map_bytes": header.map_bytes,
    }
