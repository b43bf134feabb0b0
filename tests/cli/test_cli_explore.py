"""`toolflow explore`: the front over networks and boards, runs that go on, and bad input."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from distributed import LocalCluster
from typer.testing import CliRunner, Result

import quant.mechanisms.search.cluster
import toolflow.flow.runs.explore
from examples import digits
from quant.exchange.float_onnx import save_onnx
from toolflow.cli.main import app
from toolflow.flow import ExploreRequest, explore
from toolflow.importers.load import load_model
from toolflow.ir.errors import ToolflowError
from toolflow.plan.explore.choose import timed_engines

ENGINE = "lanes_k=8,slots=2,sub_row=8,drain_k=2,stripes=false"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["explore", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("explore")
    torch.manual_seed(0)
    safetensors.torch.save_file(digits.digits().state_dict(), made / "digits.safetensors")
    save_onnx(load_model(f"{digits.__file__}:digits", made / "digits.safetensors", None, None), made / "digits.onnx")
    x, y = digits.split()["calibration"]
    np.savez(made / "some.npz", x=x[:120], y=y[:120], mean=np.array([digits.MEAN]), std=np.array([digits.STD]))
    return made


@pytest.fixture(scope="module")
def explored(folder: Path) -> Path:
    """An exploration in this process; its networks are what other tests begin with."""
    out = folder / "out"
    given = ["--calibration", folder / "some.npz", "--board", "pynq-z2,ulx3s-85f", "--engine", ENGINE]
    result = run(folder / "digits.onnx", *given, "--bits", "8,4", "--workers", 1, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_a_front_over_two_widths_and_two_boards(explored: Path) -> None:
    found = json.loads((explored / "explore.json").read_text())
    points = found["points"]
    assert {(point["network"], point["board"]) for point in points} == {
        (f"digits, {bits} bits", board) for bits in (8, 4) for board in ("PYNQ-Z2", "ULX3S-85F")
    }
    for point in points:
        here = point["accuracy"], point["images_per_second"], -point["area"]
        others = [(other["accuracy"], other["images_per_second"], -other["area"]) for other in points]
        surpassed = any(there != here and all(np.array(there) >= here) for there in others)
        assert point["on_front"] is not surpassed
        assert 0 < point["area"] <= 1
        assert point["area"] == max(point["shares"].values())
    with (explored / "explore.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(points)
    page = (explored / "explore.html").read_text()
    assert "Engines on the front" in page
    assert "https://cdn" not in page


def test_what_was_planned_is_kept(
    explored: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second board is lost on the way; the same command plans it alone, and gives what a whole run gives."""
    (quantised,) = (explored / "networks").glob("*-8")
    asked = ExploreRequest([str(quantised)], ["pynq-z2", "ulx3s-85f"], engine={"lanes_k": 8, "slots": 2, "drain_k": 2})
    planned: list[object] = []
    plan = timed_engines

    def until(boards: int) -> None:
        def timed(graph: object, bits: int, fixed: object, board: object, **more: object) -> object:
            if len(planned) == boards:
                raise KeyboardInterrupt
            planned.append(board)
            return plan(graph, bits, fixed, board, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(toolflow.flow.runs.explore, "timed_engines", timed)

    until(1)
    with pytest.raises(KeyboardInterrupt):
        explore(asked, tmp_path / "out")
    until(6)
    found = explore(asked, tmp_path / "out")
    assert len(planned) == 6  # three shares of each board
    assert explore(asked, tmp_path / "out") == found  # nothing is planned any more
    assert {point.board for point in found.points} == {"PYNQ-Z2", "ULX3S-85F"}


def test_processes_and_a_cluster_give_the_same(explored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (quantised,) = (explored / "networks").glob("*-8")
    given = [quantised, "--board", "pynq-z2", "--engine", ENGINE]
    whole = [
        point
        for point in json.loads((explored / "explore.json").read_text())["points"]
        if (point["network"], point["board"]) == ("digits, 8 bits", "PYNQ-Z2")
    ]
    quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, **quiet) as cluster:
        for number, workers in enumerate((2, cluster.scheduler_address)):
            result = run(*given, "--workers", workers, "--out", tmp_path / str(number))
            assert result.exit_code == 0, result.output
            points = json.loads((tmp_path / str(number) / "explore.json").read_text())["points"]
            assert [point["engine"] for point in points] == [point["engine"] for point in whole]
    monkeypatch.setattr(quant.mechanisms.search.cluster, "PATIENCE_S", 0.1)
    result = run(*given, "--workers", "tcp://127.0.0.1:9", "--out", tmp_path / "away")
    assert result.exit_code == 2
    assert "--workers tcp://127.0.0.1:9: no Dask scheduler answers there" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--board", "nothere"], "nothere"),
        (["--board", "pynq-z2,pynq-z2"], "--board must name each once: pynq-z2, pynq-z2"),
        (["--board", "pynq-z2", "--bits", "9"], "--bits must be a whole number from 2 to 8, not 9"),
        (["--board", "pynq-z2", "--bits", "few"], "--bits must be whole numbers, for example 8,4, not 'few'"),
        (["--board", "pynq-z2", "--workers", "there"], "--workers must be a number or tcp://HOST:PORT, not 'there'"),
        (["--board", "pynq-z2"], "--calibration must be given: digits.onnx is not a folder of 'toolflow quantise'"),
    ],
)
def test_bad_input(more: list[str], message: str, tmp_path: Path) -> None:
    result = run("digits.onnx", *more, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_nothing_fits_and_a_folder_of_something_else(explored: Path, tmp_path: Path) -> None:
    (quantised,) = (explored / "networks").glob("*-8")
    huge = "lanes_k=64,lanes_p=16,slots=8"
    result = run(quantised, "--board", "ulx3s-85f", "--engine", huge, "--workers", 1, "--out", tmp_path / "none")
    assert result.exit_code == 3
    assert "no network fits any of the boards; " in " ".join(result.output.split())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    asked = ExploreRequest([str(quantised)], ["ulx3s-85f"])
    with pytest.raises(ToolflowError, match="is neither empty nor an earlier exploration; it was left as it is"):
        explore(asked, tmp_path / "mine")
