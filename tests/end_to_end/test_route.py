"""Placing and routing a small engine with the real tools, as the emitted project does."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from toolflow.emit.rtl import emit_rtl
from toolflow.emit.scripts import UnitSources, emit_scripts
from toolflow.engine.config import EngineConfig
from toolflow.plan.boards.board import load_board

SMALL = EngineConfig(
    lanes_k=2, lanes_p=1, sub_row=2, weight_bits=4, activation_bits=4, accumulator_bits=16, bus_bits=64, bank_depth=64,
    weight_depth=32, input_lanes=1, multiplier="lut", confidence=False,
)  # fmt: skip


@pytest.mark.long
def test_a_small_engine_is_routed_and_its_clock_reported(tmp_path: Path) -> None:
    sources = emit_rtl(SMALL, "single", tmp_path / "rtl")
    names = tuple(str(path.relative_to(tmp_path)) for path in sources)
    unit = UnitSources("single", SMALL, (), "hls", names)
    emit_scripts(load_board("ulx3s-85f"), [unit], tmp_path)
    path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    done = subprocess.run(
        ["make", "-C", tmp_path / "scripts", "route"],
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads((tmp_path / "build/route_single.json").read_text())
    fmax = report["fmax"]["ap_clk"]
    assert fmax["constraint"] == pytest.approx(50.0, rel=0.01)
    met = fmax["achieved"] >= fmax["constraint"]
    assert done.returncode == (0 if met else 2), done.stderr  # make's own status for a step that failed
    assert f"{fmax['achieved']:.2f} MHz ({'PASS' if met else 'FAIL'} at 50.00 MHz)" in done.stdout
    assert report["utilization"]["TRELLIS_COMB"]["used"] > 1000
