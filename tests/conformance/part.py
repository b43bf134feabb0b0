"""The part of the conformance matrix that one engine compares, and the summary over all engines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

PROPERTY = "conformance"
NAMED = 10  # of the networks that differ, in the message


class Part:
    """One engine's part of the matrix on one level: every network is compared before a difference ends the test.

    Attributes:
        level: its name.
        shape: the engine.
        cases: "operator/case" of every network that was equal.
        differing: what was wrong with the others.
    """

    def __init__(self, level: str, shape: str) -> None:
        self.level, self.shape = level, shape
        self.cases: list[str] = []
        self.differing: list[str] = []

    @contextmanager
    def cell(self, case: str, data: str) -> Iterator[None]:
        """Compare one network in a `with` block."""
        try:
            yield
        except Exception as error:  # whatever it is, the other networks are compared too
            self.differing.append(f"{case}, {data}: {type(error).__name__}: {error}")
        else:
            self.cases.append(case)

    def end(self, request: pytest.FixtureRequest) -> None:
        """Fail if a network differed; otherwise record what was compared for the summary."""
        assert not self.differing, "\n".join([f"{len(self.differing)} networks differ", *self.differing[:NAMED]])
        assert self.cases, "no network was compared"
        request.node.user_properties.append((PROPERTY, [self.level, self.shape, self.cases]))


def summary(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return a line for each level: how many operators, engines and networks the passed tests of a run compared."""
    engines: dict[str, set[str]] = {}
    cases: dict[str, list[str]] = {}
    for report in reports:
        for name, value in report.user_properties:
            if name == PROPERTY and isinstance(value, list):
                level, shape, compared = value
                engines.setdefault(level, set()).add(shape)
                cases.setdefault(level, []).extend(compared)
    lines = []
    for level, shapes in engines.items():
        operators = {case.partition("/")[0] for case in cases[level]}
        equal = f"{len(cases[level]):,} networks equal"
        lines.append(f"{level}: {len(operators)} operators × {len(shapes)} engines, {equal}")
    return lines
