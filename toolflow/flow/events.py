"""Notes and progress of a run, as data. The command line draws them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """The progress of one piece of work."""

    def expect(self, total: int) -> None:
        """Set the number of units of work, once it is known."""

    def advance(self, amount: int = 1, doing: str = "") -> None:
        """Report that `amount` more units are done, and the current work."""

    def note(self, text: str) -> None:
        """Report one sentence to the user."""


class Events(Protocol):
    """The receiver of a run's notes and progress."""

    def note(self, text: str) -> None:
        """Report one sentence to the user."""

    def progress(self, what: str, total: int | None = None) -> AbstractContextManager[Progress]:
        """Report the progress of the work in a `with` block.

        Args:
            what: a verb and its object, for example "quantise resnet20".
            total: units of work, if they are known.
        """


class Silent:
    """A receiver that drops everything: the default of a script."""

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
