"""Netlists of units by Yosys (pyosys), kept in the user's cache by the hash of their sources."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from rtl_sim.primitives import models
from rtl_sim.simulate.places import cache_folder
from rtl_sim.timing.netlist import Netlist, read_netlist
from toolflow.emit.hls import top_function
from toolflow.emit.rtl import emit_rtl, with_default_engine
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError
from toolflow.plan.clock.delays import fabrics

UNIT = "single"
_PACKAGE = "cascade_pkg"
FAMILIES = ("xc7", "xcup")
_NET_FAN_OUT = 16  # of the nets on long paths
_KEPT = 40  # netlists in the cache
_LOG_LINES = 12


def unit_netlist(config: EngineConfig, family: str) -> Netlist:
    """Return the netlist of a whole unit, flattened, without buffers for pins.

    Raises:
        ToolflowError: the family is not of AMD, pyosys is missing, or Yosys fails.
    """
    return module_netlist(config, family, top_function(UNIT), {})


def module_netlist(config: EngineConfig, family: str, top: str, parameters: Mapping[str, str]) -> Netlist:
    """Return the netlist of one module of a unit's sources, in an engine of this configuration.

    Args:
        config: parameters of the engine.
        family: of the device.
        top: the module.
        parameters: of the module, as SystemVerilog literals.

    Raises:
        ToolflowError: as `unit_netlist`.
    """
    check_family(family)
    with tempfile.TemporaryDirectory() as name:
        files = emit_rtl(config, UNIT, Path(name) / "rtl")
        # a block's model says its pins; Yosys takes the vendor's cell
        texts = {file.stem: file.read_text(encoding="utf-8") for file in (*files, *models())}
    if top not in texts:
        raise ToolflowError(f"rtl_sim/rtl holds no module {top}")
    texts[_PACKAGE] = with_default_engine(texts[_PACKAGE], config)
    texts = {f"rtl/{stem}.sv": texts[stem] for stem in _needed(texts, top)}
    chosen = "".join(f" -G {name}={value}" for name, value in parameters.items())
    script = [
        f"read_slang --threads 1 {' '.join(texts)} --top {top}{chosen}",
        f"scratchpad -set synth_xilinx.abc9.W {_net_picoseconds(family)}",
        f"synth_xilinx -family {family} -flatten -noiopad -top {top}",
        "write_json netlist.json",
    ]
    return read_netlist(json.loads(_run_yosys(script, texts)), top)


def _net_picoseconds(family: str) -> int:
    """Return the delay of a net by which the mapper weighs levels of LUTs: that of the family's slowest fabric.

    Yosys' own 300 ps makes a level too cheap: it takes more of them than the path that is estimated afterwards allows.
    """
    nets = [fabric.delays.net.of(_NET_FAN_OUT) for fabric in fabrics(family).values()]
    return round(1000 * max(nets))


def _needed(texts: Mapping[str, str], top: str) -> list[str]:
    """Return the files that a module is made of, in the order of `texts`: a change elsewhere leaves its netlist."""
    needed, pending = set(), [_PACKAGE, top]
    while pending:
        stem = pending.pop()
        if stem not in needed:
            needed.add(stem)
            pending += [name for name in re.findall(r"\w+", texts[stem]) if name in texts]
    return [stem for stem in texts if stem in needed]


def check_family(family: str) -> None:
    """Refuse a family whose timing is not estimated.

    Raises:
        ToolflowError: always, but for `FAMILIES`.
    """
    if family == "ecp5":
        raise ToolflowError(
            "timing of ECP5 is not estimated: nextpnr-ecp5 places and routes the unit (scripts/run.sh route)"
        )
    if family not in FAMILIES:
        raise ToolflowError(f"timing is estimated for the families {' and '.join(FAMILIES)}, not for {family}")


def _run_yosys(script: list[str], texts: Mapping[str, str]) -> str:
    """Return the netlist that a script writes; the same script on the same texts runs once."""
    if importlib.util.find_spec("pyosys") is None:
        raise ToolflowError(
            "timing is estimated on a netlist that pyosys makes, and pyosys is not installed: "
            "pip install 'cascade-toolflow[synthesis]'"
        )
    key = hashlib.sha256(json.dumps([version("pyosys"), script, dict(texts)]).encode()).hexdigest()[:24]
    folder = cache_folder() / "netlists"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{key}.json.gz"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            (work / "rtl").mkdir()
            for file, text in texts.items():
                (work / file).write_text(text, encoding="utf-8")
            run_script(script, work)
            part = kept.with_suffix(f".{os.getpid()}")
            part.write_bytes(gzip.compress((work / "netlist.json").read_bytes(), compresslevel=1))
            part.replace(kept)
        for old in sorted(folder.glob("*.json.gz"), key=lambda path: -path.stat().st_mtime)[_KEPT:]:
            old.unlink(missing_ok=True)
    return gzip.decompress(kept.read_bytes()).decode()


def run_script(script: list[str], work: Path) -> None:
    """Run a Yosys script in a process of its own, whose log and memory end with it.

    Raises:
        ToolflowError: Yosys fails; the text ends with its last lines.
    """
    code = (
        "import json, sys\n"
        "from pyosys import libyosys as ys\n"
        "ys.yosys_setup()\n"
        "design = ys.Design()\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    ys.run_pass(line, design)\n"
    )
    command = [sys.executable, "-c", code, json.dumps(script)]
    done = subprocess.run(command, cwd=work, check=False, capture_output=True, text=True)
    if done.returncode or not (work / "netlist.json").exists():
        last = "\n".join((done.stdout + done.stderr).splitlines()[-_LOG_LINES:])
        raise ToolflowError(f"Yosys failed on the unit's SystemVerilog:\n{last}")
