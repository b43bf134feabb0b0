"""A script makes the project that the command line makes, and is told what happens meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.projects import SMALL_ENGINE, digest_all, toolflow, write_models
from toolflow.cli.parsing import parse_engine
from toolflow.flow import Precision, Progress, Request, Source, build, quantise

STAGES = ["quantise", "calibrate", "plan", "emit", "report"]


class Recorder:
    """Events kept as they come."""

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
    assert events.begun == events.ended == STAGES
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
    assert set(made.accuracy) == {"float", "low", "high"}
    assert sorted(path.name for path in (tmp_path / "out" / "qonnx").iterdir()) == ["high.onnx", "low.onnx"]
    events = Recorder()
    build(request, tmp_path / "out", events)
    assert "quantise: unchanged, reused" in events.notes
    assert events.begun == STAGES[1:]
