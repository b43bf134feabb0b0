"""The clock of a project: planned, given, estimated on an engine's own netlist."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtl_sim.timing.report import UnitTiming
from toolflow.cli.main import app
from toolflow.flow.project import open_project
from toolflow.flow.runs import estimate as run
from toolflow.plan.boards.board import load_board

EARLIER = Path(__file__).parent / "earlier_projects" / "pair_8807197"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EARLIER, tmp_path / "project"))


def _estimate(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["estimate", *map(str, arguments)], env={"COLUMNS": "200"})
    return done.exit_code, done.output


def _planned(project: Path, **changes: object) -> Path:
    path = project / "plan.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, **changes}), encoding="utf-8")
    return project


def test_a_project_keeps_the_clock_that_it_was_planned_for(project: Path) -> None:
    clock = {"mhz": 77, "basis": "estimate 89 MHz", "path": "11.2 ns, a → b (9 LUTs)"}
    _planned(project, schema_version=7, board="kv260", clock=clock)
    board = open_project(project).board
    assert (board.clock, board.clock_path) == ("77 MHz (estimate 89 MHz)", "11.2 ns, a → b (9 LUTs)")
    code, shown = _estimate(project)
    assert code == 0, shown
    assert "at 77 MHz (estimate 89 MHz)" in shown
    assert "clock: the longest path is 11.2 ns, a → b (9 LUTs)" in shown


def test_an_earlier_project_takes_the_clock_of_its_board(project: Path) -> None:
    assert open_project(_planned(project, board="kv260")).board.clock == load_board("kv260").clock
    assert open_project(_planned(project, board="ulx3s-85f")).board.clock_mhz == 50


def test_a_clock_that_is_given_comes_first(project: Path) -> None:
    code, shown = _estimate(project, "--clock", "40", "--json")
    assert code == 0, shown
    slow = json.loads(shown)
    assert (slow["clock_mhz"], slow["clock_basis"]) == (40, "given with --clock")
    fast = json.loads(_estimate(project, "--clock", "80", "--json")[1])
    assert fast["designs"][0]["images_per_second"] == pytest.approx(2 * slow["designs"][0]["images_per_second"])
    code, shown = _estimate(project, "--clock", "0")
    assert (code, "--clock must be a whole number from 1 to 1000, not 0" in shown) == (2, True)


def test_a_netlist_is_estimated_for_each_unit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def timing(config: object, family: str, part: str) -> UnitTiming:
        asked.append((family, part))
        return UnitTiming(8.0, (" 8.00 ns  9 LUTs  a[1] → b", "  cell by cell"))

    monkeypatch.setattr(run, "unit_timing", timing)
    code, shown = _estimate(_planned(project, board="kv260"), "--netlist")
    assert code == 0, shown
    assert asked == [("xcup", "xck26-sfvc784-2LV-c")] * 2
    assert "as built, low: its own netlist: 8.00 ns, 125 MHz, 109 MHz to plan with\n 8.00 ns  9 LUTs  a[1] → b" in shown


def test_the_netlist_of_an_ecp5_is_left_to_nextpnr(project: Path) -> None:
    code, shown = _estimate(project, "--netlist")
    assert code == 2
    assert "timing of ECP5 is not estimated: nextpnr-ecp5 places and routes the unit" in " ".join(shown.split())
