"""Write the SystemVerilog of one unit: the engine unchanged, and a top that sets its parameters."""

from __future__ import annotations

import re
from pathlib import Path

from toolflow.emit.hls import top_function
from toolflow.emit.render import banner, render, sources, write_if_changed
from toolflow.engine.config import EngineConfig

PACKAGE = "rtl_sim"
FOLDER = "rtl"
FILE_LIST = "sources.f"


def emit_rtl(config: EngineConfig, unit: str, folder: Path) -> list[Path]:
    """Write the sources of one unit into `folder` and return them in the order of compilation.

    The files are the engine's modules (plain and the same for every unit), `cascade_<unit>.sv`, which is
    the top, and the file list `sources.f` with paths relative to it. Files that are already as they must be
    are left alone.

    Raises:
        ToolflowError: the unit's name does not suit a module, or the folder cannot be written.
    """
    top, config = top_function(unit), config.built
    written = []
    for source in sorted(sources(PACKAGE, FOLDER, suffix=".sv"), key=lambda file: not file.name.endswith("_pkg.sv")):
        written.append(folder / source.name)
        write_if_changed(written[-1], source.read_text(encoding="utf-8"))
    written.append(folder / f"{top}.sv")
    text = render(
        PACKAGE,
        f"{FOLDER}/cascade_unit.sv.j2",
        banner=banner(config),
        unit=unit,
        top=top,
        bus_bits=config.bus_bits,
        engine=engine_literal(config),
        signature=f"64'h{config.signature:016x}",
    )
    write_if_changed(written[-1], text)
    write_if_changed(folder / FILE_LIST, "".join(f"{path.name}\n" for path in written))
    return written


def engine_literal(config: EngineConfig) -> str:
    """Return the parameters as an assignment pattern of `cascade_pkg::engine_t`, one field a line.

    A field that is one of several words has an enumeration `<field>_e`, whose names begin with the field's.
    """
    fields = ",\n".join(f"    {name}: {_literal(name, value)}" for name, value in config.model_dump().items())
    return f"'{{\n{fields}\n  }}"


def with_default_engine(package: str, config: EngineConfig) -> str:
    """Return the text of cascade_pkg.sv with another DefaultEngine: that of modules that are elaborated alone."""
    literal = f"DefaultEngine = {engine_literal(config)};"
    return re.sub(r"DefaultEngine = '\{.*?\};", lambda _: literal, package, count=1, flags=re.DOTALL)


def _literal(name: str, value: bool | int | str) -> str:
    if isinstance(value, bool):
        return f"1'b{int(value)}"
    if isinstance(value, str):
        return "".join(part.capitalize() for part in (*name.split("_"), value))
    return str(value)
