"""Delays by family, part and speed grade."""

from __future__ import annotations

import pytest

from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.board import all_boards
from toolflow.plan.clock.delays import DELAYS_FOLDER, grade_delays, part_delays


def test_every_amd_board_has_delays() -> None:
    boards = [board for board in all_boards().values() if board.family != "ecp5"]
    found = {board.name: part_delays(board.family, board.part) for board in boards}
    assert found["ZC706"].lut < found["PYNQ-Z2"].lut, "Zynq-7045 has the logic of Kintex-7"
    assert found["ZCU104"].lut == found["ZCU102"].lut
    assert found["KV260"].lut == pytest.approx(1.2 * found["ZCU104"].lut), "2LV runs at 0.72 V"


def test_a_grade_scales_every_delay() -> None:
    slow, fast = grade_delays("xc7", "1"), grade_delays("xc7", "2")
    assert fast.net.of(100) == pytest.approx(0.85 * slow.net.of(100))
    assert fast.block_ram.output == pytest.approx(0.85 * slow.block_ram.output)


def test_files_are_of_families() -> None:
    assert sorted(path.stem for path in DELAYS_FOLDER.glob("*.yaml")) == ["xc7", "xcup"]


def test_ecp5_is_left_to_nextpnr() -> None:
    with pytest.raises(ToolflowError, match="timing of ECP5 is not estimated: nextpnr-ecp5 places and routes"):
        grade_delays("ecp5", "6")


@pytest.mark.parametrize(
    ("family", "part", "text"),
    [
        ("xc7", "xc7z020clg400-9", "the speed grade of the part xc7z020clg400-9 must be one of 1, 1L, 2, 2L, 3, not 9"),
        ("xc7", "xc7z020clg400", "the part xc7z020clg400 must end with its speed grade"),
        ("xcup", "xcvc1902-2", "boards/delays/xcup.yaml has no fabric whose part_pattern fits the part xcvc1902-2"),
        ("versal", "xcvc1902-2", "there are no delays for the family versal"),
    ],
)
def test_refuses_what_it_does_not_know(family: str, part: str, text: str) -> None:
    with pytest.raises(ToolflowError, match=text):
        part_delays(family, part)
