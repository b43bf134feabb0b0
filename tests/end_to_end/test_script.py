"""A script makes the same project as the command line, and receives notes and progress."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from quant.training.recipe import Recipe
from tests.cli.module_files import module_file
from tests.end_to_end.projects import SMALL_ENGINE, digest_all, toolflow, write_models
from toolflow.cli.parsing import parse_engine
from toolflow.flow import (
    Pattern,
    Precision,
    Progress,
    PruneRequest,
    Request,
    Source,
    build,
    estimate,
    prune,
    quantise,
    verify,
)
from toolflow.ir.errors import ToolflowError

HEAD = "nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)"
STAGES = ["quantise", "calibrate", "plan", "emit", "report"]


class Recorder:
    """Events that are recorded in order."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.begun: list[str] = []
        self.ended: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Progress]:
        self.begun.append(what)
        yield RecordedStep(self)
        self.ended.append(what)


class RecordedStep:
    def __init__(self, recorder: Recorder) -> None:
        self.note = recorder.note

    def expect(self, total: int) -> None:
        assert total > 0

    def advance(self, amount: int = 1, doing: str = "") -> None:
        assert amount >= 0


def _request(folder: Path) -> tuple[Request, list[str]]:
    """Return a small request, and the options of the command that asks for the same."""
    models, images, _ = write_models(folder)
    source = Source(f"{models}:small", images, input_shape=(1, 8, 8))
    precision = Precision(low_bits=3, rounding="nearest", layer_bits={"0": (4, 3)})
    engine = parse_engine(SMALL_ENGINE)
    options = [source.model, "--input-shape", "1,8,8", "--calibration", str(images), "--low-bits", "3"]
    options += ["--rounding", "nearest", "--layer-bits", "0=4/3", "--board", "ulx3s-85f", "--engine", SMALL_ENGINE]
    return Request(source, precision, "ulx3s-85f", engine, tolerance=0.5), [*options, "--tolerance", "0.5"]


def test_a_script_builds_what_the_command_builds(tmp_path: Path) -> None:
    request, options = _request(tmp_path)
    script, command = tmp_path / "script", tmp_path / "command"
    events = Recorder()
    summary = build(request, script, events)
    assert summary.board.name == "ULX3S-85F"
    assert events.begun == events.ended == [f"import {request.source.model}", *STAGES]
    again = toolflow("build", *options, "--out", script)
    assert again.exit_code == 0, again.stderr
    assert [f"{name}: unchanged, reused" in again.stderr for name in STAGES] == [True] * len(STAGES)

    result = toolflow("build", *options, "--out", command)
    assert result.exit_code == 0, result.stderr
    script_files, command_files = digest_all(script), digest_all(command)
    del script_files["toolflow.json"], command_files["toolflow.json"]  # they hold how long each stage took
    assert script_files == command_files


def test_a_script_quantises_and_builds_from_there(tmp_path: Path) -> None:
    request, _ = _request(tmp_path)
    made = quantise(request, tmp_path / "out")
    assert set(made.accuracy) == {"low", "high"}
    assert 0 <= made.float_accuracy <= 1
    assert sorted(path.name for path in (tmp_path / "out" / "qonnx").iterdir()) == ["high.onnx", "low.onnx"]
    events = Recorder()
    build(request, tmp_path / "out", events)
    assert "quantise: unchanged, reused" in events.notes
    assert events.begun == [f"import {request.source.model}", *STAGES[1:]]


def test_a_script_estimates_and_verifies_what_the_commands_do(tmp_path: Path) -> None:
    request, _ = _request(tmp_path)
    out = tmp_path / "out"
    build(request, out)
    found = estimate(out, board="kv260", engine=request.engine)
    shown = toolflow("estimate", out, "--board", "kv260", "--engine", SMALL_ENGINE, "--json")
    assert json.loads(shown.stdout) == found.document()

    events = Recorder()
    checked = verify(out, ("program",), images=3, events=events)
    checked.require_equal()
    units = list(checked.summary.units)
    wanted = [(unit.unit, level) for unit in units for level in ("files", "program")]
    assert [(check.unit, check.level) for check in checked.checks] == wanted
    assert events.begun[1:] == [text for unit in units for text in _work(unit.unit)]
    more = Recorder()
    kept = verify(str(out), ("program",), images=1000, events=more).checks[-1].images
    assert f"{out} keeps {kept} images for verification: {kept} are run, not 1000" in more.notes
    shown = toolflow("verify", out, "--levels", "program", "--images", "3", "--json")
    summary = json.loads(shown.stdout)
    for document in (summary, expected := checked.summary.model_dump(mode="json")):
        for check in document["verification"]:
            del check["seconds"], check["finished"]
    assert summary == expected
    with pytest.raises(
        ToolflowError, match="levels must be of brevitas, hls4ml, program, hls, cosim, rtl, not 'files'"
    ):
        verify(out, ("files",))


def _work(unit: str) -> tuple[str, str]:
    return f"files of the {unit} unit", f"program of the {unit} unit, 3 images"


def test_a_script_prunes_what_the_command_prunes(tmp_path: Path) -> None:
    model = module_file(tmp_path, "nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3)", HEAD)
    source = replace(_request(tmp_path)[0].source, model=model)
    events = Recorder()
    record = prune(PruneRequest(source, Pattern(1, 2), 0), tmp_path / "script", events)
    assert events.begun == [f"import {model}", "measure", "prune"]
    options = ["--pattern", "1:2", "--tile", "0", "--input-shape", "1,8,8", "--calibration", str(source.calibration)]
    result = toolflow("prune", model, *options, "--out", tmp_path / "command", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == record.model_dump(mode="json")
    pruned = [(tmp_path / name / "pruned.safetensors").read_bytes() for name in ("script", "command")]
    assert pruned[0] == pruned[1]


def test_wrong_values_of_a_pruning_are_refused() -> None:
    source = Source("model.onnx", Path("images.npz"))
    with pytest.raises(ToolflowError, match=r"--rate must be above 0 and below 1, not 2\.0"):
        PruneRequest(source, Pattern(1, 2), 0, recipe=Recipe(1, rate=2.0))
    with pytest.raises(ToolflowError, match="--search-loss must come with a search"):
        PruneRequest(source, Pattern(1, 2), 0, search_loss=0.1)
