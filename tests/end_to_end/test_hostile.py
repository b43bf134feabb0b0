"""User mistakes and interrupts on the real command line: one clear message, an exit code, and no lost file."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.projects import ENVIRONMENT, LAUNCH, SMALL_ENGINE, digest_all, toolflow, write_models
from toolflow.report.summary import read_summary

FAST = ["--rounding", "nearest", "--engine", SMALL_ENGINE, "--tolerance", "0.5"]
LIMIT_S = 120.0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the models and their images."""
    write_models(tmp_path)
    return tmp_path


def arguments(place: Path, **changed: str | Path) -> list[str]:
    """Return the arguments of a build that succeeds unless an argument is changed."""
    values: dict[str, str | Path] = {
        "model": f"{place / 'models.py'}:small",
        "input-shape": "1,8,8",
        "calibration": place / "small.npz",
        "board": "ulx3s-85f",
        "out": place / "out",
    }
    values.update({name.replace("_", "-"): value for name, value in changed.items()})
    model = values.pop("model")
    options = [text for name, value in values.items() for text in (f"--{name}", str(value))]
    return ["build", str(model), *options]


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        ({"board": "zcu999"}, 2, "the board must be one of "),
        ({"low_bits": "1"}, 2, "'--low-bits': Input should be greater than or equal to 2"),
        ({"high_bits": "9"}, 2, "'--high-bits': Input should be less than or equal to 8"),
        ({"low_bits": "7", "high_bits": "6"}, 2, "--low-bits must not exceed --high-bits, not 7 > 6"),
        ({"layer_bits": "0=4/9"}, 2, "--layer-bits must be NAME=W/A,.. with bits from 2 to 8, not '0=4/9'"),
        (
            {"layer_bits": "conv9=4/4"},
            2,
            "(--layer-bits) must name layers of the network, not conv9; its layers are 0, 4",
        ),
        ({"tolerance": "1.5"}, 2, "the tolerance must be above 0 and below 1 (0.01 is one point), not 1.5"),
        ({"tolerance": "1"}, 2, "the tolerance must be above 0 and below 1 (0.01 is one point), not 1.0"),
        ({"calibration": "one_pixel.npz"}, 2, "must have the shape (N, 8, 8, 1), "),
        ({"calibration": "models.py"}, 2, "models.py"),
        ({"calibration": "nowhere.npz"}, 2, "does not exist"),
        ({"engine": "lanes_k=0"}, 2, "--engine: lanes_k must be 1 to 512, not 0"),
        ({"engine": "lanes_k=-4"}, 2, "--engine: lanes_k must be 1 to 512, not -4"),
        ({"engine": "slots=3"}, 2, "slots must be a power of two"),
        ({"input_shape": "8"}, 2, "--input-shape must be C,H,W or C,LENGTH in positive whole numbers, not '8'"),
        ({"weights": "models.py"}, 2, "models.py"),
    ],
)
def test_a_mistake_ends_in_one_message(place: Path, changed: dict[str, str], code: int, message: str) -> None:
    paths = {key: str(place / value) for key, value in changed.items() if key in ("calibration", "weights")}
    result = toolflow(*arguments(place, **{**changed, **paths}))
    assert result.exit_code == code
    said = " ".join(result.stderr.replace("│", " ").split())
    assert message in said
    assert "Traceback" not in said
    assert "defect" not in said
    assert not (place / "out").exists()


def test_a_board_that_is_too_small_is_told_by_how_much(place: Path) -> None:
    result = toolflow(*arguments(place), *FAST, "--engine", "lanes_k=64,lanes_p=16,slots=4", "--single")
    assert result.exit_code == 3
    assert "does not fit ULX3S-85F: the nearest engine (lanes_k=64, lanes_p=16, slots=4, " in result.stderr
    assert "LUTs of 58,547 usable" in result.stderr
    assert not (place / "out").exists()
    assert not (place / "out.partial").exists()


def test_a_pair_that_does_not_fit_keeps_the_finished_stages(place: Path) -> None:
    result = toolflow(*arguments(place), *FAST, "--engine", "lanes_k=32,lanes_p=3,slots=1,multiplier=dsp", "--cascade")
    assert result.exit_code == 3
    assert "no pair of units fits ULX3S-85F" in result.stderr
    assert not (place / "out").exists()
    assert f"The finished stages (quantise, calibrate) are in {place / 'out'}.partial" in result.stderr


def test_an_operator_that_does_not_import_is_named(place: Path) -> None:
    result = toolflow(*arguments(place, model=f"{place / 'models.py'}:unsupported"))
    assert result.exit_code == 2
    assert "GELU (aten.gelu) '1': the operator is not handled" in result.stderr
    assert not (place / "out").exists()


def test_a_map_of_numbers_is_noted(place: Path) -> None:
    model, images = f"{place / 'models.py'}:detector", place / "small.npz"
    result = toolflow("quantise", model, "--calibration", images, "--rounding", "nearest", "--out", place / "out")
    assert result.exit_code == 0
    assert "output has the shape (4, 8, 8): each of its 256 numbers counts as one class" in result.stderr


def test_a_folder_that_holds_something_else_is_left_alone(place: Path) -> None:
    out = place / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("three years")
    result = toolflow(*arguments(place))
    assert result.exit_code == 2
    assert "is neither empty nor an earlier build; it was left as it is" in result.stderr
    assert digest_all(out) == {"thesis.txt": b"three years"}
    assert not (place / "out.partial").exists()


@pytest.mark.parametrize("command", ["verify", "estimate"])
def test_a_folder_that_is_no_project_is_refused(place: Path, command: str) -> None:
    result = toolflow(command, place)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert str(place) in result.stderr


def test_an_image_of_one_pixel_is_built_and_exact(place: Path) -> None:
    changed = {"model": f"{place / 'models.py'}:one_pixel", "input_shape": "3,1,1"}
    built = toolflow(*arguments(place, **changed, calibration=place / "one_pixel.npz"), *FAST, "--cascade")
    assert built.exit_code == 0, built.stderr
    result = toolflow("verify", place / "out", "--levels", "program", "--images", "5")
    assert result.exit_code == 0, result.stderr
    assert read_summary(place / "out" / "summary.json").verified


def test_an_interrupt_keeps_what_was_there_and_a_rerun_completes(place: Path) -> None:
    """A build gets SIGINT while it plans. The next run reuses the finished quantisation."""
    out = place / "out"
    first = toolflow(*arguments(place), *FAST, "--single")
    assert first.exit_code == 0, first.stderr
    before = digest_all(out)
    again = [*arguments(place), *FAST, "--low-bits", "3", "--cascade"]
    with subprocess.Popen([*LAUNCH, *again], stderr=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        manifest = out.with_name("out.partial") / "toolflow.json"
        deadline = time.monotonic() + LIMIT_S
        while not (manifest.exists() and '"quantise"' in manifest.read_text()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert "toolflow: interrupted" in errors
    assert f"{out} is as it was. The finished stages (quantise" in errors
    assert "Traceback" not in errors
    assert digest_all(out) == before
    rerun = subprocess.run([*LAUNCH, *again], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert rerun.returncode == 0, rerun.stderr
    assert "quantise: unchanged, reused" in rerun.stderr
    assert {unit.unit for unit in read_summary(out / "summary.json").units} == {"low", "high"}
    assert not out.with_name("out.partial").exists()


def test_too_few_images_are_refused(place: Path) -> None:
    with np.load(place / "small.npz") as archive:
        np.savez(place / "few.npz", x=archive["x"][:2], y=archive["y"][:2])
    result = toolflow(*arguments(place, calibration=place / "few.npz"))
    assert result.exit_code == 2
    assert "few.npz" in result.stderr


def test_equal_builds_are_equal_files(place: Path) -> None:
    """Only the times in toolflow.json differ, which nothing hashes."""
    found = []
    for name in ("out", "again"):
        built = toolflow(*arguments(place, out=place / name), *FAST, "--cascade")
        assert built.exit_code == 0, built.stderr
        files = digest_all(place / name)
        manifest = json.loads(files.pop("toolflow.json"))
        assert all(stage.pop("seconds") >= 0 for stage in manifest["stages"].values())
        found.append((files, manifest))
    first, second = found
    assert [path for path in first[0] if first[0][path] != second[0].get(path)] == []
    assert first == second


def test_a_disk_without_room_is_said(place: Path) -> None:
    """The system limits files to 8 KiB; the command leaves no files."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))"
    launch = [LAUNCH[0], "-B", "-c", f"{limit}; {LAUNCH[2]}"]
    rng = np.random.default_rng(5)
    np.savez(place / "small.npz", x=rng.integers(0, 256, (200, 8, 8, 1), dtype=np.uint8))
    command = [*launch, *arguments(place), *FAST, "--single"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "could not be written: File too large (" in said
    assert f"MiB free in {place}" in said
    assert "make room there and run the same command again" in said
    assert "Traceback" not in said
    assert "defect" not in said
    assert not (place / "out").exists()
