"""Emitted SystemVerilog: what is in it, and that it is left alone where nothing changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toolflow import __version__
from toolflow.emit.rtl import emit_rtl, engine_parameters
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError

CONFIG = EngineConfig(lanes_k=8, lanes_p=3, slots=2, weight_bits=4, bus_bits=64, multiplier="lut", confidence=False)
ENGINE = Path(__file__).parents[3] / "rtl_sim" / "rtl" / "cascade_engine.sv"


def test_parameters_are_the_engine_s() -> None:
    """Every parameter of the module's header is set, in its order, with the configuration's value."""
    header = ENGINE.read_text().split(") (")[0]
    names = re.findall(r"^  parameter .*?(\w+) = ", header, re.M)
    values = engine_parameters(CONFIG)
    assert list(values) == names
    assert (values["LanesP"], values["MultiplierLut"], values["Confidence"]) == ("3", "1'b1", "1'b0")
    assert values["BankUltra"] == "1'b0"
    assert engine_parameters(CONFIG.model_copy(update={"bank_memory": "ultra"}))["BankUltra"] == "1'b1"
    assert values["Signature"] == f"64'h{CONFIG.signature:016x}"


def test_top_has_the_engine_s_ports(tmp_path: Path) -> None:
    """The wrapper's ports are the engine's, with the widths of this configuration."""

    def ports(text: str) -> list[tuple[str, ...]]:
        found = re.findall(r"^  (input|output) +logic *(\[.*?\])? *(\w+),?$", text, re.M)
        widths = {"[BusBits-1:0]": "[63:0]", "[BusBits/8-1:0]": "[7:0]"}
        return [(direction, widths.get(width, width), name) for direction, width, name in found]

    top = emit_rtl(CONFIG, "low", tmp_path)[-1]
    assert top.name == "cascade_low.sv"
    expected = ports(ENGINE.read_text())
    assert len(expected) > 70
    assert ports(top.read_text()) == expected
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
