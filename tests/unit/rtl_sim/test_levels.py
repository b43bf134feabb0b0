"""Levels are found by their folder: a module that is added there is run and listed."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

import rtl_sim.levels
from rtl_sim.binaries import Binaries
from rtl_sim.level import Subject
from rtl_sim.levels import engine_level, find_levels, selected
from rtl_sim.simulate.job import RunOptions
from tests.unit.rtl_sim.test_verify import unit_and_images
from toolflow.cli.main import app
from toolflow.cli.verify import verify
from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.board import load_board
from toolflow.plan.lower.lower import compile_program

ROOT = Path(__file__).resolve().parents[3]
ADDED = """
    from rtl_sim.level import EngineLevel
    from rtl_sim.verify import ProgramExecutor


    class Added(EngineLevel):
        name, rank = "added", 90
        tools = ("gcc-of-the-added-level",)

        def executor(self, project, unit, work, options):
            return ProgramExecutor()


    LEVEL = Added()
"""
REFUSING = """
    from rtl_sim.level import EngineLevel
    from toolflow.ir.errors import NotRunError

    SAID = "top.hpp:4: error: 'widht' was not declared\\n  top.hpp:9: error: expected ';'"


    class Added(EngineLevel):
        name, rank = "added", 90

        def executor(self, project, unit, work, options):
            raise NotRunError("g++ must compile top.cpp, it says:\\n  " + SAID)


    LEVEL = Added()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder whose modules are levels too."""
    monkeypatch.setattr(rtl_sim.levels, "__path__", [*rtl_sim.levels.__path__, str(tmp_path)])
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"rtl_sim.levels.{path.stem}", None)


def subject(work: Path) -> Subject:
    """Return a small unit with the files that its network compiles to."""
    unit, images = unit_and_images()
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    stored = Binaries(compiled.program, compiled.weights)
    return Subject(work, unit, load_board("zcu104"), stored, images, work, RunOptions(), print)


def test_levels_run_in_this_order() -> None:
    order = ["brevitas", "hls4ml", "files", "synthesisable", "program", "hls", "cosim", "rtl"]
    levels = {name: level for name, level in find_levels().items() if name in order}
    assert list(levels) == order
    assert [name for name, level in levels.items() if level.runs(["hls"])] == ["files", "synthesisable", "hls"]
    assert [name for name, level in levels.items() if level.runs([])] == ["files"]


def test_selected_levels_come_in_their_own_order() -> None:
    known = {name: level for name, level in find_levels().items() if name in ("files", "program", "hls", "rtl")}
    assert selected(known, ("rtl", "program")) == ("program", "rtl")
    assert selected(known, None) == ("program", "hls", "rtl")
    with pytest.raises(ToolflowError, match="--levels must be of program, hls, rtl, not 'vhdl'"):
        selected(known, ("program", "vhdl"))


def test_a_level_is_added_by_one_file(folder: Path, tmp_path: Path) -> None:
    (folder / "added.py").write_text(dedent(ADDED))
    verdict = find_levels()["added"].check(subject(tmp_path))
    assert (verdict.equal, verdict.images, verdict.detail) == (True, 4, "")
    refused = CliRunner().invoke(app, ["verify", str(tmp_path), "--levels", "none"])
    assert re.search(r"--levels must be of brevitas, .*rtl, .*added, not 'none'", refused.stderr)
    assert "gcc-of-the-added-level" in CliRunner().invoke(app, ["doctor"]).stdout


def test_a_module_that_is_no_level_is_refused(folder: Path) -> None:
    (folder / "nothing.py").write_text("LEVEL = None\n")
    with pytest.raises(ImportError, match=r"levels\.nothing must define LEVEL, a Level of the name 'nothing'"):
        find_levels()


def test_a_level_of_another_name_than_its_module_is_refused(folder: Path) -> None:
    (folder / "other.py").write_text(dedent(ADDED))
    with pytest.raises(ImportError, match="a Level of the name 'other'"):
        find_levels()


def test_a_level_that_cannot_be_run_shows_the_first_line_of_the_reason(folder: Path, tmp_path: Path) -> None:
    """A compiler's output follows the colon at the end of the first line."""
    (folder / "added.py").write_text(dedent(REFUSING))
    verdict = find_levels()["added"].check(subject(tmp_path))
    assert verdict.equal is None
    assert verdict.detail == "g++ must compile top.cpp, it says: top.hpp:4: error: 'widht' was not declared"
    assert verdict.failure.endswith("\n  top.hpp:9: error: expected ';'")


def test_files_of_another_size_are_not_run(tmp_path: Path) -> None:
    whole = subject(tmp_path)
    cut = Binaries(whole.binaries.program, whole.binaries.weights[:-8])
    damaged = Subject(**{**vars(whole), "binaries": cut})
    assert find_levels()["files"].check(damaged).detail.startswith("the weights file must hold ")
    verdict = find_levels()["program"].check(damaged)
    assert (verdict.equal, verdict.detail, verdict.ended) == (None, "weights/single.weights.bin is damaged", False)


def test_an_engine_level_must_be_one() -> None:
    with pytest.raises(ToolflowError, match="a level must be one of program, hls, cosim, rtl, not 'brevitas'"):
        engine_level("brevitas")


def test_packages_that_levels_need_are_installed_with_the_toolflow() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = {Requirement(text).name for text in project["dependencies"]}
    for level in find_levels().values():
        assert set(level.packages) <= installed, level.name


def test_the_help_of_verify_describes_every_level_that_can_be_chosen() -> None:
    described = re.findall(r"(\w+) \(", str(verify.__doc__))
    assert described == [name for name, level in find_levels().items() if level.selectable]


def test_the_page_about_verification_lists_every_level_and_its_tools() -> None:
    page = (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")
    rows = {name: needs for name, _, needs in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) ?\|$", page, re.MULTILINE)}
    assert {name: ", ".join(level.tools) for name, level in find_levels().items()} == rows
