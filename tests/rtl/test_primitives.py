"""The models of the DSP blocks against Yosys' own and the equations of the vendors' guides; what they refuse."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from rtl_sim.primitives import models
from tests.rtl.rtl_modules import RTL, build_bench, run_bench, verilator


def yosys_model() -> str:
    """Return Yosys' model of a DSP48E1, under another name."""
    specification = find_spec("pyosys")
    if specification is None or specification.origin is None:
        pytest.skip("pyosys is not installed")
    cells = (Path(specification.origin).parent / "share/xilinx/cells_sim.v").read_text()
    module = re.search(r"^module DSP48E1 .*?^endmodule\n", cells, re.DOTALL | re.MULTILINE)
    assert module
    return module[0].replace("module DSP48E1", "module YosysDsp48e1")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[list[int]]]:
    """What the bench printed, and the values of each cycle that it wrote."""
    folder = tmp_path_factory.mktemp("primitives")
    model = folder / "yosys_dsp48e1.v"
    model.write_text(yosys_model())
    program = build_bench(folder, "primitives_bench", more=(model,))
    printed = run_bench(program, folder).stdout
    return printed, [list(map(int, line.split())) for line in (folder / "blocks").read_text().splitlines()]


def signed(value: int, bits: int) -> int:
    """The lowest bits of a value, in two's complement."""
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def test_dsp48e1_equals_the_model_of_yosys(outputs: tuple[str, list[list[int]]]) -> None:
    assert "differences 0\n" in outputs[0]


def test_dsp48e2_follows_its_equations(outputs: tuple[str, list[list[int]]]) -> None:
    """UG579: M = (A[26:0] + D)·B through the registers A2, D, AD, B1, B2 and M; P = M, or M + PCIN, modulo 2^48."""
    rows = outputs[1]
    a2 = d1 = ad = b1 = b2 = m = p_first = p_link = 0
    for cycle, (a, b, d, pcin, first, link, cascade, _) in enumerate(rows):
        if cycle > 8:
            assert (first, link, cascade) == (p_first, p_link, p_first)
        p_first, p_link = m % 2**48, (m + pcin) % 2**48
        m = ad * b2
        ad, b2 = signed(a2 + d1, 27), b1
        a2, d1, b1 = signed(a, 27), signed(d, 27), signed(b, 18)


def test_mult18x18d_is_a_signed_product_three_cycles_later(outputs: tuple[str, list[list[int]]]) -> None:
    rows = outputs[1]
    for before, now in zip(rows, rows[3:], strict=False):
        assert now[7] == signed(before[0], 18) * signed(before[1], 18)


@pytest.mark.parametrize(
    ("file", "change", "text"),
    [
        ("cascade_dsp48", (".MREG(1)", ".MREG(0)"), "covers the registers A2, D, AD, B1, B2, M and P only"),
        ("cascade_dsp48", ('"MULTIPLY"', '"DYNAMIC"'), "the model of DSP48E2 covers (A + D) * B only"),
        ("cascade_dsp48", (".BREG(2)", ".BREG(1)"), "covers the registers A2, D, AD, B1, B2, M and P only"),
        ("cascade_mult18x18d", ('OUTPUT_CLK("CLK0")', 'OUTPUT_CLK("NONE")'), "covers three registers on CLK0"),
    ],
)
def test_another_mode_is_refused(file: str, change: tuple[str, str], text: str, tmp_path: Path) -> None:
    source = (RTL / f"{file}.sv").read_text()
    (tmp_path / f"{file}.sv").write_text(source.replace(*change))
    done = verilator("--lint-only", "-Wno-lint", tmp_path / f"{file}.sv", *models(), "--top", file)
    assert done.returncode != 0
    assert text in done.stderr
