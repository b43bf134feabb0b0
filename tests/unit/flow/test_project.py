"""Reading a built project."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolflow.flow.project import Project
from toolflow.ir.unit import UnitName


@pytest.mark.parametrize("low", [UnitName.LOW, "low"])
def test_the_low_unit_alone_has_the_rule(low: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds also if the unit's name is plain text, as on a command line."""
    monkeypatch.setattr(Project, "graph", lambda project, name: name)
    planned: Any = SimpleNamespace(units={name: SimpleNamespace(graph=name, engine=None) for name in UnitName})
    nothing: Any = None
    rule: Any = "the rule"
    calibration: Any = SimpleNamespace(rule=rule)
    project = Project(Path("project"), planned, nothing, calibration)
    assert project.unit(low).rule == rule
    assert project.unit(UnitName.HIGH).rule is None
