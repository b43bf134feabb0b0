"""Products of LUTs equal the products that they stand for, beside DSP blocks or not."""

from __future__ import annotations

from pathlib import Path

from tests.rtl.rtl_modules import RTL, build_bench, run_bench

CHECKS = 5
DIGIT_OF_MINUS_TWO = "(is_signed ? multiples.minus : multiples.one) <<< 1"


def counted(folder: Path, *sources: Path) -> list[tuple[int, int]]:
    """Return the numbers of checked and of wrong sums of every width."""
    lines = run_bench(build_bench(folder, "fabric_bench", sources), folder).stdout.splitlines()
    return [(int(line.split()[1]), int(line.split()[2])) for line in lines if line.startswith("fabric ")]


def test_products_of_luts_equal_products(tmp_path: Path) -> None:
    found = counted(tmp_path)
    assert [wrong for _, wrong in found] == [0] * CHECKS
    assert min(checked for checked, _ in found) > 1 << 17


def test_a_wrong_digit_is_seen(tmp_path: Path) -> None:
    text = (RTL / "cascade_fabric.sv").read_text()
    assert DIGIT_OF_MINUS_TWO in text
    (tmp_path / "cascade_fabric.sv").write_text(text.replace(DIGIT_OF_MINUS_TWO, "multiples.one <<< 1"))
    found = counted(tmp_path / "built", tmp_path / "cascade_fabric.sv")
    *even, (_, wrong_of_11_bits) = found  # the highest digit of an odd width is 0 or -1
    assert min(wrong for _, wrong in even) > 1000
    assert wrong_of_11_bits == 0
