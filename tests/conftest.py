"""Shared by all tests: data, markers, determinism, and the rule that CI skips no test."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # one core each: before numpy and torch read it
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

import pytest
from hypothesis import settings

from tests.conformance.part import summary

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA_VARIABLE = "TOOLFLOW_SHARED_DATA"
NO_SKIP_VARIABLE = "CI_NO_SKIP"
LONG_SECONDS = 60  # of one test, on two idle cores
# The files that take the longest, first: workers share the tests by file, and a long one that begins last keeps a
# single worker busy.
SLOWEST_FILES = (
    "tests/conformance/test_simulated_levels.py",
    "tests/conformance/test_simulated_tile_levels.py",
    "tests/conformance/test_hls_level.py",
    "tests/conformance/test_program_level.py",
    "tests/end_to_end/test_digits.py",
    "tests/unit/emit/test_intervals.py",
    "tests/cli/test_cli_prune.py",
    "tests/conformance/test_rtl_bands.py",
    "tests/rtl/test_chain.py",
    "tests/rtl/test_two_precisions.py",
    "tests/rtl/test_rtl_modules_tile.py",
    "tests/rtl/test_rtl_modules.py",
)

# The same examples in every run, whatever the machine's speed; no files left behind.
settings.register_profile("toolflow", derandomize=True, deadline=None, database=None, max_examples=50)
settings.load_profile("toolflow")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("toolflow")
    group.addoption("--run-long", action="store_true", help="also run the tests marked long")
    group.addoption("--run-browser", action="store_true", help="also run the tests marked browser")
    group.addoption(
        "--fail-on-skip",
        action="store_true",
        default=os.environ.get(NO_SKIP_VARIABLE, "") not in ("", "0"),
        help=f"a skipped test fails (also with {NO_SKIP_VARIABLE}=1)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slowest files first, and deselect long tests and those of a browser unless they are requested.

    A deselected test is not a skipped one.
    """
    rank = {name: number for number, name in enumerate(SLOWEST_FILES)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
    marks = [mark for mark in ("long", "browser") if not config.getoption(f"--run-{mark}")]
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in marks)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure if no test may be skipped."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--fail-on-skip"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is not allowed here: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure if no test may be skipped."""
    report = yield
    if report.skipped and collector.config.getoption("--fail-on-skip"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is not allowed here: {_reason(report.longrepr)}"
    return report


def _reason(longrepr: object) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report what the conformance suites compared, and which tests should be marked as long."""
    passed = terminalreporter.stats.get("passed", [])
    for line in summary(passed):
        terminalreporter.write_line(f"conformance of {line}")
    ran = [*passed, *terminalreporter.stats.get("failed", [])]
    for report in ran:
        if report.duration > LONG_SECONDS and "long" not in report.keywords:
            taken = f"{report.nodeid} took {report.duration:.0f} s, of {LONG_SECONDS} on two idle cores"
            terminalreporter.write_line(f"{taken}: shorten it, or mark it long")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and pretrained weights; without it the test is skipped."""
    named = os.environ.get(SHARED_DATA_VARIABLE)
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set {SHARED_DATA_VARIABLE} to its folder")
    return folder


@pytest.fixture(scope="session")
def simulators(request: pytest.FixtureRequest) -> Path:
    """The folder of built simulators. They are reused in later runs while their sources and tools are unchanged."""
    cache = request.config.cache
    assert cache is not None
    return cache.mkdir("simulators")
