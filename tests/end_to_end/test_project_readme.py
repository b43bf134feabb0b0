"""The README of an emitted project: the files that it names exist, and its commands work as written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from tests.end_to_end.projects import REPOSITORY, SMALL_ENGINE, toolflow, write_models
from tests.unit.emit.host_device import fake_pynq
from toolflow.flow.project import open_project

STUBS = REPOSITORY / "tests" / "stubs"
MADE = "host/classify"  # by `make -C host`, as a test below sees
FOLDERS = ("hls", "rtl", "weights", "vectors", "graphs", "scripts", "host")
needs_tcl = pytest.mark.skipif(
    find_spec("_tkinter") is None and shutil.which("tclsh") is None,
    reason="no Tcl interpreter: neither Python's tkinter nor tclsh is installed",
)


@pytest.fixture(scope="module")
def zynq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cascade for a ZCU104."""
    return _built(tmp_path_factory.mktemp("zynq"), "zcu104", "--cascade")


@pytest.fixture(scope="module")
def ecp5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A single unit for a ULX3S."""
    return _built(tmp_path_factory.mktemp("ecp5"), "ulx3s-85f", "--single")


def _built(folder: Path, board: str, *options: str) -> Path:
    models, images, _ = write_models(folder)
    out = folder / "project"
    source: list[str | Path] = [f"{models}:small", "--calibration", images]
    built = toolflow("build", *source, "--board", board, "--engine", SMALL_ENGINE, *options, "--out", out)
    assert built.exit_code == 0, built.stderr
    return out


@pytest.fixture(params=["zynq", "ecp5"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a project, for a test that writes into it."""
    return _copy(request.getfixturevalue(request.param), tmp_path)


def _copy(project: Path, folder: Path) -> Path:
    return Path(shutil.copytree(project, folder / "project"))


def _readme(project: Path) -> str:
    return (project / "README.md").read_text(encoding="utf-8")


def _missing(project: Path) -> list[str]:
    """Return the paths that the project's README names but that do not exist."""
    words = [word.removeprefix("../").rstrip(".") for word in re.findall(r"[\w./-]+", _readme(project))]
    inside = [word for word in words if word.split("/")[0] in FOLDERS and "/" in word and word != MADE]
    inside += [word for word in words if re.fullmatch(r"\w+\.(json|svg|npz)", word)]
    assert len(inside) > 20
    return [word for word in inside if not (project / word).exists()]


def _block(project: Path, text: str, language: str = "sh") -> str:
    """Return the only block of commands that contains `text`."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", _readme(project), flags=re.MULTILINE | re.DOTALL)
    (found,) = (block for block in blocks if text in block)
    return str(found)


def _results(project: Path) -> list[str]:
    """Return the paths in the README's table of results."""
    table = _readme(project).partition("| result | |\n")[2].partition("\n\n")[0]
    return re.findall(r"`(build/[^`]+)`", table)


def _type(project: Path, commands: str, tools: Path) -> str:
    """Run commands as a user would, with the stub programs of `tools` first on PATH."""
    _executable(tools, "python", f'exec "{sys.executable}" "$@"')
    _executable(tools, "python3", f'exec "{sys.executable}" "$@"')
    stubs = {"STUB_LOG": str(tools / "calls.log"), "STUB_BOARD_PARTS": "", "XILINX_SEARCH": ""}
    environment = {"PATH": f"{tools}:/usr/bin:/bin", **stubs}
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _executable(tools: Path, name: str, body: str) -> None:
    tools.mkdir(exist_ok=True)
    (tools / name).write_text(f"#!/bin/sh\n{body}\n")
    (tools / name).chmod(0o755)


def test_every_path_that_it_names_exists(project: Path) -> None:
    assert _missing(project) == []
    (project / "host" / "cascade_driver.hpp").unlink()
    (project / "plan.json").unlink()
    assert set(_missing(project)) == {"host/cascade_driver.hpp", "plan.json"}


def test_it_names_everything_that_lies_in_the_project(project: Path) -> None:
    text = _readme(project)
    unnamed = {path.name for path in project.iterdir() if f"`{path.name}{'/' * path.is_dir()}`" not in text}
    assert unnamed == {"README.md"}


def test_it_says_what_was_built(zynq: Path, ecp5: Path) -> None:
    cascade, single = _readme(zynq), _readme(ecp5)
    assert cascade.startswith("# small on ZCU104\n")
    assert "images of\n8 × 8 × 1, 4 classes" in cascade
    assert "| | low | high |\n|---|---|---|\n" in cascade
    assert "| weight bits, activation bits, bits in the first and last layer | 4, 4, 8 | 8, 8, 8 |\n" in cascade
    assert "Why this design: both units, as requested" in cascade
    assert "One unit, `single`, computes every image." in single
    assert "| `lanes_k` | 4 |\n| `lanes_p` | 2 |\n| `slots` | 1 |\n" in single
    assert "there is no memory controller" in single
    for word in ("PYNQ", "Vitis", "Vivado"):
        assert word in cascade
        assert word not in single.replace("C++ for Vitis HLS", "")


def test_co_simulation_copies_what_the_vectors_hold(zynq: Path) -> None:
    """The depth of a master is its longest data: program, two images, their results and maps, or the weight stream."""
    design = json.loads((zynq / "host" / "design.json").read_text(encoding="utf-8"))
    for unit, described in design["units"].items():
        text = (zynq / "hls" / f"cascade_{unit}.cpp").read_text(encoding="utf-8")
        depths = dict(re.findall(r"m_axi port=(\w+) .*? depth=(\d+)", text))
        sizes = {
            "program": (zynq / "weights" / f"{unit}.program.bin").stat().st_size,
            "images": 2 * described["image"]["pitch"],
            "results": (zynq / "vectors" / f"{unit}.expected.bin").stat().st_size,
            "maps": described["map_bytes"],
        }
        beat = open_project(zynq).plan.units[unit].engine.bus_bytes
        weights = (zynq / "weights" / f"{unit}.weights.bin").stat().st_size
        assert depths == dict.fromkeys(sizes, str(-(-max(sizes.values()) // beat))) | {"weights": str(weights // beat)}
    assert "block RAMs (36 Kb) in `low`, " in _readme(zynq)


def test_the_cpp_compiles_and_runs_as_it_says(project: Path, tmp_path: Path) -> None:
    commands = _block(project, "AP_TYPES")
    units = list(open_project(project).plan.units)
    assert _type(project, commands, tmp_path / "tools") == "error 0\n" * len(units)

    expected = project / "vectors" / f"{units[-1]}.expected.bin"
    expected.write_bytes(bytes([expected.read_bytes()[0] ^ 1]) + expected.read_bytes()[1:])
    with pytest.raises(AssertionError, match=r"differ from expected.bin from byte 0 on"):
        _type(project, commands, tmp_path / "tools")


def test_it_is_verified_as_it_says(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\n    toolflow verify .\n" in _readme(project)
    monkeypatch.chdir(project)
    result = toolflow("verify", ".", "--levels", "program", "--images", "2")
    assert result.exit_code == 0, result.stderr
    assert project.with_name("project.simulators").is_dir()


@needs_tcl
@pytest.mark.parametrize("text", ["make -C scripts bitstream", "scripts/run.sh package", "vitis-run"])
def test_the_vendors_commands_run_as_it_says(zynq: Path, tmp_path: Path, text: str) -> None:
    project, tools = _copy(zynq, tmp_path), tmp_path / "tools"
    for tool in ("vitis-run", "vivado"):
        _executable(tools, tool, f'exec "{sys.executable}" "{STUBS / "run_tcl.py"}" {tool} "$@"')
    _executable(tools, "yosys", "exit 0")
    _type(project, _block(project, text), tools)
    results = _results(project)
    assert {"build/cascade.bit", "build/cascade.hwh", "build/reports/"} < set(results)
    logs = text != "vitis-run"
    assert [path for path in results if not any(project.glob(path)) and (logs or path != "build/*.log")] == []
    addresses = (project / "build" / "addresses.txt").read_text().split()
    assert " ".join(addresses) in _readme(project)


def test_the_open_tools_commands_run_as_it_says(ecp5: Path, tmp_path: Path) -> None:
    project, tools = _copy(ecp5, tmp_path), tmp_path / "tools"
    _executable(tools, "yosys", 'touch $(grep -o "build/[a-z_]*.json" "$1")')
    reached = "echo \"Info: Max frequency for clock 'ap_clk': 56.12 MHz (PASS at 50.00 MHz)\""
    report = 'while [ $# -gt 1 ]; do [ "$1" = --report ] && touch "$2"; shift; done'
    _executable(tools, "nextpnr-ecp5", f"{report}; {reached}")
    for text in ("make -C scripts", "scripts/run.sh"):
        shutil.rmtree(project / "build", ignore_errors=True)
        _type(project, _block(project, text), tools)
        results = _results(project)
        assert "build/route_single.json" in results
        assert [path for path in results if not any(project.glob(path))] == []


def test_the_python_host_runs_as_it_says(
    zynq: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = open_project(zynq).plan
    names, engines = fake_pynq({name: unit.engine for name, unit in plan.units.items()})
    pynq = ModuleType("pynq")
    vars(pynq).update(names)
    monkeypatch.setitem(sys.modules, "pynq", pynq)
    monkeypatch.delitem(sys.modules, "cascade_pynq", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(zynq)
    exec(compile(_block(zynq, "cascade_pynq", "python"), "README.md", "exec"), {})
    assert capsys.readouterr().out == "equal\n"
    assert engines["low"].counts
    monkeypatch.delitem(sys.modules, "cascade_pynq")


def test_the_cpp_host_compiles_as_it_says(zynq: Path, tmp_path: Path) -> None:
    project = _copy(zynq, tmp_path)
    lines = _block(project, "u-dma-buf.ko").splitlines()
    assert [line.split()[0] for line in lines] == ["python3", "make", "insmod", MADE]
    _type(project, "\n".join(lines[:2]), tmp_path / "tools")
    with pytest.raises(AssertionError, match="load the u-dma-buf module"):
        _type(project, lines[3], tmp_path / "tools")
    assert (project / "images.bin").read_bytes() == open_project(project).vectors().images.tobytes()
