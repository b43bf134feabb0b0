"""Boards: the shipped files, their names, and a failing case for each check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from toolflow.cli.main import app
from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.board import BOARDS_FOLDER, all_boards, load_board, normalise_name, read_board_file
from toolflow.plan.boards.checks import unchecked_amounts
from toolflow.plan.resources.family import families

# independent of the files: LUT, FF, DSP, block RAM, URAM as published for the boards
PUBLISHED = {
    "PYNQ-Z2": ("xc7", 53_200, 106_400, 220, 140, 0),
    "ZC706": ("xc7", 218_600, 437_200, 900, 545, 0),
    "ZCU102": ("xcup", 274_080, 548_160, 2_520, 912, 0),
    "ZCU104": ("xcup", 230_400, 460_800, 1_728, 312, 96),
    "KV260": ("xcup", 117_120, 234_240, 1_248, 144, 64),
    "ULX3S-85F": ("ecp5", 83_640, 83_640, 156, 208, 0),
}


def test_the_shipped_boards_are_those_published() -> None:
    found = {name: (b.family, *b.available.amounts()) for name, b in all_boards().items()}
    assert found == PUBLISHED


@pytest.mark.parametrize("path", sorted(BOARDS_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_file_is_named_like_its_board(path: Path) -> None:
    assert normalise_name(path.stem) == normalise_name(read_board_file(path).name)


@pytest.mark.parametrize("text", ["ZCU104", "zcu104", "zcu-104", "ZCU_104"])
def test_case_hyphens_and_underscores_do_not_matter(text: str) -> None:
    assert load_board(text).name == "ZCU104"


def test_usable_amounts_are_rounded_down_shares() -> None:
    usable = load_board("pynqz2").usable
    assert usable.amounts() == (37_240, 53_200, 176, 112, 0)


def test_clocks_of_shipped_boards_are_the_recorded_estimates() -> None:
    for board in all_boards().values():
        if board.family == "ecp5":
            assert (board.clock_mhz, board.clock_estimate) == (50, None)
            continue
        estimate = board.clock_estimate
        assert estimate is not None
        assert board.clock_mhz == int(1000 / estimate.path_ns / 1.15)
        basis = f"estimate {1000 / estimate.path_ns:.0f} MHz ÷ 1.15, not routed by the vendor's tool"
        assert board.clock == f"{board.clock_mhz} MHz ({basis})"
        assert board.clock_path.startswith(f"{estimate.path_ns:.1f} ns, ")


def test_a_clock_of_the_file_comes_before_the_estimate(tmp_path: Path) -> None:
    path = _write(tmp_path, "zcu104", lambda d: d.update(clock_mhz=250))
    board = load_board(path)
    assert (board.clock, board.clock_path, board.with_tile(4).clock_mhz) == ("250 MHz", "", 250)
    path = _write(tmp_path, "zcu104", lambda d: d.update(clock_mhz=250, clock_basis="routed by Vivado"))
    assert load_board(path).clock == "250 MHz (routed by Vivado)"


def test_a_clock_that_is_given_keeps_its_reason() -> None:
    board = load_board("kv260").at_clock(123, "given with --clock", "a path")
    assert (board.clock, board.clock_path) == ("123 MHz (given with --clock)", "a path")
    assert load_board("kv260").clock_mhz != 123


def test_bandwidth_per_cycle_counts_efficiency_and_clock() -> None:
    assert load_board("PYNQ-Z2").at_clock(60, "").sustained_bytes_per_cycle == pytest.approx(2.1e9 * 0.75 / 60e6)


@pytest.mark.parametrize(("text", "nearest"), [("zcu14", "ZCU104"), ("ulx3s", "ULX3S-85F"), ("pynq", "PYNQ-Z2")])
def test_an_unknown_board_lists_all_and_the_nearest(text: str, nearest: str) -> None:
    with pytest.raises(ToolflowError) as caught:
        load_board(text)
    assert f"not '{text}'. Did you mean {nearest}?" in str(caught.value)
    assert all(name in str(caught.value) for name in PUBLISHED)


def test_a_board_unlike_any_other_gets_no_guess() -> None:
    with pytest.raises(ToolflowError, match=r"not 'qqqq'\.$"):
        load_board("qqqq")


Edit = Callable[[dict[str, Any]], object]


def _write(tmp_path: Path, board: str, edit: Edit) -> Path:
    data = yaml.safe_load((BOARDS_FOLDER / f"{board}.yaml").read_text())
    edit(data)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_users_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = _write(tmp_path, "zcu104", lambda d: d.update(name="Mine", clock_mhz=250))
    assert load_board(path).clock_mhz == load_board(str(path)).clock_mhz == 250


BAD: list[tuple[str, Edit, str]] = [
    ("zcu104", lambda d: d.update(lut=1), "lut: no such field"),
    ("zcu104", lambda d: d["resources"].update(ff=1), "resources.ff: no such field"),
    (
        "ulx3s-85f",
        lambda d: (d.pop("clock_mhz"), d.pop("clock_basis")),
        "clock_mhz must be given, since none can be estimated: timing of ECP5 is not estimated",
    ),
    (
        "zcu104",
        lambda d: d.update(clock_basis="routed"),
        "clock_basis says where clock_mhz comes from, and there is no clock_mhz",
    ),
    (
        "zcu104",
        lambda d: d.update(part="xczu7ev-ffvc1156-4-e"),
        "the speed grade of the part xczu7ev-ffvc1156-4-e must be one of",
    ),
    ("zcu104", lambda d: d.update(clock_mhz="200"), "clock_mhz: input should be a valid integer, not '200'"),
    ("zcu104", lambda d: d.update(clock_mhz=0), "clock_mhz: input should be greater than 0, not 0"),
    (
        "zcu104",
        lambda d: d.update(family="xc7"),
        "part must belong to family xc7, not be 'xczu7ev-ffvc1156-2-e', which belongs to xcup",
    ),
    ("zcu104", lambda d: d.update(family="xcv"), "family: must be one of ecp5, xc7, xcup, not 'xcv'"),
    ("zcu104", lambda d: d.update(part="xczu7ev"), "'xczu7ev', which is no full part string"),
    (
        "zcu104",
        lambda d: d["resources"].update(luts=504_000),
        "luts must be 230400 for xczu7ev, not 504000: these are logic cells, not LUTs",
    ),
    ("pynq-z2", lambda d: d["resources"].update(luts=85_000), "these are logic cells, not LUTs"),
    (
        "pynq-z2",
        lambda d: d["resources"].update(bram36=280),
        "bram36 must be 140 for xc7z020, not 280: these are blocks of 18 Kb, not of 36 Kb",
    ),
    ("pynq-z2", lambda d: d["resources"].update(dsps=221), "dsps must be 220 for xc7z020, not 221"),
    ("ulx3s-85f", lambda d: d["resources"].update(bram36=104), "bram36 must not be given for family ecp5"),
    ("ulx3s-85f", lambda d: d["resources"].pop("bram18"), "bram18 must be given for family ecp5"),
    ("ulx3s-85f", lambda d: d["memory"].update(port="ps"), "which has no processing system"),
    (
        "pynq-z2",
        lambda d: d["memory"].update(external_bandwidth_bytes_per_s=4_200_000_000),
        "must be at most 2100000000 (16 bits at 1050 MT/s), not 4200000000",
    ),
    ("pynq-z2", lambda d: d["memory"].update(data_bits=64), "data_bits must be at most 32 in this package, not 64"),
    ("pynq-z2", lambda d: d["memory"].update(megatransfers_per_s=2400), "must be at most 1066 in this package"),
    ("ulx3s-85f", lambda d: d["memory"].update(megatransfers_per_s=1600), "must be at most 800 on ecp5, not 1600"),
    ("zcu104", lambda d: d.update(usable_shares={"luts": 1.5}), "usable_shares.luts: input should be less than"),
    ("zcu104", lambda d: d.update(flow="nextpnr"), "flow must be zynq for family xcup, not nextpnr"),
    (
        "zcu104",
        lambda d: (
            d.update(part="xcku5p-ffvb676-2-e"),
            d["resources"].update(luts=475_000),
            d["memory"].update(port="pl"),
        ),
        "were logic cells given as LUTs?",
    ),
]


@pytest.mark.parametrize(("board", "edit", "text"), BAD, ids=[text[:40] for _, _, text in BAD])
def test_a_wrong_file_names_the_field(tmp_path: Path, board: str, edit: Edit, text: str) -> None:
    with pytest.raises(ToolflowError) as caught:
        load_board(_write(tmp_path, board, edit))
    assert text in str(caught.value)


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    def edit(data: dict[str, Any]) -> None:
        data["resources"].update(luts=1000, dsps=1)

    with pytest.raises(ToolflowError) as caught:
        load_board(_write(tmp_path, "zcu104", edit))
    head, *problems = str(caught.value).splitlines()
    assert head.endswith("mine.yaml has 2 problem(s):")
    assert problems == [
        "  resources.luts must be 230400 for xczu7ev, not 1000",
        "  resources.dsps must be 1728 for xczu7ev, not 1",
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("name: A\nname: B\n", "the key 'name' is given twice"),
        ("- 1\n", "must hold a mapping of fields, not list"),
        ("name: [", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(ToolflowError, match=text):
        load_board(path)


def test_a_missing_or_binary_file(tmp_path: Path) -> None:
    with pytest.raises(ToolflowError, match="cannot be read"):
        load_board(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ToolflowError, match="cannot be read"):
        load_board(tmp_path / "b.yaml")


def test_amounts_of_a_part_that_no_family_lists_are_noted(tmp_path: Path) -> None:
    assert not any(unchecked_amounts(board.part) for board in all_boards().values())

    def smaller(data: dict[str, Any]) -> None:
        data.update(name="Small", part="xc7z010clg400-1")
        data["resources"].update(luts=17_600, flip_flops=35_200, dsps=80, bram36=60)

    note = "note: amounts of xc7z010clg400-1 are not known here and were not checked"
    shown = CliRunner().invoke(app, ["boards", str(_write(tmp_path, "pynq-z2", smaller))])
    assert note in " ".join(shown.output.split())
    assert "note:" not in CliRunner().invoke(app, ["boards"]).output

    (tmp_path / "images.npz").touch()
    source = ["nothing.onnx", "--calibration", str(tmp_path / "images.npz"), "--out", str(tmp_path / "out")]
    built = CliRunner().invoke(app, ["build", *source, "--board", str(tmp_path / "mine.yaml")])
    assert "amounts of xc7z010clg400-1 are not known here and were not checked" in " ".join(built.output.split())


def test_the_page_names_every_device_whose_amounts_are_checked() -> None:
    page = (BOARDS_FOLDER.parent / "docs" / "boards.md").read_text(encoding="utf-8").lower()
    assert [name for family in families().values() for name in family.devices if name not in page] == []


def test_the_example_of_the_page_is_the_board(tmp_path: Path) -> None:
    page = (BOARDS_FOLDER.parent / "docs" / "boards.md").read_text(encoding="utf-8")
    path = tmp_path / "zcu104.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    assert load_board(path) == load_board("zcu104")
