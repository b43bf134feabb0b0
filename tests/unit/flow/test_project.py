"""Reading a built project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from toolflow.engine.config import EngineConfig
from toolflow.flow.project import Project
from toolflow.flow.records import PlannedUnit, PlanRecord
from toolflow.ir.unit import UnitName, VariantName

TWO_PRECISIONS = EngineConfig(lanes_k=8, lanes_p=4, narrow_bits=4, dsp_primitive="dsp48e2", pack_k=2, gather=False)


def planned(**engines: EngineConfig) -> PlanRecord:
    units = {
        UnitName(name): PlannedUnit(engine=engine, graph=VariantName(name), cycles_per_image=1, resources={})
        for name, engine in engines.items()
    }
    return PlanRecord(board="kv260", goal="throughput", batch=None, units=units, bound="")


@pytest.mark.parametrize("low", [UnitName.LOW, "low"])
@pytest.mark.parametrize("engine", [EngineConfig(), TWO_PRECISIONS])
def test_the_low_unit_alone_has_the_rule(low: Any, engine: EngineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds also if the unit's name is plain text, as on a command line."""
    monkeypatch.setattr(Project, "graph", lambda project, name: name)
    nothing: Any = None
    calibration: Any = type("Calibration", (), {"rule": "the rule"})
    project = Project(Path("project"), planned(low=engine, high=engine), nothing, calibration)
    found: Any = project.unit(low).rule
    assert found == "the rule"
    assert project.unit(UnitName.HIGH).rule is None
    assert project.unit(low).config.narrow == (engine is TWO_PRECISIONS)
    assert not project.unit(UnitName.HIGH).config.narrow


def test_both_units_of_a_morphing_pair_run_on_one_engine() -> None:
    plan = planned(low=TWO_PRECISIONS, high=TWO_PRECISIONS)
    assert plan.engines == {"single": TWO_PRECISIONS}
    assert [plan.seen(name).lanes_p for name in plan.units] == [4, 2]
    assert plan.cycles_per_image(60, 200, 0.2) == 100  # in turn
    resident = planned(low=EngineConfig(), high=EngineConfig())
    assert list(resident.engines) == ["low", "high"]
    assert resident.cycles_per_image(60, 200, 0.2) == 60  # side by side


def test_a_plan_whose_units_have_different_engines_of_two_precisions_is_damaged() -> None:
    other = TWO_PRECISIONS.fitted({"bank_depth": 8})
    for engines in ({"low": TWO_PRECISIONS, "high": other}, {"high": TWO_PRECISIONS}):
        with pytest.raises(ValidationError, match="must be that of a low and of a high unit"):
            planned(**engines)
