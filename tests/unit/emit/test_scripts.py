"""The emitted scripts, run against stubs of the vendor tools that refuse what the real ones would refuse."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from toolflow.emit.scripts import HlsVectors, UnitSources, control_addresses, emit_scripts
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.board import load_board

RTL = Path(__file__).resolve().parents[3] / "rtl_sim" / "rtl"
STUBS = Path(__file__).resolve().parents[2] / "stubs"
BOARD_PARTS = "xilinx.com:zcu104:part0:1.0 xilinx.com:zcu104:part0:1.1 tul.com.tw:pynq-z2:part0:1.0"
PORTS = "s_axi_control_araddr, m_axi_gmem0_araddr, m_axi_gmem1_araddr"

needs_tcl = pytest.mark.skipif(
    find_spec("_tkinter") is None and shutil.which("tclsh") is None,
    reason="no Tcl interpreter: neither Python's tkinter nor tclsh is installed",
)


class Project:
    """An emitted project with stand-in sources, and vendor tools on a PATH of its own."""

    def __init__(
        self,
        folder: Path,
        board: str,
        units: Sequence[str] = ("low", "high"),
        programs: Sequence[str] = (),
        bus_bits: int = 128,
    ) -> None:
        self.folder = folder / "project"
        self.tools = folder / "tools"
        self.log = folder / "calls.log"
        sources = []
        for unit in units:
            files = {
                f"hls/{unit}/cascade_{unit}.cpp": "",
                f"hls/{unit}/bench.cpp": "",
                "hls/lib/engine.hpp": "",
                **{
                    f"vectors/{program}.{name}.bin": name
                    for program in programs or (unit,)
                    for name in ("program", "weights", "images", "expected")
                },
                "rtl/lib/cascade_pkg.sv": "package cascade_pkg; endpackage",
                "rtl/lib/cascade_read_split.sv": (RTL / "cascade_read_split.sv").read_text(),
                f"rtl/{unit}/cascade_{unit}.sv": f"module cascade_{unit} ({PORTS});",
            }
            for name, text in files.items():
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            sources.append(
                UnitSources(
                    unit=unit,
                    config=EngineConfig(bus_bits=bus_bits),
                    hls_sources=(f"hls/{unit}/cascade_{unit}.cpp",),
                    hls_include="hls/lib",
                    hls_bench=(f"hls/{unit}/bench.cpp",),
                    vectors=tuple(
                        HlsVectors(
                            name=program,
                            program=f"vectors/{program}.program.bin",
                            weights=f"vectors/{program}.weights.bin",
                            images=f"vectors/{program}.images.bin",
                            expected=f"vectors/{program}.expected.bin",
                            count=2,
                            image_bytes=64,
                            result_bytes=96,
                            map_bytes=0,
                        )
                        for program in programs or (unit,)
                    ),
                    rtl_sources=(
                        "rtl/lib/cascade_pkg.sv",
                        "rtl/lib/cascade_read_split.sv",
                        f"rtl/{unit}/cascade_{unit}.sv",
                    ),
                )
            )
        self.scripts = self.folder / "scripts"
        self.files = emit_scripts(load_board(board), sources, self.folder)
        self.tools.mkdir()

    def install(self, *tools: str) -> None:
        for tool in tools:
            self.executable(tool, f'exec "{sys.executable}" "{STUBS / "run_tcl.py"}" {tool} "$@"')

    def executable(self, name: str, body: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        hidden = ("XILINX_VITIS", "XILINX_HLS", "XILINX_VIVADO")
        kept = {key: value for key, value in os.environ.items() if key not in hidden}
        # only the system's own tools and the stubs: no synthesis tool of this machine may answer instead
        path = os.pathsep.join([str(self.tools), "/usr/bin", "/bin"])
        given = {"PATH": path, "STUB_LOG": str(self.log), "STUB_BOARD_PARTS": BOARD_PARTS, "XILINX_SEARCH": ""}
        return subprocess.run(
            arguments,
            cwd=self.scripts,
            env={**kept, **given, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@needs_tcl
@pytest.mark.parametrize("tool", ["vitis-run", "vitis_hls"])
def test_hls_runs_under_both_commands(tmp_path: Path, tool: str) -> None:
    project = Project(tmp_path, "zcu104")
    project.install(tool)
    done = project.run("make", "hls")
    assert done.returncode == 0, done.stderr
    assert "set_part xczu7ev-ffvc1156-2-e" in project.calls()
    period = round(1000 / load_board("zcu104").clock_mhz, 3)
    assert f"create_clock -period {period} -name ap_clk" in project.calls()
    assert [c.split()[0] for c in project.calls()].count("export_design") == 2
    assert not any(c.startswith(("csim_design", "cosim_design")) for c in project.calls())
    for unit in ("low", "high"):
        core = project.folder / "build" / f"hls_{unit}" / "solution" / "impl" / "ip" / "component.xml"
        assert core.read_text().strip() == f"cascade:hls:cascade_{unit}:1.0"


@needs_tcl
def test_the_newer_command_is_preferred(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104")
    project.install("vitis-run")
    project.executable("vitis_hls", "exit 77")
    assert project.run("./run.sh", "hls", "low", "csim", "csynth", "cosim").returncode == 0
    order = [c.split()[0] for c in project.calls() if c.split()[0].endswith("_design")]
    assert order == ["csim_design", "csynth_design", "cosim_design"]
    vectors = project.folder / "build" / "vectors_low"
    assert f"csim_design -argv {{{vectors} 2 96}}" in project.calls()
    assert (vectors / "expected.bin").read_text() == "expected"


@needs_tcl
def test_both_programs_of_an_engine_are_simulated(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104", ["single"], ["low", "high"])
    project.install("vitis-run")
    assert project.run("./run.sh", "hls", "single", "csim", "csynth", "cosim").returncode == 0
    folders = [project.folder / "build" / f"vectors_{program}" for program in ("low", "high")]
    calls = [call for call in project.calls() if call.split()[0] in ("csim_design", "cosim_design")]
    assert calls == [
        *(f"csim_design -argv {{{folder} 2 96}}" for folder in folders),
        *(f"cosim_design -rtl verilog -argv {{{folder} 2 96}}" for folder in folders),
    ]


@needs_tcl
def test_simulation_without_vectors_is_refused(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104", ["single"])
    project.install("vitis-run")
    design = project.scripts / "design.tcl"
    design.write_text(re.sub(r"vectors +{.*?\n    }", "vectors {}", design.read_text(), flags=re.DOTALL))
    done = project.run("make", "csim")
    assert done.returncode != 0
    assert "need a test bench and vectors, and unit 'single' was emitted without them" in done.stderr


@needs_tcl
@pytest.mark.parametrize(
    ("board", "control"), [("zcu104", {"low": 0xA0000000, "high": 0xA0010000}), ("pynq-z2", {"low": 0x43C00000})]
)
@pytest.mark.parametrize("flavour", ["hls", "rtl"])
def test_the_bitstream_flow(tmp_path: Path, board: str, control: dict[str, int], flavour: str) -> None:
    project = Project(tmp_path, board, tuple(control))
    project.install("vitis-run", "vivado")
    done = project.run("make", "bitstream" if flavour == "hls" else "bitstream-rtl")
    assert done.returncode == 0, done.stderr
    build = project.folder / "build"
    assert {p.name for p in build.glob("cascade.*")} == {"cascade.bit", "cascade.hwh", "cascade.xsa"}
    assert {p.name for p in (build / "reports").iterdir()} == {"timing.txt", "utilisation.txt", "clocks.txt"}
    addresses = dict(line.split() for line in (build / "addresses.txt").read_text().splitlines())
    assert {unit: int(text, 16) for unit, text in addresses.items()} == control
    assert control_addresses(load_board(board), list(control)) == control
    newest = "xilinx.com:zcu104:part0:1.1" if board == "zcu104" else "tul.com.tw:pynq-z2:part0:1.0"
    assert f"set_property board_part {newest} @project" in project.calls()


@needs_tcl
@pytest.mark.parametrize("flavour", ["hls", "rtl"])
@pytest.mark.parametrize(("board", "bus_bits"), [("zcu104", 256), ("pynq-z2", 128)])
def test_wide_weights_come_through_two_memory_ports(tmp_path: Path, board: str, bus_bits: int, flavour: str) -> None:
    project = Project(tmp_path, board, ["single"], bus_bits=bus_bits)
    project.install("vitis-run", "vivado")
    done = project.run("make", "bitstream" if flavour == "hls" else "bitstream-rtl")
    assert done.returncode == 0, done.stderr
    joined = [call.split()[1:] for call in project.calls() if call.startswith("connect_bd_intf_net")]
    after = dict(joined)
    assert after["single/m_axi_gmem1"] == "single_split/s_axi"
    ports = {after[after[f"single_split/m_axi_{half}"].replace("S00", "M00")] for half in ("even", "odd")}
    assert len(ports) == 2
    assert after[after["single/m_axi_gmem0"].replace("S00", "M00")] not in ports
    text = (project.folder / "build" / "cascade_read_split.sv").read_text()
    assert f"int unsigned BusBits = {bus_bits}," in text


@needs_tcl
def test_tools_write_into_build_only(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104")
    project.install("vitis-run", "vivado")
    before = {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    for target in ("csim", "hls", "bitstream", "bitstream-rtl"):
        assert project.run("make", target).returncode == 0
    made = project.folder / "build"
    assert (made / "cascade.bit").is_file()
    after = {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    assert {path: text for path, text in after.items() if made not in path.parents} == before
    assert project.run("make", "clean").returncode == 0
    assert {path for path in project.folder.rglob("*") if path.is_file()} == set(before)


@needs_tcl
def test_without_the_makefile_a_core_is_synthesised_and_exported(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104", ["single"])
    project.install("vitis-run")
    assert project.run("vitis-run", "--mode", "hls", "--tcl", "hls_single.tcl").returncode == 0
    order = [c.split()[0] for c in project.calls() if c.split()[0].endswith("_design")]
    assert order == ["csynth_design", "export_design"]


@needs_tcl
def test_without_board_files_the_part_alone_is_used(tmp_path: Path) -> None:
    project = Project(tmp_path, "pynq-z2", ["single"])
    project.install("vivado")
    assert project.run("make", "bitstream-rtl", STUB_BOARD_PARTS="").returncode == 0
    assert "no board file matches" in (project.folder / "build" / "bitstream.log").read_text()


@needs_tcl
def test_missed_timing_leaves_no_bitstream(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104", ["single"])
    project.install("vivado")
    assert project.run("make", "bitstream-rtl").returncode == 0
    assert (project.folder / "build" / "cascade.bit").exists()
    done = project.run("make", "bitstream-rtl", STUB_WNS="-0.25")
    assert done.returncode != 0
    assert "timing is not met: worst slack -0.25 ns" in done.stderr
    assert not list((project.folder / "build").glob("cascade.*"))


@needs_tcl
def test_a_failing_run_shows_its_reason(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104", ["single"])
    project.install("vitis-run", "vivado")
    done = project.run("make", "hls", STUB_FAIL="csynth")
    assert done.returncode != 0
    assert "a loop bound is not static" in done.stderr
    assert project.run("make", "hls").returncode == 0
    done = project.run("./run.sh", "bitstream", "hls", STUB_FAIL="impl_1")
    assert done.returncode != 0
    assert "impl_1 stopped" in done.stderr


@needs_tcl
def test_a_bitstream_without_cores_says_what_to_run(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104", ["single"])
    project.install("vivado")
    done = project.run("./run.sh", "bitstream", "hls")
    assert done.returncode != 0
    assert "run `run.sh hls single csynth export` first" in done.stderr


# Each edit is a mistake of the kind that only the vendor's tool would find; the stubs must find it too.
MISTAKES = [
    ("run_hls.tcl", "csynth_design\n", "csynthesise_design\n", "invalid command name"),
    ("run_hls.tcl", "-m_axi_latency 64", "-m_axi_latancy 64", "unknown option"),
    ("run_hls.tcl", "    set_part $part\n", "", "set_part first"),
    ("package_rtl.tcl", "m_axi_gmem1}", "m_axi_gmem2}", "no AXI interface 'm_axi_gmem2'"),
    ("block_design.tcl", "slowest_sync_clk", "slow_sync_clk", "no 'reset/slow_sync_clk'"),
    ("block_design.tcl", "$unit/ap_clk", "$unit/ap_clk ps/$ps(clock)", "2 drivers on one net"),
    (
        "block_design.tcl",
        "        wire reset/peripheral_aresetn $unit/ap_rst_n\n",
        "",
        "'high/ap_rst_n' is not connected",
    ),
    ("block_design.tcl", "PSU__SAXIGP%d__DATA_WIDTH", "PSU__SAXIGP%d_DATA_WIDTH", "has no property"),
    ("block_design.tcl", "            incr port\n", "", "is driven already"),
    ("design.tcl", "0xA0010000", "0xA0000000", "two interfaces at one address"),
]


@needs_tcl
@pytest.mark.parametrize(("file", "old", "new", "text"), MISTAKES, ids=[text for *_, text in MISTAKES])
def test_the_stubs_find_mistakes(tmp_path: Path, file: str, old: str, new: str, text: str) -> None:
    project = Project(tmp_path, "zcu104")
    project.install("vitis-run", "vivado")
    script = project.scripts / file
    assert old in script.read_text()
    script.write_text(script.read_text().replace(old, new))
    done = project.run("make", "hls" if file == "run_hls.tcl" else "bitstream-rtl")
    assert done.returncode != 0
    assert text in done.stderr


def test_missing_tools_are_named_with_what_to_do(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104")
    for command, tool in ((("hls", "low", "csynth"), "vitis-run or vitis_hls"), (("bitstream", "rtl"), "vivado")):
        done = project.run("./run.sh", *command)
        assert done.returncode == 3
        assert f"ERROR: {tool} is needed for this step and was not found" in done.stderr
        assert "settings64.sh" in done.stderr
    assert project.run("./run.sh", "tools").stdout.count("not found") == 3


def test_tools_are_found_where_the_settings_point(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104")
    (tmp_path / "vendor").mkdir()
    project.executable("vivado", "exit 0")
    project.tools.rename(tmp_path / "vendor" / "bin")
    done = project.run("./run.sh", "tools", XILINX_VIVADO=str(tmp_path / "vendor"))
    assert f"{tmp_path}/vendor/bin/vivado" in done.stdout


@pytest.mark.parametrize("arguments", [("hls", "middle", "csim"), ("yosys", "middle")])
def test_an_unknown_unit_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = Project(tmp_path, "zcu104").run("./run.sh", *arguments)
    assert done.returncode == 2
    assert "the unit must be one of: low high, not 'middle'" in done.stderr


@pytest.mark.parametrize("step", ["yosys", "route"])
def test_a_step_without_a_unit_names_the_units(tmp_path: Path, step: str) -> None:
    done = Project(tmp_path, "ulx3s-85f").run("./run.sh", step)
    assert done.returncode == 2
    assert f"run.sh {step} needs a unit, one of: low high; make -C scripts {step} takes all" in done.stderr


def routed_at(project: Project, frequency: str) -> None:
    """Put a nextpnr stub on the project's PATH that reports two frequencies; the last one counts."""
    lines = [f"Info: Max frequency for clock 'ap_clk': {each}" for each in ("9.99 MHz (FAIL at 50.00 MHz)", frequency)]
    said = "\n".join(f'echo "{line}"' for line in lines)
    project.executable("nextpnr-ecp5", f'echo nextpnr-ecp5 "$@" >> "$STUB_LOG"\n{said}')


def test_a_clock_that_is_missed_is_an_error_that_keeps_the_report(tmp_path: Path) -> None:
    project = Project(tmp_path, "ulx3s-85f", ["single"])
    routed_at(project, "41.00 MHz (FAIL at 50.00 MHz)")
    done = project.run("./run.sh", "route", "single")
    assert done.returncode == 1
    assert "41.00 MHz (FAIL at 50.00 MHz)" in done.stdout
    assert "timing is not met; build again with a lower --clock" in done.stderr


def test_yosys_and_nextpnr_get_what_they_need(tmp_path: Path) -> None:
    project = Project(tmp_path, "ulx3s-85f", ["single"])
    project.executable("yosys", 'echo yosys "$@" >> "$STUB_LOG"')
    routed_at(project, "56.12 MHz (PASS at 50.00 MHz)")
    done = project.run("make", "route")
    assert done.returncode == 0
    assert (
        "unit single routed, 'ap_clk': 56.12 MHz (PASS at 50.00 MHz)  (report: build/route_single.json)" in done.stdout
    )
    assert "unit single synthesised  (cells: build/yosys_single.json)" in done.stdout
    yosys, nextpnr = project.calls()
    assert yosys == "yosys scripts/yosys_single.ys"
    assert nextpnr == (
        "nextpnr-ecp5 --85k --package CABGA381 --speed 6 --out-of-context --freq 50 --timing-allow-fail "
        "--json build/cascade_single.json --report build/route_single.json"
    )
    script = (project.scripts / "yosys_single.ys").read_text().splitlines()
    assert script[-3:] == [
        "read_slang --threads 1 rtl/lib/cascade_pkg.sv rtl/lib/cascade_read_split.sv rtl/single/cascade_single.sv "
        "--top cascade_single",
        "synth_ecp5 -top cascade_single -json build/cascade_single.json",
        "tee -o build/yosys_single.json stat -json",
    ]


HOSTILE = "-d'ésigns #1 & $(more) 100%"


def test_open_tools_run_below_any_path(tmp_path: Path) -> None:
    (tmp_path / HOSTILE).mkdir()
    project = Project(tmp_path / HOSTILE, "ulx3s-85f", ["single"])
    found = "test -f rtl/single/cascade_single.sv"
    project.executable("yosys", f'{found} && echo yosys >> "$STUB_LOG"')
    reached = "echo 'Max frequency for clock x: 56.12 MHz (PASS at 50.00 MHz)'"
    project.executable("nextpnr-ecp5", f'{found} && echo nextpnr-ecp5 >> "$STUB_LOG" && {reached}')
    done = project.run("make", "route")
    assert done.returncode == 0, done.stderr
    assert project.calls() == ["yosys", "nextpnr-ecp5"]


@pytest.mark.parametrize("name", ["two words", "é", HOSTILE])
@pytest.mark.parametrize("arguments", [("hls", "low", "csynth"), ("package",), ("bitstream", "rtl")])
def test_a_path_that_the_vendors_tools_do_not_take_is_refused(
    tmp_path: Path, name: str, arguments: tuple[str, ...]
) -> None:
    (tmp_path / name).mkdir()
    project = Project(tmp_path / name, "zcu104")
    for tool in ("vitis-run", "vivado"):
        project.executable(tool, 'echo called >> "$STUB_LOG"')
    done = project.run("./run.sh", *arguments)
    assert done.returncode == 2
    assert f"letters, digits and _ . / + -, not '{project.folder}': copy the project to such a folder" in done.stderr
    assert project.calls() == []


@pytest.mark.parametrize(("board", "family"), [("zcu104", "xcup"), ("pynq-z2", "xc7"), ("kv260", "xcup")])
def test_yosys_synthesises_for_the_boards_family(tmp_path: Path, board: str, family: str) -> None:
    script = (Project(tmp_path, board).scripts / "yosys_low.ys").read_text()
    assert f"synth_xilinx -family {family} -top cascade_low" in script


def test_yosys_reads_the_declaration_of_the_block_that_an_array_instantiates(tmp_path: Path) -> None:
    packed = EngineConfig(lanes_p=4, dsp_primitive="dsp48e2", pack_p=2)
    units = [
        UnitSources(name, config, (), "hls/lib", (f"rtl/{name}/cascade_{name}.sv",))
        for name, config in (("low", packed), ("high", EngineConfig()))
    ]
    files = emit_scripts(load_board("kv260"), units, tmp_path)
    assert tmp_path / "scripts/primitives/DSP48E2.sv" in files
    low, high = ((tmp_path / f"scripts/yosys_{name}.ys").read_text() for name in ("low", "high"))
    assert "rtl/low/cascade_low.sv scripts/primitives/DSP48E2.sv --top cascade_low" in low
    assert "primitives" not in high
    assert "(* blackbox *)" in (tmp_path / "scripts/primitives/DSP48E2.sv").read_text()


def test_unchanged_scripts_are_not_rewritten(tmp_path: Path) -> None:
    project = Project(tmp_path, "zcu104", ["single"])
    before = {path: path.stat().st_mtime_ns for path in project.files}
    shutil.rmtree(project.tools)
    assert {path: path.stat().st_mtime_ns for path in Project(tmp_path, "zcu104", ["single"]).files} == before


def test_paths_that_tcl_would_take_apart_are_refused(tmp_path: Path) -> None:
    unit = UnitSources("low", EngineConfig(), ("hls/a b.cpp",), "hls", ("rtl/a.sv",))
    with pytest.raises(ToolflowError, match=r"made of letters, digits and \. _ - /, not 'hls/a b.cpp'"):
        emit_scripts(load_board("zcu104"), [unit], tmp_path)


def test_more_units_than_memory_ports_are_refused(tmp_path: Path) -> None:
    units = [UnitSources(name, EngineConfig(), (), "hls", ()) for name in ("a", "b", "c")]
    with pytest.raises(ToolflowError, match="at most 2 units"):
        emit_scripts(load_board("zcu104"), units, tmp_path)
