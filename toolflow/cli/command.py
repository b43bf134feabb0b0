"""The parts that all commands share: `--json`, `--debug`, and the error handler that sets the exit code.

Exit codes: 0 done; 1 a defect of the toolflow; 2 invalid input, or damaged files; 3 the
design does not fit; 4 verification found a difference; 5 a level could not be run, and none differed; 130
interrupted, 143 terminated.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from typer.core import TyperGroup

from toolflow.cli.terminal import Terminal
from toolflow.flow.disk import disk_full
from toolflow.flow.signals import ENDINGS, exit_code, settle
from toolflow.ir.errors import ToolflowError, UnsupportedModelError, explained

DONE = 0
DEFECT = 1
USER_MISTAKE = 2
INTERRUPTED = 130

_Parameters = ParamSpec("_Parameters")

_JSON = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
_DEBUG = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def command(run: Callable[Concatenate[Terminal, _Parameters], None]) -> Callable[..., None]:
    """Make a function whose first parameter is the terminal into one that Typer can register.

    The new function has the same parameters without the terminal, and `--json` and `--debug`. It
    never returns: it ends in `typer.Exit` with the exit code.
    """
    _, *parameters = inspect.signature(run, eval_str=True).parameters.values()
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in (("as_json", _JSON), ("debug", _DEBUG))
    ]

    @functools.wraps(run)
    def guarded(**arguments: Any) -> None:
        terminal = Terminal(arguments.pop("as_json"), arguments.pop("debug"))
        raise typer.Exit(_exit_code(terminal, functools.partial(run, terminal, **arguments)))

    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    guarded.__signature__ = inspect.Signature([*keywords, *shared])  # type: ignore[attr-defined]  # as inspect reads it
    guarded.__annotations__ = {parameter.name: parameter.annotation for parameter in (*keywords, *shared)}
    return guarded


class Application(TyperGroup):
    """The commands together: a mistake in the arguments themselves is a document too, where `--json` is among them."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the options that stand in front of the command's name."""
        self._as_json = "--json" in args
        with self._documented():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Read the command's name and its arguments, and run it."""
        with self._documented():
            return super().invoke(ctx)

    @contextmanager
    def _documented(self) -> Iterator[None]:
        """Write the document of an error that Typer then prints on stderr."""
        try:
            yield
        except typer.TyperException as error:
            if self._as_json:
                Terminal(as_json=True).result(_document(error, error.format_message(), error.exit_code))
            raise


def _exit_code(terminal: Terminal, run: Callable[[], None]) -> int:
    """Run the command and return its exit code; the single error handler of the command line."""
    try:
        run()
        sys.stdout.flush()
        return DONE
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, Exception) as error:
        return _report(terminal, error, *_explained(error, terminal.debug))


def _explained(error: BaseException, debug: bool) -> tuple[str, int]:
    """Return what to say of an error, and the exit code."""
    asked = settle()
    if asked is not None:  # whatever a library made of the interrupt
        return ENDINGS[asked], exit_code(asked)
    if isinstance(error, ToolflowError):
        return str(error), error.exit_code
    full = disk_full(error, "a file", (Path.cwd(), Path(tempfile.gettempdir())))
    if full is not None:
        return str(full), full.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ENDINGS[signal.SIGINT], INTERRUPTED
    from pydantic import ValidationError  # not for the commands that end well

    if isinstance(error, ValidationError):  # values that options handed to a configuration
        return explained(error), USER_MISTAKE
    if isinstance(error, OSError):
        return str(error), USER_MISTAKE
    text = f"this is a defect of the toolflow, please report it: {type(error).__name__}: {error}"
    return text if debug else f"{text}\n--debug shows the trace", DEFECT


def _report(terminal: Terminal, error: BaseException, message: str, code: int) -> int:
    if terminal.debug:
        terminal.note("".join(traceback.format_exception(error)).rstrip())
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    terminal.note("\n".join([f"toolflow: {message}", *notes]))
    if terminal.as_json and not terminal.has_result:
        terminal.result(_document(error, message, code))
    return code


def _document(error: BaseException, message: str, code: int) -> dict[str, Any]:
    document: dict[str, Any] = {"type": type(error).__name__, "message": message, "exit_code": code}
    if isinstance(error, UnsupportedModelError):
        document["problems"] = [asdict(problem) for problem in error.problems]
    return {"error": document}
