"""A write that yields is made once, in order and unchanged: a proof by Yosys' SAT solver, by induction from reset."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rtl.rtl_modules import BENCHES, RTL
from tests.rtl.test_requantise_proof import YOSYS

YIELD = RTL / "cascade_yield.sv"


def proven(source: Path, yields: int) -> bool:
    """Return whether `right` holds in every cycle, whatever both writers do, where the first one yields or not."""
    script = [
        f"read_slang --threads 1 {source} {BENCHES / 'yield_proof.sv'} --top yield_proof",
        "hierarchy -check -top yield_proof",
        *("proc", "flatten", "opt -full"),
        f"sat -verify -tempinduct -set-init-zero -set rst_n 1 -set yields {yields} -prove right 1 -maxsteps 8",
    ]
    command = [sys.executable, "-c", YOSYS, json.dumps(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "induction" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    return done.returncode == 0


@pytest.mark.parametrize("yields", [0, 1])
def test_every_word_is_written_once(yields: int) -> None:
    assert proven(YIELD, yields)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("!yields || (!in_ready && !(write && port_taken))", "1'b1"),
        ("!in_ready && !(write && port_taken)", "!(write && port_taken)"),
        ("!in_ready && !(write && port_taken)", "!in_ready"),
        ("else if (!port_taken) write <= 1'b0;", "else write <= 1'b0;"),
        ("else if (!port_taken) write <= 1'b0;", ""),
        ("if (in_ready) data <= in_data;", "data <= in_data;"),
    ],
)
def test_a_fault_is_found(right: str, wrong: str, tmp_path: Path) -> None:
    text = YIELD.read_text()
    assert text.count(right) == 1
    source = tmp_path / YIELD.name
    source.write_text(text.replace(right, wrong))
    assert not proven(source, 1)
