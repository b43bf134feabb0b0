"""The output folder is complete or untouched, runs are resumed and reused, and other files are never lost."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from toolflow.cli.terminal import Terminal
from toolflow.flow.disk import disk_full
from toolflow.flow.events import Progress
from toolflow.flow.folder import BuildFolder, open_build, record_outputs
from toolflow.flow.manifest import read_manifest
from toolflow.ir.errors import ToolflowError


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def _writer(name: str, text: str, log: list[str]) -> Callable[[Path, Progress], None]:
    def make(folder: Path, step: Progress) -> None:
        log.append(name)
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "file.txt").write_text(text)

    return make


def _run(build: BuildFolder, name: str, text: str, log: list[str], after: tuple[str, ...] = ()) -> bool:
    return build.stage(name, _writer(name, text, log), outputs=[name], inputs={"text": text}, after=after)


def _build(out: Path, terminal: Terminal, first: str = "a", second: str = "b") -> list[str]:
    log: list[str] = []
    with open_build(out, terminal) as build:
        _run(build, "first", first, log)
        _run(build, "second", second, log, after=("first",))
    return log


def _content(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_finished_build_is_in_place_and_leaves_nothing_beside(out: Path, terminal: Terminal) -> None:
    assert _build(out, terminal) == ["first", "second"]
    assert {path.name for path in out.iterdir()} == {"first", "second", "toolflow.json"}
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_second_run_reuses_what_has_not_changed_and_says_so(
    out: Path, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    _build(out, terminal)
    before = _content(out)
    capsys.readouterr()
    assert _build(out, terminal) == []
    assert "first: unchanged, reused" in capsys.readouterr().err
    assert _content(out) == before
    assert _build(out, terminal, second="c") == ["second"]
    assert (out / "second/file.txt").read_text() == "c"


def test_a_changed_stage_remakes_those_that_read_it(out: Path, terminal: Terminal) -> None:
    _build(out, terminal)
    assert _build(out, terminal, first="x") == ["first", "second"]


def test_a_stage_that_comes_out_the_same_lets_its_readers_be_reused(out: Path, terminal: Terminal) -> None:
    log: list[str] = []
    for attempt in (1, 2):
        with open_build(out, terminal) as build:
            build.stage("first", _writer("first", "same", log), outputs=["first"], inputs={"attempt": attempt})
            _run(build, "second", "b", log, after=("first",))
    assert log == ["first", "second", "first"]


def test_a_changed_input_file_counts_by_its_content(out: Path, terminal: Terminal, tmp_path: Path) -> None:
    log: list[str] = []
    images = tmp_path / "images.npz"
    for content in ("one", "one", "two"):
        images.write_text(content)
        with open_build(out, terminal) as build:
            build.stage("first", _writer("first", content, log), outputs=["first"], inputs={"images": images})
    assert log == ["first", "first"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ToolflowError])
def test_an_interrupted_build_keeps_what_was_there_and_goes_on_later(
    out: Path, terminal: Terminal, kind: type[BaseException]
) -> None:
    _build(out, terminal)
    before = _content(out)
    log: list[str] = []

    def build_until(stop: bool) -> None:
        with open_build(out, terminal) as build:
            _run(build, "first", "new", log)
            if stop:
                raise kind("stop")
            _run(build, "second", "new", log, after=("first",))

    with pytest.raises(kind) as caught:
        build_until(stop=True)
    assert _content(out) == before
    (note,) = caught.value.__notes__
    assert f"{out} is as it was" in note
    assert f"{out}.partial; the same command goes on from there" in note
    build_until(stop=False)
    assert log == ["first", "second"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert (out / "second/file.txt").read_text() == "new"


def test_a_stage_cut_off_in_the_middle_is_made_again(out: Path, terminal: Terminal) -> None:
    log: list[str] = []

    def cut_off(folder: Path, step: Progress) -> None:
        (folder / "second").mkdir()
        (folder / "second/half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_build(out, terminal) as build:
        _run(build, "first", "a", log)
        build.stage("second", cut_off, outputs=["second"], inputs={"text": "b"}, after=("first",))
    assert not out.exists()
    assert _build(out, terminal) == ["second"]
    assert not (out / "second/half.txt").exists()


def test_an_error_before_the_first_stage_leaves_nothing(out: Path, terminal: Terminal) -> None:
    with pytest.raises(ToolflowError, match="no"), open_build(out, terminal):
        raise ToolflowError("no")
    assert list(out.parent.iterdir()) == []


def test_a_folder_with_something_else_is_refused_and_untouched(out: Path, terminal: Terminal) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(ToolflowError, match="is neither empty nor an earlier build"):
        _build(out, terminal)
    assert _content(out.parent) == {"out/thesis.tex": "years of work"}


def test_a_build_whose_manifest_is_damaged_is_refused_with_the_file_and_untouched(
    out: Path, terminal: Terminal
) -> None:
    _build(out, terminal)
    (out / "toolflow.json").write_text("{")
    with pytest.raises(ToolflowError, match=r"toolflow\.json is damaged, .* another --out; .*out was left as it is"):
        _build(out, terminal)
    assert (out / "toolflow.json").read_text() == "{"


@pytest.mark.parametrize("suffix", ["partial", "previous"])
def test_a_foreign_folder_where_the_build_would_work_is_refused(out: Path, terminal: Terminal, suffix: str) -> None:
    foreign = out.with_name(f"out.{suffix}")
    foreign.mkdir()
    (foreign / "mine.txt").write_text("mine")
    with pytest.raises(ToolflowError, match=rf"out\.{suffix} is neither empty nor an earlier build"):
        _build(out, terminal)
    assert _content(out.parent) == {f"out.{suffix}/mine.txt": "mine"}


def test_a_file_in_the_place_of_the_folder_is_refused(out: Path, terminal: Terminal) -> None:
    out.write_text("file")
    with pytest.raises(ToolflowError, match="must be a folder, not the file"):
        _build(out, terminal)
    assert out.read_text() == "file"


@pytest.mark.parametrize("path", ["notes.txt", "first/file.txt", "first/deep/notes.txt"])
def test_a_users_change_to_an_earlier_build_is_not_lost(out: Path, terminal: Terminal, path: str) -> None:
    _build(out, terminal)
    (out / path).parent.mkdir(exist_ok=True)
    (out / path).write_text("by hand")
    with pytest.raises(ToolflowError, match=f"no build made or that were changed since: {path};"):
        _build(out, terminal, first="other")
    assert (out / path).read_text() == "by hand"


def test_an_empty_folder_is_taken(out: Path, terminal: Terminal) -> None:
    out.mkdir()
    _build(out, terminal)
    assert (out / "toolflow.json").is_file()


def test_damage_in_the_kept_aside_stages_is_noticed(out: Path, terminal: Terminal) -> None:
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt), open_build(out, terminal) as build:
        _run(build, "first", "a", log)
        raise KeyboardInterrupt
    (out.with_name("out.partial") / "first/file.txt").write_text("damaged")
    assert _build(out, terminal) == ["first", "second"]
    assert (out / "first/file.txt").read_text() == "a"


def test_a_swap_that_was_killed_half_way_is_mended(out: Path, terminal: Terminal) -> None:
    _build(out, terminal)
    out.rename(out.with_name("out.previous"))
    assert _build(out, terminal) == []
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_two_builds_of_one_folder_do_not_mix(out: Path, terminal: Terminal) -> None:
    with (
        open_build(out, terminal) as build,
        pytest.raises(ToolflowError, match="another build is writing"),
        open_build(out, terminal),
    ):
        raise AssertionError(build)


def test_an_input_in_the_folder_is_not_lost(out: Path, terminal: Terminal) -> None:
    _build(out, terminal)
    before = _content(out)
    used = out / "first" / "file.txt"
    with (
        pytest.raises(ToolflowError, match=r"file\.txt lies in .*out, which would be replaced"),
        open_build(out, terminal, "first", [None, used]),
    ):
        raise AssertionError(used)
    assert _content(out) == before


@pytest.mark.parametrize("suffix", ["", ".partial"])
def test_what_another_command_made_is_not_replaced(out: Path, terminal: Terminal, suffix: str) -> None:
    _build(out, terminal)
    folder = out.rename(out.with_name(f"out{suffix}"))
    before = _content(folder)
    with (
        pytest.raises(ToolflowError, match=r"holds what another command made \(first, second\)"),
        open_build(out, terminal, "measure"),
    ):
        raise AssertionError(folder)
    assert _content(folder) == before
    with open_build(out, terminal, "first") as build:
        _run(build, "first", "a", [])


def test_files_of_stages_that_are_gone_are_dropped(out: Path, terminal: Terminal) -> None:
    _build(out, terminal)
    with open_build(out, terminal) as build:
        _run(build, "first", "a", [])
    assert {path.name for path in out.iterdir()} == {"first", "toolflow.json"}


def test_a_stage_must_write_what_it_says(out: Path, terminal: Terminal) -> None:
    with (
        pytest.raises(ToolflowError, match="stage 'lazy' must write 'nothing'"),
        open_build(out, terminal) as build,
    ):
        build.stage("lazy", lambda folder, step: None, outputs=["nothing"], inputs={})


def test_later_outputs_belong_to_the_build(out: Path, terminal: Terminal) -> None:
    _build(out, terminal)
    (out / "verdict.json").write_text("{}")
    record_outputs(out, "verify", ["verdict.json"], {"images": 3}, 0.5)
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.strangers(out) == []
    _build(out, terminal, first="x")
    assert not (out / "verdict.json").exists()


def test_a_file_that_was_written_again_later_is_made_again_by_the_next_build(out: Path, terminal: Terminal) -> None:
    _build(out, terminal)
    (out / "second/file.txt").write_text("with the verdict")
    record_outputs(out, "verify", ["second/file.txt"], {}, 0.5)
    assert _build(out, terminal) == ["second"]
    assert (out / "second/file.txt").read_text() == "b"


def test_later_outputs_need_a_build(tmp_path: Path) -> None:
    with pytest.raises(ToolflowError, match="must be a folder that 'toolflow build' made"):
        record_outputs(tmp_path, "verify", [], {}, 0.0)


def test_a_stage_of_which_more_is_asked_is_made_again(out: Path, terminal: Terminal) -> None:
    """A command that needs one more output cannot reuse the stage; one that needs fewer can."""
    log: list[str] = []

    def run(outputs: list[str]) -> bool:
        def make(folder: Path, step: Progress) -> None:
            for name in outputs:
                _writer(name, name, log)(folder, step)

        with open_build(out, terminal) as build:
            return build.stage("quantise", make, outputs=outputs, inputs={})

    assert [run(["graphs"]), run(["graphs", "qonnx"]), run(["graphs"])] == [False, False, True]
    assert log == ["graphs", "graphs", "qonnx"]
    assert set(_content(out)) == {"graphs/file.txt", "qonnx/file.txt", "toolflow.json"}


@pytest.mark.parametrize("hidden", [False, True])
def test_a_full_disk_says_what_was_written_and_where(out: Path, terminal: Terminal, hidden: bool) -> None:
    """Module zipfile raises another error when it closes an archive that it could not write."""
    _build(out, terminal)
    before = _content(out)

    def fill(folder: Path, step: Progress) -> None:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            if hidden:
                raise ValueError("Can't close the ZIP file while there is an open writing handle on it")

    with pytest.raises(ToolflowError) as caught, open_build(out, terminal) as build:
        _run(build, "first", "other", [])
        build.stage("second", fill, outputs=["second"], inputs={}, after=("first",))
    said = str(caught.value)
    assert said.startswith("what 'second' makes could not be written: No space left on device (")
    assert re.search(rf" \([\d,.]+ MiB free in {out}\.partial\): make room there and run the same command again$", said)
    (note,) = caught.value.__notes__
    assert note.startswith(
        f"{out} is as it was. The finished stages (first) are in {out}.partial; the same command goes"
    )
    assert _content(out) == before
    assert _build(out, terminal, first="other") == ["second"]


def test_a_file_that_found_no_room_is_named(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.bin"
    told = disk_full(OSError(errno.EDQUOT, "quota", str(path)), "a file", ())
    assert str(told).startswith(f"{path} could not be written: {os.strerror(errno.EDQUOT)} (")
    assert disk_full(OSError(errno.ENOENT, "no such file", str(path)), "a file", (tmp_path,)) is None
