"""Models as other people write them: scripts make a model and its images, and the toolflow must handle each.

The scripts lie beside the real data; each says in its docstring what a user expects.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from toolflow.cli.main import app


@pytest.fixture
def made(shared_data: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return the folder that a script filled, named by the test's parameter."""
    [script] = (shared_data.parent / "cases").glob(f"{request.param}-*.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tmp_path


def toolflow(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def quantised(made: Path, model: object, images: str = "images.npz", *more: object) -> dict[str, Any]:
    """Return what `toolflow quantise --json` prints."""
    result = toolflow("quantise", model, "--calibration", made / images, "--out", made / f"q_{images}", "--json", *more)
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def runs_rightly(made: Path) -> Result:
    """Check that the engine runs every node, and that its answers equal the labels, which onnxruntime gave."""
    checked = toolflow("check", made / "model.onnx")
    assert checked.exit_code == 0, checked.stderr
    accuracy = quantised(made, made / "model.onnx", "images.npz", "--single")["accuracy"]
    assert accuracy["float"] == 1.0
    assert accuracy["high"] >= 0.95
    return checked


@pytest.mark.parametrize("made", ["01"], indirect=True)
def test_a_normalisation_of_the_other_range_is_refused_with_the_line_to_write(made: Path) -> None:
    model, weights = f"{made / 'model.py'}:model", ("--weights", made / "weights.safetensors")
    for images in ("labelled.npz", "unlabelled.npz"):
        result = toolflow("quantise", model, *weights, "--calibration", made / images, "--out", made / "q")
        assert result.exit_code == 2
        assert "0.3" in result.stderr
        assert "0.36" in result.stderr
    right = quantised(made, model, "right.npz", *weights)["accuracy"]
    assert right["float"] > 0.95
    assert right["high"] > 0.95


@pytest.mark.parametrize("made", ["02"], indirect=True)
def test_a_module_prepared_for_training_with_quantisation_is_one_sentence(made: Path) -> None:
    result = toolflow("check", f"{made / 'model.py'}:model", "--input-shape", "1,8,8")
    assert result.exit_code == 2
    assert "defect" not in result.stderr
    assert "float" in result.stderr


@pytest.mark.long  # compiles every level
@pytest.mark.parametrize("made", ["03"], indirect=True)
def test_a_folder_whose_name_has_a_space_is_built_and_verified(made: Path) -> None:
    folder = made / "my models"
    engine = ("--board", "pynq-z2", "--single", "--engine", "lanes_k=8,lanes_p=2,slots=1")
    images = ("--calibration", folder / "images.npz")
    built = toolflow("build", folder / "model.onnx", *images, *engine, "--out", folder / "out put")
    assert built.exit_code == 0, built.stderr
    verified = toolflow("verify", folder / "out put", "--levels", "program,hls,cosim,rtl", "--images", 2)
    assert verified.exit_code == 0, verified.stderr


@pytest.mark.parametrize("made", ["04", "08", "09", "10", "13", "15", "18", "19"], indirect=True)
def test_ordinary_files_import_and_answer_as_onnxruntime_does(made: Path) -> None:
    runs_rightly(made)


@pytest.mark.parametrize("made", ["05"], indirect=True)
def test_a_file_of_another_quantiser_is_taken_over(made: Path) -> None:
    assert toolflow("check", made / "model.onnx").exit_code == 0
    target = ("--board", "ulx3s-85f", "--calibration", made / "images.npz", "--out", made / "p")
    built = toolflow("build", made / "model.onnx", *target)
    assert built.exit_code == 0, built.stderr
    assert "its weights, scales and bits are taken over as they are" in built.stdout + built.stderr
    verified = toolflow("verify", made / "p", "--levels", "program")
    assert verified.exit_code == 0, verified.stderr


@pytest.mark.parametrize("made", ["06"], indirect=True)
def test_one_logit_is_two_classes(made: Path) -> None:
    for images in ("images.npz", "unlabelled.npz"):
        found = quantised(made, made / "model.onnx", images)
        assert found["accuracy"]["float"] == 1.0
        assert found["accuracy"]["high"] >= 0.95


@pytest.mark.parametrize("made", ["07"], indirect=True)
def test_checkpoints_of_training_scripts_load(made: Path) -> None:
    for file in ("tutorial.pt", "compiled.pt"):
        result = toolflow("check", f"{made / 'model.py'}:model", "--weights", made / file)
        assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("made", "model", "said"),
    [
        ("12", "model.py:model", "training=self.training"),
        ("14", "model.onnx", "--output"),
    ],
    indirect=["made"],
)
def test_what_is_refused_says_what_to_do(made: Path, model: str, said: str) -> None:
    result = toolflow("check", made / model)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("made", ["11"], indirect=True)
def test_a_network_of_one_dimension_is_one_of_maps_of_height_1(made: Path) -> None:
    model = f"{made / 'model.py'}:model"
    result = toolflow("check", model, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["input_shape"] == [2, 1, 128]
    signals = np.random.default_rng(0).integers(0, 256, (64, 128, 2)).astype(np.uint8)
    np.savez(made / "signals.npz", x=signals)
    assert quantised(made, model, "signals.npz", "--single")["accuracy"]["high"] >= 0.95


@pytest.mark.parametrize("made", ["14"], indirect=True)
def test_one_of_two_outputs_is_chosen(made: Path) -> None:
    found = quantised(made, made / "model.onnx", "images.npz", "--single", "--output", "y")
    assert found["accuracy"]["float"] == 1.0


@pytest.mark.parametrize("made", ["16"], indirect=True)
def test_every_spelling_of_a_mean_is_global_pooling(made: Path) -> None:
    found = {}
    for spelling in ("right", "rows", "flat", "view"):
        result = toolflow("check", f"{made / 'model.py'}:{spelling}", "--json")
        assert result.exit_code == 0, result.stderr
        found[spelling] = [node["operator"] for node in json.loads(result.stdout)["nodes"]]
    assert len({tuple(sorted(kinds)) for kinds in found.values()}) == 1


@pytest.mark.parametrize("made", ["17"], indirect=True)
def test_normalisation_inside_and_outside_is_one_network(made: Path) -> None:
    found = {
        place: quantised(made, made / f"{place}.onnx", f"{place}.npz", "--low-bits", 2)
        for place in ("inside", "outside")
    }
    images = found["inside"]["images"]
    for unit in ("float", "low", "high"):
        difference = found["inside"]["accuracy"][unit] - found["outside"]["accuracy"][unit]
        assert abs(difference) * images <= 2, unit
