"""cascade_requantise equals toolflow/numerics/requantise.py: a proof by Yosys' SAT solver from any state."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.rtl.rtl_modules import BENCHES, PACKAGE, RTL

YOSYS = (
    "import json, sys\n"
    "from pyosys import libyosys as ys\n"
    "ys.yosys_setup()\n"
    "design = ys.Design()\n"
    "for line in json.loads(sys.argv[1]):\n"
    "    ys.run_pass(line, design)\n"
)
ROUND = RTL / "cascade_round.sv"
REQUANTISE = RTL / "cascade_requantise.sv"


def proven(top: str, latency: int, parameters: Sequence[str], sources: Sequence[Path] = (REQUANTISE, ROUND)) -> bool:
    """Return whether `equal` of a module of requantise_proof.sv holds in every cycle from `latency` on."""
    files = " ".join(map(str, (PACKAGE, *sources, BENCHES / "requantise_proof.sv")))
    script = [
        f"read_slang --threads 1 {files} --top {top} {' '.join(f'-G {parameter}' for parameter in parameters)}",
        f"hierarchy -check -top {top}",
        *("proc", "flatten", "memory_map", "opt -full"),
        f"sat -verify -seq {latency + 1} -prove-skip {latency} -prove equal 1",
    ]
    command = [sys.executable, "-c", YOSYS, json.dumps(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert "Solving problem" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    return done.returncode == 0


def test_rounding_is_exact() -> None:
    """Every sum of the widest engine, every shift and every pair of bounds."""
    assert proven("round_proof", 3, ["SumBits=58"])


@pytest.mark.parametrize(("port_bits", "latency"), [(25, 5), (5, 6)], ids=["one_block", "two_blocks"])
def test_sum_is_exact(port_bits: int, latency: int) -> None:
    """Narrow operands: the sum and its shift arrive together; the widths follow from the parameters."""
    assert proven("requantise_proof", latency, [f"PortBits={port_bits}"])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("sticky || quotient[0]", "quotient[0]"),
        ("n >= 32'(middle_shift) &&", "n > 32'(middle_shift) &&"),
        ("above || quotient >= upper", "above || quotient > upper"),
    ],
)
def test_proof_finds_a_fault_of_the_rounding(right: str, wrong: str, tmp_path: Path) -> None:
    text = ROUND.read_text(encoding="utf-8")
    assert right in text
    faulty = tmp_path / ROUND.name
    faulty.write_text(text.replace(right, wrong), encoding="utf-8")
    assert not proven("round_proof", 3, ["SumBits=40"], (REQUANTISE, faulty))


def test_proof_finds_a_fault_of_the_sum(tmp_path: Path) -> None:
    text = REQUANTISE.read_text(encoding="utf-8")
    right = "multiplier_3 <= multiplier_2;"
    assert right in text
    faulty = tmp_path / REQUANTISE.name
    faulty.write_text(text.replace(right, "multiplier_3 <= multiplier_1;"), encoding="utf-8")
    assert not proven("requantise_proof", 6, ["PortBits=5"], (faulty, ROUND))
