"""The HLS C++ of one unit: the library as it is, and what composes it for an engine's parameters."""

from __future__ import annotations

import re
from pathlib import Path

from toolflow.emit.render import banner, render, sources, write_if_changed
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError

TEMPLATES = "hls_templates"
# Beats of external memory that co-simulation of the exported RTL maps; no limit on the hardware.
COSIMULATION_BEATS = {"program": 1 << 14, "weights": 1 << 18, "images": 1 << 16, "results": 1 << 14}
BURST_BYTES = 4096
LONGEST_BURST_BEATS = 256


def top_function(unit: str) -> str:
    """Return the name of a unit's top function and the stem of its files.

    Raises:
        ToolflowError: the unit's name is no lower-case identifier.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", unit):
        raise ToolflowError(f"a unit's name must be made of lower-case letters, digits and _, not '{unit}'")
    return f"cascade_{unit}"


def emit_hls(config: EngineConfig, unit: str, folder: Path) -> list[Path]:
    """Write the sources of one unit into `folder` and return them, library first.

    The files are `lib/*.hpp` and `cascade_<unit>.hpp`, `.cpp` and `_tb.cpp`. Files that are already as
    they must be are left alone. Units of one project share a folder.

    Raises:
        ToolflowError: the unit's name does not suit C++, or the folder cannot be written.
    """
    top = top_function(unit)
    written = []
    for source in sources(TEMPLATES, "lib", suffix=".hpp"):
        written.append(folder / "lib" / source.name)
        write_if_changed(written[-1], source.read_text(encoding="utf-8"))
    parameters = [(name, value) for name, value in config.model_dump().items() if not isinstance(value, str)]
    values = {
        "banner": banner(config),
        "unit": unit,
        "top": top,
        "config_name": "".join(part.capitalize() for part in top.split("_")) + "Config",
        "signature": f"{config.signature:016x}",
        "parameters": [
            *parameters,
            ("operand_bits", config.operand_bits),
            ("bank_ultra", config.bank_memory == "ultra"),
        ],
        "bus_bits": config.bus_bits,
        "burst": min(LONGEST_BURST_BEATS, BURST_BYTES // config.bus_bytes),
        "depth": COSIMULATION_BEATS,
    }
    for suffix in (".hpp", ".cpp", "_tb.cpp"):
        written.append(folder / f"{top}{suffix}")
        write_if_changed(written[-1], render(TEMPLATES, f"cascade_unit{suffix}.j2", **values))
    return written
