"""Notes and progress of a run, as data. The command line draws them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """The progress of one piece of work."""

    def expect(self, total: int) -> None:
        """Say how many units of work there are, once that is known."""

    def advance(self, amount: int = 1, doing: str = "") -> None:
        """Report that `amount` more units are done, and what is being done now."""

    def note(self, text: str) -> None:
        """Tell the user one sentence."""


class Events(Protocol):
    """Who is told what a run does."""

    def note(self, text: str) -> None:
        """Tell the user one sentence."""

    def progress(self, what: str, total: int | None = None) -> AbstractContextManager[Progress]:
        """Report the piece of work that a `with` block does.

        Args:
            what: a verb and its object, for example "quantise resnet20".
            total: units of work, if they are known.
        """


class Silent:
    """Events that nobody is told: the default of a script."""

    def note(self, text: str) -> None:
        """Drop the sentence."""

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Progress]:
        """Report nothing."""
        yield _SilentProgress()


class _SilentProgress:
    def expect(self, total: int) -> None:
        pass

    def advance(self, amount: int = 1, doing: str = "") -> None:
        pass

    def note(self, text: str) -> None:
        pass


SILENT: Events = Silent()
