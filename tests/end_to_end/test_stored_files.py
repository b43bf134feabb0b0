"""A project whose files were damaged, edited or cannot be compiled, through `verify`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rtl_sim.levels
from tests.end_to_end.projects import ENVIRONMENT, LAUNCH, SMALL_ENGINE, flipped, toolflow, write_models
from toolflow.cli.main import app
from toolflow.flow.intact import require_intact
from toolflow.flow.manifest import read_manifest
from toolflow.flow.project import open_project
from toolflow.ir.errors import ToolflowError, VerificationError
from toolflow.report.summary import read_summary

READ_BY_NO_LEVEL = ("scripts", "host", "README.md", "LICENSE", "THIRD_PARTY_NOTICES.md", "cascade.svg", "report.html")
RUN_AS_THEY_ARE = ("hls", "rtl", *READ_BY_NO_LEVEL)
COMPARED = "weights"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cascade that compiles in seconds."""
    place = tmp_path_factory.mktemp("stored")
    models, images, _ = write_models(place)
    options = ["--board", "ulx3s-85f", "--rounding", "nearest", "--engine", SMALL_ENGINE, "--tolerance", "0.5"]
    built = toolflow(
        "build",
        f"{models}:small",
        "--calibration",
        images,
        *options,
        "--low-bits",
        "3",
        "--cascade",
        "--out",
        place / "p",
    )
    assert built.exit_code == 0, built.stderr
    return place / "p"


def recorded(project: Path) -> list[str]:
    """Return the paths of the files that the build made."""
    manifest = read_manifest(project)
    assert manifest is not None
    return [path for stage in manifest.stages.values() for path in stage.files]


@contextmanager
def without(path: Path) -> Iterator[None]:
    """Remove a file inside a `with` block."""
    aside = path.rename(path.with_name(f"{path.name}.aside"))
    try:
        yield
    finally:
        aside.rename(path)


def test_every_file_that_was_built_is_checked(project: Path) -> None:
    """Each file is damaged, then removed. Data stop the verification, sources are named, and weights are compared."""
    built = open_project(project)
    paths = recorded(project)
    assert {path.partition("/")[0] for path in paths} >= {
        "graphs",
        "vectors",
        "cascade.json",
        "plan.json",
    }
    for path in paths:
        top = path.partition("/")[0]
        with flipped(project / path, (project / path).stat().st_size // 2, 1):
            if top in RUN_AS_THEY_ARE or top == COMPARED:
                assert require_intact(built) == ([path] if top in ("hls", "rtl") else [])
            else:
                with pytest.raises(ToolflowError, match=rf"\n  {path} is damaged, or was changed since the build\n"):
                    require_intact(built)
        if top not in READ_BY_NO_LEVEL:
            with without(project / path), pytest.raises(ToolflowError, match=rf"\n  {path} is missing\n"):
                require_intact(built)
    assert require_intact(built) == []


@pytest.mark.parametrize(
    "name", ["vectors/low.expected.bin", "vectors/high.logits.npy", "cascade.json", "graphs/logits.npz"]
)
def test_verify_stops_with_the_files_name(project: Path, name: str) -> None:
    with flipped(project / name, 10, 1), without(project / "graphs" / "quantise.json"):
        result = toolflow("verify", project, "--levels", "program")
    assert result.exit_code == 2
    said = result.stderr
    assert "is not as it was built, so nothing was run:\n  " in said
    assert f"  {name} is damaged, or was changed since the build\n" in said
    assert "  graphs/quantise.json is missing\n" in said
    assert "delete it and run the same 'toolflow build' again: that makes what is missing" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "toolflow.json cannot be read"),
        ("{", "toolflow.json is damaged, it holds no JSON"),
        ("{}", "toolflow.json does not record weights/low.program.bin"),
    ],
)
def test_a_manifest_that_is_none_is_named(project: Path, text: str | None, said: str) -> None:
    path = project / "toolflow.json"
    content = path.read_bytes()
    try:
        path.unlink()
        if text is not None:
            path.write_text(text)
        result = toolflow("verify", project, "--levels", "program")
    finally:
        path.write_bytes(content)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_project_that_cannot_be_written_is_said_before_minutes_are_spent(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The superuser may write anywhere, so the system's answer is replaced."""
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: not (path == project and mode & os.W_OK) and access(path, mode)
    )
    result = toolflow("verify", project, "--levels", "program")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{project} must be writable, as verdicts are entered in summary.json" in result.stderr


@contextmanager
def edited(*paths: Path) -> Iterator[None]:
    """Append invalid code to sources inside a `with` block."""
    contents = [path.read_bytes() for path in paths]
    try:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content + b"\nnot a language\n")
        yield
    finally:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)


def test_a_difference_comes_before_a_level_that_could_not_be_run(project: Path) -> None:
    """The C++ of one unit does not compile, which breaks a synthesis rule too. The other unit's verdicts are kept."""
    with edited(project / "hls" / "cascade_low.hpp"):
        result = toolflow("verify", project, "--levels", "program,hls", "--images", "2", "--json")
    assert "changed since the build, and run as they are: hls/cascade_low.hpp" in result.stderr
    checks = {(c["unit"], c["level"]): c for c in json.loads(result.stdout)["verification"]}
    assert [checks[unit, "program"]["equal"] for unit in ("low", "high")] == [True, True]
    assert (checks["low", "hls"]["equal"], checks["high", "hls"]["equal"]) == (None, True)
    assert checks["low", "hls"]["detail"].startswith("g++ must compile ")
    assert (checks["low", "synthesisable"]["equal"], checks["high", "synthesisable"]["equal"]) == (False, True)
    assert result.exit_code == 4
    assert "1 check(s) differ from the reference:\n  low unit, synthesisable: " in result.stderr
    assert "1 level(s) could not be run:\n  low unit, hls: g++ must compile" in result.stderr


def test_a_simulator_that_cannot_be_built_has_an_exit_code_of_its_own(project: Path) -> None:
    sources = [project / "rtl" / unit / f"cascade_{unit}.sv" for unit in ("low", "high")]
    with edited(*sources):
        result = toolflow("verify", project, "--levels", "program,rtl", "--images", "2")
    assert result.exit_code == 5
    assert "2 level(s) could not be run; no integer differed:\n  low unit, rtl: the simulator of " in result.stderr
    assert all(f"{source}:" in result.stderr for source in sources)
    assert {c.equal for c in read_summary(project / "summary.json").verification if c.level == "program"} == {True}


def below(process: int) -> dict[int, str]:
    """Return the descendants of a process, with their names."""
    found: dict[int, str] = {}
    last = {process}
    while last:
        listed: dict[int, str] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                text = path.read_text(errors="replace")
                if int(text.rpartition(")")[2].split()[1]) in last:
                    listed[int(path.parent.name)] = text.partition("(")[2].rpartition(")")[0]
        last = set(listed)
        found |= listed
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_verify_ends_the_compilers_too(
    project: Path, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """The signal comes while make runs g++. The verdicts so far are kept, and the project stays intact."""
    environment = {**ENVIRONMENT, "XDG_CACHE_HOME": str(tmp_path)}  # Verilator's own runtime must be compiled too
    shutil.rmtree(project.with_name("p.simulators"), ignore_errors=True)
    command = [*LAUNCH, "verify", str(project), "--levels", "program,rtl", "--images", "2"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while "cc1plus" not in (running := below(process.pid)).values():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"The verdicts so far are in {project / 'summary.json'}." in errors
    assert "Traceback" not in errors
    assert {"make", "cc1plus"} <= set(running.values())
    states = [Path(f"/proc/{child}/stat") for child in running]
    assert not [path for path in states if path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"]
    assert require_intact(open_project(project)) == []


LEVEL = """
from rtl_sim.level import Level, Verdict


class Odd(Level):
    name, rank, sources = "odd", 90, "rtl/{unit}"

    def check(self, subject):
        same = subject.unit.name == "high"
        return Verdict(same, "" if same else "an odd difference", images=len(subject.images))


LEVEL = Odd()
"""


def test_a_level_that_is_put_into_their_folder_is_run_and_shown(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.py").write_text(LEVEL)
    monkeypatch.setattr(rtl_sim.levels, "__path__", [*rtl_sim.levels.__path__, str(tmp_path)])
    kept = (project / "summary.json").read_bytes()
    result = CliRunner().invoke(app, ["verify", str(project), "--levels", "program,odd", "--images", "2"])
    assert result.exit_code == VerificationError.exit_code
    assert "low unit, odd: an odd difference" in result.stderr
    assert "odd" in result.stdout
    checks = {(str(c.unit), c.level): c for c in read_summary(project / "summary.json").verification}
    assert (checks["low", "odd"].equal, checks["high", "odd"].equal) == (False, True)
    source = project / "rtl" / "high" / "cascade_high.sv"
    with edited(source):
        again = CliRunner().invoke(app, ["verify", str(project), "--levels", "program", "--images", "2"])
    assert again.exit_code == 0, again.stderr
    *_, dropped, page = again.stderr.splitlines()
    assert dropped.endswith("are dropped, as files have changed since: odd of the high unit")
    assert page == f"report: {project / 'report.html'}"
    (project / "summary.json").write_bytes(kept)
