"""`doctor` finds planted problems: name clashes, versions, missing tools."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from toolflow.cli.main import app
from toolflow.flow import machine


def _states(findings: list[dict[str, str]]) -> dict[str, str]:
    return {finding["what"]: finding["state"] for finding in findings}


def test_this_machine_has_the_tools_and_a_simulator_that_runs() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    states = _states(json.loads(result.stdout)["findings"])
    for what in ("python", "g++", "make", "perl", "verilator runs", "package toolflow"):
        assert states[what] == "ok"
    assert result.exit_code == (2 if "problem" in states.values() else 0)


def test_a_foreign_distribution_of_the_same_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    information = tmp_path / "toolflow-9.9.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: toolflow\nVersion: 9.9\n")
    (information / "top_level.txt").write_text("toolflow\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    foreign, *others = machine.name_clashes(machine.PACKAGES)
    assert foreign.state == "problem"
    assert foreign.found.endswith("also installed by toolflow")
    assert foreign.advice.startswith("pip uninstall toolflow; pip install --force-reinstall")
    assert {finding.state for finding in others} == {"ok"}


def test_a_package_of_another_version_or_missing_is_found() -> None:
    installed = importlib.metadata.version("typer")
    assert machine.check_requirement(Requirement(f"typer=={installed}")).state == "ok"
    other = machine.check_requirement(Requirement("typer==0.0.1"))
    assert (other.state, other.found, other.advice) == ("problem", installed, 'pip install "typer==0.0.1"')
    missing = machine.check_requirement(Requirement("no-such-distribution-anywhere>=1"))
    assert (missing.state, missing.found) == ("problem", "not installed")


def test_a_missing_tool_is_found_and_the_command_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(app, ["doctor", "--json"])
    findings = json.loads(result.stdout)["findings"]
    states = _states(findings)
    assert [states[what] for what in ("g++", "make", "perl", "verilator runs")] == ["problem"] * 4
    assert next(finding["advice"] for finding in findings if finding["what"] == "perl").endswith("apt-get install perl")
    assert result.exit_code == 2
    assert "g++, make, perl" in result.stderr


def test_an_old_compiler_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "g++"
    fake.write_text(f"#!{sys.executable}\nprint('g++ (Old) 8.3.0')\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = next(finding for finding in machine.examine() if finding.what == "g++")
    assert (finding.state, finding.found) == ("problem", "8.3.0")
    assert finding.advice == "install g++ 10 or newer"
