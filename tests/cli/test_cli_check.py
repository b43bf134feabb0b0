"""`toolflow check` from outside: a model that runs, one that only imports, one that does not import."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from toolflow.cli.main import app
from toolflow.flow import check
from toolflow.ir.errors import ToolflowError

MODELS = """
from torch import nn

def runs():
    layers = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 10)
    return nn.Sequential(*layers).eval()

def gives_a_map():
    return nn.Sequential(nn.Conv2d(1, 4, 3)).eval()

def only_imports():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2, stride=300)).eval()

def does_not_import():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GELU(), nn.Sigmoid()).eval()
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    return path


def _check(spec: str, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", spec, "--input-shape", "1,8,8", *options])


def test_a_model_that_runs(models: Path) -> None:
    result = _check(f"{models}:runs", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["input_shape"] == [1, 8, 8]
    states = {node["operator"]: node["status"] for node in document["nodes"]}
    assert states == {
        "conv": "engine",
        "batch_norm": "folded",
        "relu": "folded",
        "flatten": "engine",
        "linear": "engine",
    }
    assert "batch_norm" in _check(f"{models}:runs").stdout


def test_a_script_is_told_what_the_command_shows(models: Path) -> None:
    for name in ("runs", "only_imports"):
        spec = f"{models}:{name}"
        found = check(spec, input_shape=(1, 8, 8))
        assert json.loads(_check(spec, "--json").stdout) == found.document()
    with pytest.raises(ToolflowError, match=r"1 node\(s\) do not run on the engine"):
        found.require_supported()


def test_a_map_as_output_is_said(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert _check(f"{models}:gives_a_map").exit_code == 0
    (text,) = (record.getMessage() for record in caplog.records if record.name == "toolflow.passes.check")
    assert "the output '0' is a map (4, 6, 6): each of its 144 values counts as a class" in text


def test_a_node_that_only_imports_is_named(models: Path) -> None:
    result = _check(f"{models}:only_imports", "--json")
    assert result.exit_code == 2
    assert [node["status"] for node in json.loads(result.stdout)["nodes"]] == ["engine", "imports only"]
    assert "1 node(s) do not run on the engine" in result.stderr
    assert "the stride must be at most 255" in result.stderr


def test_every_node_that_cannot_be_imported_is_named(models: Path) -> None:
    result = _check(f"{models}:does_not_import", "--json")
    assert result.exit_code == 2
    assert len(json.loads(result.stdout)["error"]["problems"]) == 2
    assert "GELU" in result.stderr
    assert "Sigmoid" in result.stderr


@pytest.mark.parametrize("spec", ["nowhere.onnx", "nowhere.py:net", "something"])
def test_a_model_that_is_not_there(spec: str) -> None:
    result = _check(spec)
    assert result.exit_code == 2
    assert spec.partition(":")[0] in result.stderr
    assert "Traceback" not in result.stderr
