"""The stages as functions on objects: the same project as `build` makes, objects that show themselves, the notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import toolflow
from tests.end_to_end.projects import REPOSITORY, SMALL_ENGINE, digest_all, train_digits, write_models
from toolflow.cli.parsing import parse_engine
from toolflow.flow import Precision, Request, Source, build
from toolflow.flow.steps import BuiltProject
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import UnitName

NOTEBOOK = REPOSITORY / "examples" / "python_api.ipynb"


def step_by_step(models: Path, images: Path, out: Path) -> tuple[BuiltProject, list[Any]]:
    """Build a project stage by stage, and return it with the object of every stage."""
    network = toolflow.load(f"{models}:small", images, input_shape=(1, 8, 8))
    quantised = toolflow.quantise(network, out, low_bits=3, rounding="nearest")
    calibrated = toolflow.calibrate(quantised, tolerance=0.5)
    planned = toolflow.plan(calibrated, "ulx3s-85f", engine=parse_engine(SMALL_ENGINE))
    project = toolflow.emit(planned)
    return project, [network, quantised, calibrated, planned, project]


def test_the_stages_make_what_a_build_makes(tmp_path: Path) -> None:
    models, images, _ = write_models(tmp_path)
    project, objects = step_by_step(models, images, tmp_path / "steps")
    source = Source(f"{models}:small", images, input_shape=(1, 8, 8))
    precision = Precision(low_bits=3, rounding="nearest")
    request = Request(source, precision, "ulx3s-85f", parse_engine(SMALL_ENGINE), tolerance=0.5)
    build(request, tmp_path / "build")
    files = [digest_all(tmp_path / name) for name in ("steps", "build")]
    for each in files:
        del each["toolflow.json"]  # it holds how long each stage took
    assert files[0] == files[1]

    verdicts = toolflow.verify(project, ("program",), images=4)
    page = toolflow.report(project)
    assert verdicts.equal
    assert page.path == tmp_path / "steps" / "report.html"
    named = ("max_pool", "3 / 3 bits", "forwarded", "lanes_k", "images/s", "equal", "report.html")
    for each, text in zip([*objects, verdicts, page], named, strict=True):
        assert text in each._repr_html_()


def test_the_objects_of_a_stage_are_required_and_messages_name_them(tmp_path: Path) -> None:
    with pytest.raises(ToolflowError, match="network must be a Network, not 'resnet'"):
        toolflow.quantise("resnet", tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ToolflowError, match=r"planned must be a PlannedDesign, not 1"):
        toolflow.emit(1)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="module 'toolflow' has no attribute 'bulid'"):
        toolflow.bulid()  # type: ignore[attr-defined]


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "build" / "demo").mkdir(parents=True)
    train_digits(tmp_path / "build" / "demo" / "digits")
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    scope: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), scope)
    assert scope["summary"].decision.choice == "resident pair"
    assert {check.unit for check in scope["summary"].verification} == {UnitName.LOW, UnitName.HIGH}
    assert (tmp_path / "build" / "notebook" / "report.html").is_file()
