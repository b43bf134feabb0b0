"""Packed products equal the products that they replace: in simulation, by proof, and the models of the blocks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from rtl_sim.primitives import models
from tests.rtl.rtl_modules import BENCHES, PACKAGE, build_bench, modules, run_bench
from toolflow.numerics.packing import Interval, packing_of

CASES = 12
TWOS = 6  # engines of two precisions
CHAIN = (
    "cascade_products_pkg",
    "cascade_chain",
    "cascade_fields",
    "cascade_either_fields",
    "cascade_dsp48",
    "cascade_mult18x18d",
)
# The registers of a chain hold nothing but its pipeline: with constant inputs they are wires.
WIRES = """
(* techmap_celltype = "$dff" *)
module wire_for_register (input CLK, input [WIDTH-1:0] D, output [WIDTH-1:0] Q);
  parameter WIDTH = 1;
  parameter CLK_POLARITY = 1;
  assign Q = D;
endmodule
"""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, ...]]]:
    """What the bench counted: of each kind of check the numbers of its lines."""
    folder = tmp_path_factory.mktemp("chain")
    program = build_bench(
        folder, "chain_bench", more=(BENCHES / "chain_cases_pkg.sv", BENCHES / "two_precisions_check.sv")
    )
    found: dict[str, list[tuple[int, ...]]] = {}
    for line in run_bench(program, folder).stdout.splitlines():
        kind, *numbers = line.split()
        if numbers and all(number.lstrip("-").isdigit() for number in numbers):
            found.setdefault(kind, []).append(tuple(map(int, numbers)))
    return found


def test_chains_equal_products_for_extremes_and_random_values(simulated: dict[str, list[tuple[int, ...]]]) -> None:
    assert [wrong for _, wrong in simulated["case"]] == [0] * CASES
    assert min(checked for checked, _ in simulated["case"]) > 20_000


def test_chains_equal_products_for_all_narrow_values(simulated: dict[str, list[tuple[int, ...]]]) -> None:
    assert simulated["narrow"] == [(4**2 * 6**4, 0), (8**2 * 12**2, 0)]


def test_excluded_weight_breaks_the_packing(simulated: dict[str, list[tuple[int, ...]]]) -> None:
    ((_, wrong),) = simulated["excluded"]
    assert wrong > 1000


def test_packings_are_those_of_python(simulated: dict[str, list[tuple[int, ...]]]) -> None:
    names = ("none", "dsp48e1", "dsp48e2", "mult18x18d")
    assert len(simulated["packing"]) == CASES
    for block, pack_k, pack_p, chain, bits, lower, upper, weight_step, operand_step, symmetric in simulated["packing"]:
        packing = packing_of(names[block], bits, Interval(lower, upper), pack_k, pack_p, chain)
        assert (weight_step, operand_step) == (packing.weight_step, packing.operand_step)
        assert symmetric == (packing.weights.lower == -packing.weights.upper)


def test_packings_of_two_precisions_hold_their_sums(simulated: dict[str, list[tuple[int, ...]]]) -> None:
    """The narrow products take the chains of the wide ones, or longer ones, and lie in the order of two weights."""
    assert len(simulated["both"]) == TWOS
    names = ("none", "dsp48e1", "dsp48e2", "mult18x18d")
    for block, chain, bits, narrow, step, symmetric, weight_step, operand_step in simulated["both"]:
        wide = packing_of(names[block], bits, Interval(-(1 << bits - 1), (1 << bits) - 1), 2, 1, chain)
        assert (step, symmetric) == (wide.weight_step, wide.weights.lower == -wide.weights.upper)
        second = packing_of(names[block], narrow, Interval(-(1 << narrow - 1), (1 << narrow) - 1), 2, 2, chain)
        assert weight_step == 2 * operand_step
        assert operand_step == second.spacing


def test_chains_of_two_precisions_equal_products(simulated: dict[str, list[tuple[int, ...]]]) -> None:
    """In either precision and across many changes of it; of narrow values all combinations."""
    *random, every_of_two, every_of_one = simulated["two"]
    for checked, wrong, narrow_checked, narrow_wrong, turns in (*random, every_of_two, every_of_one):
        assert (wrong, narrow_wrong) == (0, 0)
        assert turns >= 2
        assert min(checked, narrow_checked) > 1_000
    assert min(turns for *_, turns in random) > 50
    assert every_of_two[0] >= (4**2 * 6) ** 2
    assert every_of_two[2] >= (2**2 * 3**2) ** 2
    assert every_of_one[0] >= 16**2 * 24
    assert every_of_one[2] >= (8 * 12) ** 2


def prove(folder: Path, *proofs: str, **instead: str) -> list[bool]:
    """Return whether Yosys proves each (top with its parameters); `instead` holds other texts of files."""
    for path in (PACKAGE, *modules(), BENCHES / "chain_cases_pkg.sv", BENCHES / "chain_proofs.sv"):
        shutil.copy2(path, folder)
    for path in models():
        (folder / path.name).write_text(path.read_text().replace("(* blackbox *)", ""))
    for name, text in instead.items():
        (folder / f"{name}.sv").write_text(text)
    (folder / "wires.v").write_text(WIRES)
    files = [PACKAGE.name, *(f"{name}.sv" for name in CHAIN), *(path.name for path in models())]
    files += ["chain_cases_pkg.sv", "chain_proofs.sv"]
    script = ["from pyosys import libyosys as ys", "ys.yosys_setup()"]
    for proof in proofs:
        top, *parameters = proof.split()
        given = " ".join(f"-G {parameter}" for parameter in parameters)
        commands = (
            f"read_slang --threads 1 -DSYNTHESIS {' '.join(files)} --top {top} {given}",
            f"prep -flatten -top {top}",
            "techmap -map wires.v",
            "opt -full",
            "chformal -lower",
            "opt -full",
            "sat -prove-asserts -set-assumes",
        )
        script += ["design = ys.Design()", *(f"ys.run_pass({command!r}, design)" for command in commands)]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(script)], cwd=folder, capture_output=True, text=True, check=False
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("SAT proof finished")]
    assert len(found) == len(proofs), done.stdout[-3000:] + done.stderr[-3000:]
    return ["SUCCESS" in line for line in found]


needs_yosys = pytest.mark.skipif(find_spec("pyosys") is None, reason="pyosys is not installed")


@needs_yosys
def test_fields_of_every_sum_are_proven(tmp_path: Path) -> None:
    assert prove(tmp_path, *(f"fields_proof Number={n}" for n in range(CASES))) == [True] * CASES


@needs_yosys
def test_fields_of_one_product_more_are_not(tmp_path: Path) -> None:
    """Of the chains that are the longest that their fields hold."""
    tight = (0, 1, 2, 3, 4, 6, 7, 8, 10)
    assert not any(prove(tmp_path, *(f"fields_proof Number={n} Beyond=1" for n in tight)))


@needs_yosys
def test_chains_of_narrow_values_are_proven(tmp_path: Path) -> None:
    assert all(prove(tmp_path, "chain_proof Number=0", "chain_proof Number=1"))


@needs_yosys
def test_chains_of_two_precisions_are_proven(tmp_path: Path) -> None:
    fields = [f"either_fields_proof Number={n}" for n in range(TWOS)]
    assert all(prove(tmp_path, *fields, "two_precisions_proof Number=0", "two_precisions_proof Number=1"))


@needs_yosys
def test_one_product_more_breaks_either_precision(tmp_path: Path) -> None:
    """Of the longest chains: 8 on a DSP48E2 fill both precisions' fields, 2 on a DSP48E1 those of the wide one."""
    assert (
        prove(tmp_path, "either_fields_proof Number=3 Beyond=1", "either_fields_proof Number=5 Beyond=1") == [False] * 2
    )


@needs_yosys
def test_a_lost_borrow_is_found(tmp_path: Path) -> None:
    fields = next(path for path in modules() if path.stem == "cascade_fields").read_text()
    wrong = fields.replace("carry[k][p] = packed_sum[Place-1]", "carry[k][p] = 1'b0")
    assert wrong != fields
    assert prove(tmp_path, "fields_proof Number=0", "chain_proof Number=1", cascade_fields=wrong) == [False, False]
