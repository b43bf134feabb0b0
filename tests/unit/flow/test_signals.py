"""Signals at awkward moments: exit code, message, and no remaining process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 180.0

COMMAND = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
import typer
from toolflow.cli.command import command
from toolflow.flow.signals import guarded
from toolflow.cli.terminal import Terminal


def work(terminal: Terminal) -> None:
    {body}
    time.sleep(20)
    print("went on", flush=True)


def run():
    app = typer.Typer()
    app.command()(command(work))
    try:
        app([])
    except SystemExit as end:
        return end.code


sys.exit(guarded(run))
"""

SWALLOWED = """
    try:
        print("ready", flush=True)
        time.sleep(60)
    except:
        pass
"""
IN_A_DESTRUCTOR = """
    class Slow:
        def __del__(self):
            print("ready", flush=True)
            time.sleep(60)
    slow = Slow()
    del slow
"""
MADE_ANOTHER_ERROR = """
    try:
        print("ready", flush=True)
        time.sleep(60)
    except BaseException:
        raise ImportError("numpy cannot be loaded twice")
"""
SLOW_CLEANING = """
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.5)
        print("cleaned", flush=True)
"""


def start(body: str) -> subprocess.Popen[str]:
    """Start a command with this body, and return when it reports that it is ready."""
    script = COMMAND.format(body=body.strip())
    process = subprocess.Popen([sys.executable, "-c", script], stdout=-1, stderr=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def alive(process: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "the terminal was"),
    ],
)
@pytest.mark.parametrize("body", [SWALLOWED, IN_A_DESTRUCTOR, MADE_ANOTHER_ERROR])
def test_a_signal_that_a_library_swallows_still_ends_the_command(
    body: str, number: signal.Signals, code: int, text: str
) -> None:
    with start(body) as process:
        process.send_signal(number)
        said, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said) == (code, "")
    assert errors.startswith(f"toolflow: {text}")
    assert "Traceback" not in errors
    assert "defect" not in errors


def test_cleaning_up_is_not_cut_short() -> None:
    with start(SLOW_CLEANING) as process:
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said, errors) == (130, "cleaned\n", "toolflow: interrupted\n")


def test_no_process_outlives_the_command(tmp_path: Path) -> None:
    """A shell with a child of its own, as `make` with g++: killing the shell alone would leave the child."""
    listed = tmp_path / "processes"
    shell = f"sleep 300 > /dev/null 2>&1 & echo $$ $! > {listed}; echo ready; wait"
    with start(f"subprocess.run(['sh', '-c', {shell!r}])") as process:
        processes = [int(text) for text in listed.read_text().split()]
        assert all(map(alive, processes))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, errors) == (143, "toolflow: terminated\n")
    assert not any(map(alive, processes))


def test_an_interrupt_while_brevitas_is_imported_arrives() -> None:
    """Brevitas imports fast_hadamard_transform under a bare `except`: there the signal comes."""
    body = """
    class Interrupting:
        def find_spec(self, name, path, target=None):
            if name == "fast_hadamard_transform":
                print("ready", flush=True)
                signal.raise_signal(signal.SIGINT)
    sys.meta_path.insert(0, Interrupting())
    import quant.exchange.brevitas_model
    import quant.quantise
    import brevitas.graph.hadamard
    """
    with start(body) as process:
        said, errors = process.communicate(timeout=LIMIT_S)
    told = [line for line in errors.splitlines() if "No CUDA runtime is found" not in line]  # torch's, beside nvcc
    assert (process.returncode, told) == (130, ["toolflow: interrupted"])
    assert set(said.split()) <= {"ready"}  # once for each time that Brevitas asks


def test_an_ignored_signal_stays_ignored() -> None:
    script = "import os, signal, sys; from toolflow.flow.signals import guarded\n"
    script += "def run():\n    os.kill(os.getpid(), signal.SIGINT)\n    return 7\n"
    script += "signal.signal(signal.SIGINT, signal.SIG_IGN); sys.exit(guarded(run))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 7


def test_a_signal_before_the_command_line_is_there_ends_with_its_code() -> None:
    script = "import os, signal, sys; from toolflow.flow.signals import guarded\n"
    script += "def run():\n    os.kill(os.getpid(), signal.SIGTERM)\n    return 7\nsys.exit(guarded(run))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (143, "toolflow: terminated\n")
