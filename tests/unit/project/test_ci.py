"""The rules of the test run: a skip in CI fails, and long tests run only on request."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SLOWEST_FILES

REPOSITORY = Path(__file__).resolve().parents[3]
SUITE = """
import pytest

def test_passes(): pass

def test_skips(): pytest.skip("no tool")

@pytest.mark.skip(reason="by a mark")
def test_is_marked(): pass

def test_wants_data(shared_data): assert shared_data.is_dir()

@pytest.mark.long
def test_is_long(): pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A small repository with this project's conftest and without real data."""
    tests = tmp_path / "repository/tests"
    tests.mkdir(parents=True)
    shutil.copyfile(REPOSITORY / "tests/conftest.py", tests / "conftest.py")
    (tests / "conformance").mkdir()
    shutil.copyfile(REPOSITORY / "tests/conformance/part.py", tests / "conformance/part.py")
    shutil.copyfile(REPOSITORY / "pyproject.toml", tests.parent / "pyproject.toml")
    (tests / "test_suite.py").write_text(SUITE)
    return tests.parent


def _pytest(folder: Path, *options: str, **variables: str) -> tuple[int, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TOOLFLOW", "CI"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_developer_may_skip(suite: Path) -> None:
    code, out = _pytest(suite)
    assert code == 0
    assert "1 passed, 3 skipped, 1 deselected" in out
    assert "no real data at" in out
    assert "set TOOLFLOW_SHARED_DATA" in out


def test_ci_refuses_every_kind_of_skip(suite: Path) -> None:
    code, out = _pytest(suite, "-n", "2", "--dist", "loadfile", CI_NO_SKIP="1")
    assert code == 1
    assert "skipped" not in out.splitlines()[-1]
    assert out.count("skipped, which is not allowed here:") >= 3
    for reason in ("no tool", "by a mark", "no real data at"):
        assert reason in out


def test_ci_refuses_a_module_that_skips_itself(suite: Path) -> None:
    module = 'import pytest\npytest.importorskip("no_such_module")\n\ndef test_passes(): pass\n'
    (suite / "tests/test_suite.py").write_text(module)
    assert _pytest(suite)[0] == 5
    code, out = _pytest(suite, CI_NO_SKIP="1")
    assert code not in (0, 5)
    assert "no_such_module" in out


def test_named_data_is_used(suite: Path, tmp_path: Path) -> None:
    _, out = _pytest(suite, TOOLFLOW_SHARED_DATA=str(tmp_path))
    assert "2 passed, 2 skipped" in out


def test_long_tests_run_when_asked_for(suite: Path) -> None:
    assert "2 passed, 3 skipped" in _pytest(suite, "--run-long")[1]


def test_a_test_that_takes_too_long_is_named(suite: Path) -> None:
    conftest = suite / "tests/conftest.py"
    text = conftest.read_text()
    assert text.count("LONG_SECONDS = 60") == 1
    conftest.write_text(text.replace("LONG_SECONDS = 60", "LONG_SECONDS = 0"))
    _, output = _pytest(suite, "-k", "passes")
    assert "test_passes took 0 s, of 0 on two idle cores: shorten it, or mark it long" in output
    conftest.write_text(text)
    _, output = _pytest(suite, "-k", "passes")
    assert "shorten it" not in output


def test_the_slowest_files_run_first(suite: Path) -> None:
    assert [name for name in SLOWEST_FILES if not (REPOSITORY / name).is_file()] == []
    for name in ("tests/another/test_other.py", SLOWEST_FILES[1], SLOWEST_FILES[0]):
        (suite / name).parent.mkdir(exist_ok=True)
        (suite / name).write_text("def test_passes(): pass\n")
    collected = _pytest(suite, "--collect-only", "-q")[1].splitlines()
    assert [line.partition("::")[0] for line in collected[:3]] == [*SLOWEST_FILES[:2], "tests/another/test_other.py"]
