"""`--board auto`: the boards that a network fits, with their speeds; a build with one of them goes on from there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.projects import toolflow, write_models
from toolflow.cli.options import complete_board
from toolflow.plan.boards.board import all_boards


def test_boards_are_compared_and_one_is_built(tmp_path: Path) -> None:
    models, images, _ = write_models(tmp_path)
    asked = ["build", f"{models}:small", "--input-shape", "1,8,8", "--calibration", str(images)]
    asked += ["--rounding", "nearest"]
    asked += ["--low-bits", "3", "--tolerance", "0.5", "--engine", "lanes_k=32,lanes_p=16,slots=1"]
    out = ["--out", str(tmp_path / "out")]
    found = toolflow(*asked, "--board", "auto", *out, "--json")
    assert found.exit_code == 0, found.stderr
    boards = json.loads(found.stdout)["boards"]
    assert {each["board"] for each in boards} == set(all_boards())
    speeds = [max(each["images_per_second"].values(), default=0) for each in boards]
    assert speeds == sorted(speeds, reverse=True)
    assert boards[-1]["board"] == "ULX3S-85F"
    assert boards[-1]["images_per_second"] == {}
    assert "ULX3S-85F" in boards[-1]["lacks"]
    assert not (tmp_path / "out" / "plan.json").exists()

    best = boards[0]
    built = toolflow(*asked, "--board", best["board"], *out, "--json")
    assert built.exit_code == 0, built.stderr
    assert "quantise: unchanged, reused" in built.stderr
    summary = json.loads(built.stdout)
    assert summary["images_per_second"] == pytest.approx(best["images_per_second"][summary["decision"]["choice"]])


def test_a_shell_completes_boards() -> None:
    assert complete_board("zc") == ["zc706", "zcu102", "zcu104"]
    assert complete_board("au") == ["auto"]
