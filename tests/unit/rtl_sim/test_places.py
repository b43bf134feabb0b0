"""Simulators are built beside the project, or elsewhere if make cannot build there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtl_sim.simulate.places import cache_folder, is_buildable, work_folder


@pytest.mark.parametrize(
    "name", ["a b", "a#b", "a'b", 'a"b', "a$b", "a%b", "a&b", "a:b", "a;b", "a(b", "a\\b", "é", "~"]
)
def test_make_or_the_shell_would_read_these_otherwise(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert not is_buildable(tmp_path / name)
    folder = work_folder(tmp_path / name / "out")
    assert folder.is_dir()
    assert folder.parent == tmp_path / "cache" / "cascade-toolflow" / "projects"
    assert folder == work_folder(tmp_path / name / "out")
    assert folder != work_folder(tmp_path / name / "other")


def test_simulators_lie_beside_the_project_where_make_can_build(tmp_path: Path) -> None:
    assert work_folder(tmp_path / "out-2.1") == tmp_path / "out-2.1.simulators"


def test_a_cache_that_make_cannot_use_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "Jane Doe"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert cache_folder() == tmp_path / "temporary" / f"cascade-toolflow-{os.getuid()}"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary files"))
    assert cache_folder() == Path("/tmp") / f"cascade-toolflow-{os.getuid()}"


def test_simulators_of_a_project_on_a_disk_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The superuser may write anywhere, so the system's answer is replaced."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    writable = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "shared" and writable(path, mode))
    (tmp_path / "shared").mkdir()
    assert work_folder(tmp_path / "shared" / "out").parent == tmp_path / "cache" / "cascade-toolflow" / "projects"
