"""Write the SystemVerilog of one unit: the engine unchanged, and a top that sets its parameters."""

from __future__ import annotations

from pathlib import Path

from toolflow.emit.hls import top_function
from toolflow.emit.render import banner, render, sources, write_if_changed
from toolflow.engine.config import ARRAY, EngineConfig

PACKAGE = "rtl_sim"
FOLDER = "rtl"
FILE_LIST = "sources.f"
# parameters that are one of two words: the bit of the RTL, and the word that sets it
_BITS = {"multiplier": ("MultiplierLut", "lut"), "bank_memory": ("BankUltra", "ultra")}


def emit_rtl(config: EngineConfig, unit: str, folder: Path) -> list[Path]:
    """Write the sources of one unit into `folder` and return them in the order of compilation.

    The files are the engine's modules (plain and the same for every unit), `cascade_<unit>.sv`, which is
    the top, and the file list `sources.f` with paths relative to it. Files that are already as they must be
    are left alone.

    Raises:
        ToolflowError: the unit's name does not suit a module, or the folder cannot be written.
    """
    top = top_function(unit)
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
        parameters=list(engine_parameters(config).items()),
    )
    write_if_changed(written[-1], text)
    write_if_changed(folder / FILE_LIST, "".join(f"{path.name}\n" for path in written))
    return written


def engine_parameters(config: EngineConfig) -> dict[str, str]:
    """Return the parameters of `cascade_engine` as SystemVerilog literals, in the order of its header."""
    values: dict[str, str] = {}
    for name, value in config.model_dump(exclude=ARRAY).items():
        if name in _BITS:
            bit, word = _BITS[name]
            values[bit] = f"1'b{int(value == word)}"
        elif isinstance(value, bool):
            values[_upper_camel(name)] = f"1'b{int(value)}"
        else:
            values[_upper_camel(name)] = str(value)
    values["Signature"] = f"64'h{config.signature:016x}"
    return values


def _upper_camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
