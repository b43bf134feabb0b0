"""A differing network fails its engine's test with its name, and passed networks are counted."""

from __future__ import annotations

import pytest

from tests.conformance.part import PROPERTY, Part, summary


def test_a_difference_is_named_behind_the_networks_that_follow(request: pytest.FixtureRequest) -> None:
    part = Part("program", "wide")
    with part.cell("add/plain", "random"):
        raise AssertionError("Mismatched elements: 1 / 6")
    with part.cell("conv/strided", "extreme"):
        pass
    with pytest.raises(AssertionError, match="1 networks differ\nadd/plain, random: AssertionError: Mismatched"):
        part.end(request)
    assert part.cases == ["conv/strided"]


def test_a_part_without_a_network_fails(request: pytest.FixtureRequest) -> None:
    with pytest.raises(AssertionError, match="no network was compared"):
        Part("program", "wide").end(request)


def test_the_summary_counts_operators_engines_and_networks() -> None:
    def report(shape: str, cases: list[str]) -> pytest.TestReport:
        made = pytest.TestReport("one", ("", 0, ""), {}, "passed", None, "call")
        made.user_properties = [("other", 1), (PROPERTY, ["hls", shape, cases])]
        return made

    reports = [report("wide", ["add/a", "add/b", "conv/c"]), report("odd", ["conv/c"])]
    assert summary(reports) == ["hls: 2 operators × 2 engines, 4 networks equal"]
    assert summary([]) == []
