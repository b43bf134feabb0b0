"""Emitted SystemVerilog: its contents, and that unchanged files are not rewritten."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import pytest

from toolflow import __version__
from toolflow.emit.rtl import emit_rtl, engine_literal, with_default_engine
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError

CONFIG = EngineConfig(lanes_k=8, lanes_p=3, slots=2, weight_bits=4, bus_bits=64, multiplier="lut", confidence=False)
RTL = Path(__file__).parents[3] / "rtl_sim" / "rtl"
ENGINE = RTL / "cascade_engine.sv"
PACKAGE = RTL / "cascade_pkg.sv"
SHIM = RTL.parent / "bench" / "cascade_hls_shim.sv"
FAULTY_UNIT = Path(__file__).parents[2] / "rtl" / "faulty_unit.sv"


def test_engine_t_has_the_fields_of_the_configuration() -> None:
    """The fields of `engine_t`, in their order; a field that is one of several words has an enumeration of these."""
    package = PACKAGE.read_text()
    (struct,) = re.findall(r"typedef struct packed \{([^}]*)\} engine_t;", package)
    fields = dict(reversed(field) for field in re.findall(r"^ +(\S.*?) +(\w+);$", struct, re.M))
    assert list(fields) == list(EngineConfig.model_fields)
    for name, field in EngineConfig.model_fields.items():
        words = typing.get_args(field.annotation)
        if field.annotation is bool:
            assert fields[name] == "bit"
        elif words and isinstance(words[0], str):
            (names,) = re.findall(rf"typedef enum [^{{]*\{{([^}}]*)\}} {fields[name]};", package)
            prefix = "".join(part.capitalize() for part in name.split("_"))
            assert fields[name] == f"{name}_e"
            assert re.findall(r"(\w+) = ", names) == [f"{prefix}{word.capitalize()}" for word in words]
        else:
            assert fields[name] == "int unsigned"


def test_literal_of_an_engine() -> None:
    """Every field is set; so it is in the package's engine for modules that are elaborated alone."""
    literal = engine_literal(CONFIG)
    names = re.findall(r"^ +(\w+): ", literal, re.M)
    assert names == list(EngineConfig.model_fields)
    assert "lanes_p: 3,\n" in literal
    assert "multiplier: MultiplierLut,\n" in literal
    assert "bank_memory: BankMemoryBlock,\n    weight_memory: WeightMemoryBlock,\n    rows_ahead: 0,\n" in literal
    assert "    stripes: 1'b0\n" in literal
    package = PACKAGE.read_text()
    (default,) = re.findall(r"DefaultEngine = ('\{.*?\});", package, re.DOTALL)
    assert re.findall(r"^ +(\w+): ", default, re.M) == names
    assert with_default_engine(package, CONFIG) == package.replace(default, literal)


def ports_of(text: str) -> list[tuple[str, ...]]:
    """Return direction, width and name of the ports in a file, for the bus of `CONFIG`."""
    found = re.findall(r"^ +(input|output) +logic *(?:\[([^]]*)\])? *(\w+),?$", text, re.M)
    widths = {
        f"{bus}{part}-1:0": f"{bits}:0"
        for bus in ("BusBits", "Engine.bus_bits")
        for part, bits in (("", 63), ("/8", 7))
    }
    return [(direction, widths.get(width.strip(), width.strip()), name) for direction, width, name in found]


def test_the_ports_of_a_unit_are_the_same_wherever_they_are_written_out(tmp_path: Path) -> None:
    """In the unit with this configuration's widths, in the engine, and in what stands in for a unit in the bench."""
    top = emit_rtl(CONFIG, "low", tmp_path)[-1]
    assert top.name == "cascade_low.sv"
    unit = ports_of(top.read_text())
    assert len(unit) > 70
    assert ports_of(ENGINE.read_text()) == unit
    assert ports_of(FAULTY_UNIT.read_text()) == unit
    assert ports_of(SHIM.read_text()) == [*unit, ("output", "", "deadlock")]
    assert f"cascade-toolflow {__version__}" in top.read_text()
    assert f"{CONFIG.signature:016x}" in top.read_text()


def test_files_are_in_order_of_compilation(tmp_path: Path) -> None:
    files = emit_rtl(CONFIG, "single", tmp_path)
    assert files[0].name == "cascade_pkg.sv"
    assert files[-1].name == "cascade_single.sv"
    assert {file.name for file in files} == {path.name for path in tmp_path.glob("*.sv")}
    assert (tmp_path / "sources.f").read_text().split() == [file.name for file in files]
    for file in files[:-1]:
        assert file.read_bytes() == (ENGINE.parent / file.name).read_bytes()


def test_unchanged_files_are_left_alone(tmp_path: Path) -> None:
    files = emit_rtl(CONFIG, "single", tmp_path)
    before = {file: file.stat().st_mtime_ns for file in files}
    emit_rtl(CONFIG, "single", tmp_path)
    assert {file: file.stat().st_mtime_ns for file in files} == before
    emit_rtl(CONFIG.model_copy(update={"lanes_p": 4}), "single", tmp_path)
    assert [file for file in files if file.stat().st_mtime_ns != before[file]] == files[-1:]


def test_bad_unit_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolflowError, match="lower-case letters, digits and _, not 'Low-1'"):
        emit_rtl(CONFIG, "Low-1", tmp_path)
    assert not list(tmp_path.iterdir())
