"""The command line from outside: exit codes, streams, JSON, help, start-up, interrupts."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import pytest
import typer
from pydantic import ValidationError
from rich.table import Table
from typer.testing import CliRunner, Result

import cascade_toolflow
from toolflow.cli import terminal as terminal_module
from toolflow.cli.command import command
from toolflow.cli.main import app
from toolflow.cli.terminal import Terminal
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import (
    DoesNotFitError,
    Problem,
    ToolflowError,
    UnsupportedModelError,
    VerificationError,
)

ROOT = Path(__file__).resolve().parents[2]


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _raising(error: BaseException) -> Callable[..., Result]:
    @command
    def fail(terminal: Terminal) -> NoReturn:
        raise error

    failing = typer.Typer()
    failing.command()(fail)
    return lambda *arguments: CliRunner().invoke(failing, arguments)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ToolflowError("bits must be 2 to 8, not 9"), 2),
        (FileNotFoundError(2, "No such file", "x.onnx"), 2),
        (DoesNotFitError("LUTs"), 3),
        (VerificationError("layer 3 differs"), 4),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("oops"), 1),
    ],
)
def test_each_error_has_its_exit_code_and_no_trace(error: BaseException, code: int) -> None:
    result = _raising(error)()
    assert result.exit_code == code
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("toolflow: ")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"slots": 3}, "EngineConfig: slots must be a power of two, not 3"),
        ({"lanes_k": 0}, "EngineConfig: lanes_k: Input should be greater than or equal to 1, not 0"),
    ],
)
def test_a_value_that_a_configuration_refuses_is_a_mistake_to_mend(fixed: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EngineConfig.model_validate(fixed)
    result = _raising(caught.value)()
    assert (result.exit_code, result.stderr) == (2, f"toolflow: {message}\n")


def test_debug_shows_the_trace() -> None:
    result = _raising(ToolflowError("no"))("--debug")
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("toolflow: no\n")


def test_a_defect_asks_for_a_report() -> None:
    result = _raising(ZeroDivisionError("oops"))()
    assert "a defect of the toolflow, please report it: ZeroDivisionError: oops" in result.stderr
    assert "--debug shows the trace" in result.stderr


def test_an_errors_notes_follow_its_message() -> None:
    error = KeyboardInterrupt()
    error.add_note("out is as it was")
    assert _raising(error)().stderr == "toolflow: interrupted\nout is as it was\n"


def test_brackets_in_a_message_survive() -> None:
    assert "[red]" in _raising(ToolflowError("must lie within [0, 1], not [red]"))().stderr


def test_names_between_colons_stay_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(terminal_module, "PROGRESS_AFTER_S", 0.01)
    table = Table(title="net.py:one:")
    table.add_column(":one:")
    table.add_row(":one: [green]runs[/]")
    terminal = Terminal()
    with terminal.progress("import net.py:one"):
        time.sleep(0.1)
    terminal.note("net.py:one: read")
    terminal.result({}, "net.py:one: checked", table)
    printed = capsys.readouterr()
    assert printed.err.splitlines()[0].startswith("import net.py:one: 0.")
    assert "net.py:one: read" in printed.err
    assert "net.py:one: checked" in printed.out
    assert "\U00000031\U0000fe0f\U000020e3" not in printed.out + printed.err  # the picture called :one:
    assert printed.out.count(":one:") == 4
    assert ":one: runs" in printed.out


def test_json_reports_an_error_with_every_problem() -> None:
    problem = Problem("c1", "Conv", "group", "3", "1 or C", "split it")
    result = _raising(UnsupportedModelError([problem]))("--json")
    error = json.loads(result.stdout)["error"]
    assert (error["type"], error["exit_code"]) == ("UnsupportedModelError", 2)
    assert error["problems"][0]["rewrite"] == "split it"
    assert "Conv 'c1'" in result.stderr


def test_json_is_one_document_even_where_an_error_follows_the_result() -> None:
    @command
    def work(terminal: Terminal, count: Annotated[int, typer.Option()] = 1) -> None:
        terminal.result({"count": count}, "text")
        raise VerificationError("differs")

    working = typer.Typer()
    working.command()(work)
    result = CliRunner().invoke(working, ["--count", "3", "--json"])
    assert json.loads(result.stdout) == {"count": 3}
    assert result.exit_code == 4


def test_usage_errors_end_with_two() -> None:
    result = _invoke("boards", "--no-such-option")
    assert (result.exit_code, result.stdout) == (2, "")
    assert _invoke("no-such-command").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["verify", "--json"], "MissingParameter", "Missing argument 'DIR'"),
        (["build", "net.onnx", "--json"], "MissingParameter", "Missing option '--board'"),
        (["--json", "boards"], "NoSuchOption", "No such option: --json"),
        (["boards", "--json", "--bogus"], "NoSuchOption", "No such option: --bogus"),
        (["boards", "a", "b", "--json"], "UsageError", "unexpected extra argument"),
        (["verify", "no/such/folder", "--json"], "BadParameter", "'no/such/folder' does not exist"),
        (["biuld", "--json"], "UsageError", "No such command 'biuld'. Did you mean 'build'?"),
    ],
)
def test_json_reports_a_mistake_in_the_arguments(arguments: list[str], kind: str, message: str) -> None:
    result = _invoke(*arguments)
    document = json.loads(result.stdout)
    assert list(document) == ["error"]
    assert (document["error"]["type"], document["error"]["exit_code"], result.exit_code) == (kind, 2, 2)
    assert message in document["error"]["message"]
    assert "Usage: " in result.stderr


@pytest.mark.parametrize("name", [getattr(known.callback, "__name__", "") for known in app.registered_commands])
def test_every_command_helps_with_examples(name: str) -> None:
    result = _invoke(name, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert f"toolflow {name}" in result.stdout
    assert "--json" in result.stdout


@pytest.mark.parametrize("spelling", ["--pattern", "--sparsity"])
def test_a_former_name_of_an_option_still_works(spelling: str, tmp_path: Path) -> None:
    """Both names set the same value. Messages and help have only the new name."""
    (tmp_path / "images.npz").touch()
    given = ["model.onnx", "--calibration", str(tmp_path / "images.npz"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["quantise", *given, spelling, "3:15"])
    assert result.exit_code == 2
    assert "--pattern: S of a pattern n:S must be a power of two, not 15" in result.output
    assert "--sparsity" not in CliRunner().invoke(app, ["quantise", "--help"]).output


def test_version() -> None:
    assert _invoke("--version").stdout.startswith("cascade-toolflow ")


def test_boards_as_table_and_as_json() -> None:
    assert "ZCU104" in _invoke("boards").stdout
    (board,) = json.loads(_invoke("boards", "zcu104", "--json").stdout)["boards"]
    assert board["usable"]["dsps"] < board["available"]["dsps"]


def test_an_unknown_board_is_a_mistake_to_mend() -> None:
    result = _invoke("boards", "zcu999")
    assert result.exit_code == 2
    assert "the board must be one of" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ("--help", set()),
        ("prune --help", {"pydantic"}),  # with which Typer reads numbers
        ("verify --help", {"pydantic"}),
        ("boards", {"pydantic", "yaml"}),
    ],
)
def test_light_commands_load_no_package_that_they_do_not_need(arguments: str, needed: set[str]) -> None:
    script = (
        f"import sys; sys.argv = ['toolflow', *'{arguments}'.split()]\n"
        "from toolflow.cli.main import main; main()\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, *(n for n in sys.modules if n.startswith('rich.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = {re.split(r"[^\w-]", text)[0] for text in project["dependencies"]}
    heavy = (packages - {"rich", "typer"}) | {"yaml", "google", "sklearn", "rich.progress"}
    assert heavy & loaded == needed


def test_ctrl_c_ends_with_130() -> None:
    script = (
        "import sys, time, typer\n"
        "from toolflow.cli.command import command\n"
        "from toolflow.cli.terminal import Terminal\n"
        "def wait(terminal: Terminal) -> None:\n"
        "    print('ready', flush=True); time.sleep(60)\n"
        "app = typer.Typer(); app.command()(command(wait)); app([])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{script}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "toolflow: interrupted\n")


def test_progress_speaks_only_of_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal_module, "PROGRESS_AFTER_S", 0.05)
    monkeypatch.setattr(terminal_module, "PLAIN_LINE_EVERY_S", 0.0)
    with Terminal().progress("blink"):
        pass
    with Terminal().progress("quantise") as step:
        step.expect(4)
        time.sleep(0.2)
        step.advance(3, doing="conv1")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "quantise: conv1 ... 0 s, 3 of 4"
    assert lines[1].startswith("quantise: 0.")
    assert len(lines) == 2


def test_outside_a_terminal_a_stage_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal_module, "PROGRESS_AFTER_S", 0.01)
    with Terminal().progress("quantise", 2) as step:
        time.sleep(0.05)
        step.advance(1)
        step.advance(1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("quantise: 0.")


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal_module, "PROGRESS_AFTER_S", 0.01)
    with Terminal().progress("quantise [a] net.py:one:") as step:
        step.expect(4)
        time.sleep(0.2)
        for _ in range(3):
            step.advance(1, doing="conv1")
            time.sleep(0.15)
    assert re.search(r"\d s left", screen.getvalue())
    assert "━" in screen.getvalue()
    assert "quantise [a] net.py:one:: conv1" in screen.getvalue()
    assert "quantise [a] net.py:one:: 0." in screen.getvalue()


def test_the_launcher_names_a_package_that_shadows_ours(tmp_path: Path) -> None:
    (tmp_path / "toolflow").mkdir()
    (tmp_path / "toolflow/__init__.py").write_text("")
    launcher = Path(cascade_toolflow.__file__).read_text()
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{launcher}\nsys.exit(main())", "boards"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"another package called toolflow, at {tmp_path}/toolflow/__init__.py" in done.stderr
    assert "pip uninstall toolflow" in done.stderr
