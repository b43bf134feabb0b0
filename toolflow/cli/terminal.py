"""The output of a command: results go to stdout; notes, progress and errors go to stderr."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PROGRESS_AFTER_S = 2.0
PLAIN_LINE_EVERY_S = 60.0
_PIPE_WIDTH = 160  # characters in a table that goes to a file or a pipe


class Terminal:
    """The two streams of one command.

    Args:
        as_json: results are one JSON document instead of text.
        debug: errors are shown with their trace.
    """

    def __init__(self, as_json: bool = False, debug: bool = False) -> None:
        self.as_json = as_json
        self.debug = debug
        self.has_result = False
        # emoji=False: file.py:one:.. is a place, not a picture
        self._out = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False, emoji=False)
        self._err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)

    def result(self, document: Mapping[str, Any], *shown: RenderableType) -> None:
        """Print the command's result: `document` as JSON if that was asked for, else what is `shown`."""
        self.has_result = True
        if self.as_json:
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
            return
        for item in shown:
            if isinstance(item, str):
                self._out.print(item, markup=False, soft_wrap=True)
            else:
                self._out.print(item)

    def note(self, text: str) -> None:
        """Print one line for the person at the terminal, on stderr."""
        self._err.print(text, markup=False)

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Step]:
        """Show how far `what` is, from the moment on that it has taken two seconds.

        On a terminal a bar with the time left that disappears at the end, elsewhere a line each minute; in both cases
        one line at the end that says how long it took.

        Args:
            what: a verb and its object, for example "quantise resnet20".
            total: units of work, if they are known; the body reports them by `Step.advance`.
        """
        step = Step(what, total, self._err)
        timer = threading.Timer(PROGRESS_AFTER_S, step.appear)
        timer.daemon = True
        timer.start()
        finished = False
        try:
            yield step
            finished = True
        finally:
            timer.cancel()
            step.close(finished)


class Step:
    """One piece of work under way; `Terminal.progress` makes it."""

    def __init__(self, what: str, total: int | None, console: Console) -> None:
        self._what = what
        self._total = total
        self._console = console
        self._done = 0
        self._doing = ""
        self._start = self._last_line = time.monotonic()
        self._lock = threading.Lock()
        self._closed = False
        self._visible = False
        self._bar: tuple[Progress, TaskID] | None = None

    def expect(self, total: int) -> None:
        """Say how many units of work there are, if that is known only now."""
        with self._lock:
            self._total = total
            if self._bar is not None:
                self._bar[0].update(self._bar[1], total=total)

    def advance(self, amount: int = 1, doing: str = "") -> None:
        """Report that so many more units are done, and what is done now."""
        with self._lock:
            self._done += amount
            self._doing = doing
            if self._bar is not None:
                described = self._described()
                self._bar[0].update(self._bar[1], completed=self._done, description=described, left=self._left())
            elif self._visible and time.monotonic() - self._last_line >= PLAIN_LINE_EVERY_S:
                self._line()

    def note(self, text: str) -> None:
        """Print one line above the bar, as `Terminal.note` does."""
        self._console.print(text, markup=False)

    def appear(self) -> None:
        """Begin to show the work; the timer's thread calls this."""
        with self._lock:
            if self._closed:
                return
            self._visible = True
            if not self._console.is_terminal:
                return
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            what, left = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[left]}"))
            bar = Progress(what, BarColumn(), TimeElapsedColumn(), left, console=self._console, transient=True)
            task = bar.add_task(self._described(), total=self._total, completed=self._done, left=self._left())
            self._bar = bar, task
            bar.start()

    def close(self, finished: bool) -> None:
        """Stop showing the work, and say how long it took if it was shown and has come to its end."""
        with self._lock:
            self._closed = True
            if self._bar is not None:
                self._bar[0].stop()
            if self._visible and finished:
                self._console.print(f"{self._what}: {time.monotonic() - self._start:.1f} s", markup=False)

    def _described(self) -> str:
        return f"{self._what}: {self._doing}" if self._doing else self._what

    def _left(self) -> str:
        """Return how long the rest will take if it goes on as so far, "" if that is not known."""
        if not self._total or not self._done:
            return ""
        seconds = (time.monotonic() - self._start) / self._done * max(self._total - self._done, 0)
        return f"{seconds:.0f} s left" if seconds < 60 else f"{seconds / 60:.0f} min left"

    def _line(self) -> None:
        self._last_line = time.monotonic()
        share = f", {self._done} of {self._total}" if self._total else ""
        self._console.print(f"{self._described()} ... {self._last_line - self._start:.0f} s{share}", markup=False)
