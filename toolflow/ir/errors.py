"""Errors that a user can fix; the command line prints them without a trace."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

# what numpy and zipfile raise for files that are truncated, encrypted, damaged or too large for the memory
UNREADABLE = (
    OSError, ValueError, EOFError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, MemoryError,
    SyntaxError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class ToolflowError(Exception):
    """Base of every error that ends in one clear message and a non-zero exit code."""

    exit_code = 2


class DoesNotFitError(ToolflowError):
    """The design needs more of a resource than the board or the engine has."""

    exit_code = 3


class VerificationError(ToolflowError):
    """Two levels that must give the same bits did not."""

    exit_code = 4


class NotRunError(ToolflowError):
    """A level could not be run, for example because its simulator does not compile. No integer was compared."""

    exit_code = 5


class UnknownShapeError(ToolflowError):
    """A model whose input has no fixed shape."""


UNHANDLED = "the operator"  # the value of a problem whose operator itself is at fault


@dataclass(frozen=True)
class Problem:
    """One offending place of a model.

    Attributes:
        node: the node's name as the user knows it.
        operator: the operator as the source format calls it.
        attribute: the attribute at fault, or "" if the operator itself is.
        value: the value found, as text.
        allowed: the supported values, as text.
        rewrite: how to change the model, or "".
    """

    node: str
    operator: str
    attribute: str
    value: str
    allowed: str
    rewrite: str = ""

    def __str__(self) -> str:
        return self.text()

    def text(self, allowed: bool = True) -> str:
        """Return the problem in one line, with what is allowed or without."""
        what = f"{self.attribute} = {self.value}" if self.attribute else self.value
        instead = f", allowed: {self.allowed}" if allowed else ""
        hint = f"; {self.rewrite}" if self.rewrite else ""
        return f"{self.operator} '{self.node}': {what} is not handled{instead}{hint}"


class UnsupportedModelError(ToolflowError):
    """A model that holds operators or attribute values outside the supported set.

    The list of all operators is long: where several operators are at fault, it follows them once.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        operators = [problem for problem in self.problems if problem.value == UNHANDLED]
        once = {problem.allowed for problem in operators} if len(operators) > 1 else set()
        lines = [f"  {problem.text(problem.allowed not in once)}" for problem in self.problems]
        lines += [f"operators that are handled: {allowed}" for allowed in sorted(once)]
        title = f"the model holds {len(self.problems)} thing(s) that cannot be imported:"
        super().__init__("\n".join([title, *lines]))


def explained(error: ValidationError) -> str:
    """Return one sentence about the values that a pydantic model refused."""
    problems = []
    for problem in error.errors():
        place = ".".join(map(str, problem["loc"]))
        text = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{place}: {text}, not {problem['input']!r}" if place else text)
    return f"{error.title}: {'; '.join(problems)}"
