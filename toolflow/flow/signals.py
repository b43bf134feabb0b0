"""Ctrl-C and `kill`: the command ends with the signal's exit code, and no child process remains.

A library may swallow KeyboardInterrupt: Brevitas imports others under a bare `except`, and Python drops what a
destructor raises. An interrupt that does not arrive is therefore raised again until it does.

Only the standard library is imported here: the handlers stand before anything else is loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "the terminal was closed"}
DEFERRED = {*ENDINGS, signal.SIGALRM}  # blocked where work must not be cut in two
AGAIN_S = 0.1
_PR_SET_CHILD_SUBREAPER = 36
_KILL_LIMIT_S = 5.0

_asked: signal.Signals | None = None


def exit_code(asked: signal.Signals) -> int:
    """Return the exit code of a command that a signal ended, as shells count it."""
    return 128 + asked


def guarded(run: Callable[[], int]) -> int:
    """Run the command line so that a signal ends it, and every process below it, and return the exit code."""
    _watch()
    code = 1
    try:
        code = run()
    except KeyboardInterrupt:  # before a command has begun, or after its end
        pass
    finally:
        asked = settle()
        end_children()
    if asked is None or code == exit_code(asked):
        return code
    print(f"toolflow: {ENDINGS[asked]}", file=sys.stderr)
    return exit_code(asked)


def settle() -> signal.Signals | None:
    """Return the signal that asked this command to end, None if none did; it is not raised again from now on."""
    if _asked is not None:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return _asked


def _watch() -> None:
    """Install the handlers; a signal that is ignored, as SIGINT is in the background, stays so."""
    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _again)
    sys.unraisablehook = _say_unraisable
    if sys.platform == "linux":  # what a killed `make` leaves behind becomes a child of this process
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    global _asked  # a signal handler has no other place
    _asked = _asked or signal.Signals(number)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
    raise KeyboardInterrupt


def _again(_number: int, _frame: FrameType | None) -> None:
    error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
    while error is not None:  # a handler or a `finally` is at work: the interrupt is on its way
        if isinstance(error, KeyboardInterrupt):
            return
        error = error.__context__
    raise KeyboardInterrupt


def _say_unraisable(problem: Any) -> None:
    """Say nothing of an interrupt in a destructor: it is raised again."""
    if not isinstance(problem.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(problem)


def end_children() -> None:
    """Kill every process below this one, until there is none."""
    deadline = time.monotonic() + _KILL_LIMIT_S
    while (found := _descendants()) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def _descendants() -> set[int]:
    """Return the living processes below this one."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(path.parent.name)] = int(parent)
    below, found = {os.getpid()}, set[int]()
    while below := {process for process, parent in parents.items() if parent in below}:
        found |= below
    return found
