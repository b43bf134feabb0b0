"""Searches for the cycles of a board, in each command that has a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.cli.module_files import module_file
from tests.unit.quant.quantise_networks import images
from toolflow.cli.main import app

LAYERS = (
    "nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()",
    "nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()",
    "nn.Conv2d(8, 6, 3, padding=1), nn.ReLU()",
    "nn.AvgPool2d(12), nn.Flatten(), nn.Linear(6, 4)",
)
HEAVY = (  # a large kernel, and a last layer that gives the results
    "nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()",
    "nn.Conv2d(16, 16, 5, padding=2), nn.ReLU()",
    "nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()",
    "nn.AvgPool2d(6), nn.Conv2d(16, 4, 3, padding=1), nn.Flatten()",
)


@pytest.fixture
def model(tmp_path: Path) -> str:
    x = images(122, seed=1)[2:]  # behind one black and one white
    np.savez(tmp_path / "labelled.npz", x=x, y=np.random.default_rng(0).integers(0, 4, len(x)))
    return module_file(tmp_path, *LAYERS)


def _prune(model: str, out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["prune", model, "--out", str(out), *arguments])


SMALL = "lanes_k=4,lanes_p=1,slots=1,sub_row=8,drain_k=4,transform_cycles=1"  # the array takes longest


def test_cycles_of_a_board_are_searched_for(model: str, tmp_path: Path) -> None:
    """Each command searches; a command without a board says what it minimises instead."""
    data = str(tmp_path / "labelled.npz")
    given = ["--tile", "auto", "--search-loss", "1", "--board", "pynq-z2", "--engine", SMALL, "--json"]
    quantised = ["quantise", model, "--calibration", data, "--single", "--pattern", "auto"]
    result = CliRunner().invoke(app, [*quantised, *given, "--out", str(tmp_path / "q")])
    assert result.exit_code == 0, result.stderr
    search = json.loads(result.stdout)["variants"]["high"]["search"]
    assert search["saves"] == "cycles"
    assert (search["engine"]["lanes_k"], search["engine"]["drain_k"]) == (4, 4)
    assert "saves multiplications" not in result.stderr
    build = ["build", *quantised[1:], *given, "--out", str(tmp_path / "q")]
    built = CliRunner().invoke(app, build)
    assert built.exit_code == 0, built.stderr
    assert "quantise" not in _ran(tmp_path / "q", built.stderr)  # the same stage as before
    summary = json.loads(built.stdout)
    assert summary["variants"][0]["search"] == search
    dense = CliRunner().invoke(
        app, ["build", *quantised[1:5], "--board", "pynq-z2", "--engine", SMALL, "--json", "--out", str(tmp_path / "d")]
    )
    assert dense.exit_code == 0, dense.stderr
    taken, plain = (_cycles(one) for one in (summary, json.loads(dense.stdout)))
    assert taken == pytest.approx(search["trials"][search["chosen"]]["cost"] * plain, rel=0.03)
    pruned = _prune(model, tmp_path / "p", "--pattern", "2:4", "--calibration", data, *given)
    assert pruned.exit_code == 0, pruned.stderr
    document = json.loads(pruned.stdout)
    assert document["search"]["saves"] == "cycles"
    plainly = [*quantised, "--tile", "auto", "--search-loss", "1", "--out", str(tmp_path / "o")]
    assert "the search saves multiplications" in CliRunner().invoke(app, plainly).stderr


def _ran(folder: Path, said: str) -> list[str]:
    """Return the names of the stages that ran."""
    stages = json.loads((folder / "toolflow.json").read_text())["stages"]
    return [name for name in stages if f"{name}: unchanged, reused" not in said]


def _cycles(summary: Any) -> float:
    run = summary["units"][0]["runs"][-1]
    return float(run["predicted_cycles"] / run["images"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tile", "2", "--board", "pynq-z2"], "--board must come with a search"),
        (["--tile", "auto", "--engine", "slots=1"], "--engine must come with --board"),
        (["--tile", "auto", "--board", "nexys"], "the board must be one of"),
        (["--tile", "auto", "--board", "pynq-z2", "--engine", "slots=3"], "slots must be a power of two"),
        (["--tile", "auto", "--board", "pynq-z2", "--engine", "tile=3"], "tile must be 0 or 2 or 4, not 3"),
    ],
)
def test_a_search_for_nothing_is_refused(model: str, tmp_path: Path, options: list[str], message: str) -> None:
    """The command stops before it computes anything, and leaves no files."""
    data = ["--calibration", str(tmp_path / "labelled.npz")]
    quantised = CliRunner().invoke(app, ["quantise", model, "--out", str(tmp_path / "out"), *data, *options])
    for result in (quantised, _prune(model, tmp_path / "out", "--pattern", "2:4", *data, *options)):
        assert result.exit_code == 2, result.stdout
        assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_percentile_without_its_ranges_is_refused(model: str, tmp_path: Path) -> None:
    given = ["--calibration", str(tmp_path / "labelled.npz"), "--percentile", "60", "--out", str(tmp_path / "out")]
    for command in (["quantise", model], ["build", model, "--board", "pynq-z2"]):
        result = CliRunner().invoke(app, [*command, *given])
        assert result.exit_code == 2, result.stdout
        assert "--percentile must come with --ranges percentile: it changes nothing else" in result.stderr
    assert not (tmp_path / "out").exists()


def test_bits_of_any_width_are_no_boards(model: str, tmp_path: Path) -> None:
    """The message says that a board has no effect on them, and which option has."""
    quantised = ["quantise", model, "--calibration", str(tmp_path / "labelled.npz"), "--single", "--layer-bits", "auto"]
    quantised += ["--search-loss", "1", "--out", str(tmp_path / "q")]
    refused = CliRunner().invoke(app, [*quantised, "--board", "pynq-z2"])
    assert refused.exit_code == 2
    assert "--engine weight_bits=N" in " ".join(refused.stderr.split())
    build = ["build", *quantised[1:], "--board"]
    first = CliRunner().invoke(app, [*build, "pynq-z2"])
    assert first.exit_code == 0, first.stderr
    assert "saves bit-operations" in " ".join(first.stderr.split())
    other = CliRunner().invoke(app, [*build, "zcu104"])
    assert other.exit_code == 0, other.stderr
    assert "quantise" not in _ran(tmp_path / "q", other.stderr)


def test_an_engine_without_tiles_leaves_them_out(model: str, tmp_path: Path) -> None:
    given = ["quantise", model, "--calibration", str(tmp_path / "labelled.npz"), "--single", "--tile", "auto", "--json"]
    given += ["--board", "PYNQ-Z2", "--engine", f"tile=0,{SMALL}", "--search-loss", "1", "--out", str(tmp_path / "q")]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.stderr
    made = json.loads(result.stdout)["variants"]["high"]
    assert {layer["tile"] for layer in made["layers"]} == {0}
    assert made["search"]["engine"]["tile"] == 0
    assert "bank_depth" not in made["search"]["engine"]
    again = [{"PYNQ-Z2": "pynq_z2", f"tile=0,{SMALL}": f"{SMALL},tile=0"}.get(text, text) for text in given]
    assert "quantise: unchanged, reused" in CliRunner().invoke(app, again).stderr


@pytest.mark.parametrize("tile", ["auto", "2", "0"])
def test_layers_that_no_tile_computes(tmp_path: Path, tile: str) -> None:
    """A large kernel is searched if its pattern is given. The last layer stays direct."""
    np.savez(tmp_path / "plain.npz", x=images(122, seed=1)[2:])
    data = ["--calibration", str(tmp_path / "plain.npz")]
    board = ["--board", "pynq-z2", "--engine", SMALL, "--search-loss", "1"] if tile == "auto" else []
    model = module_file(tmp_path, *HEAVY)
    given = [*data, "--pattern", "4:16", "--tile", tile, *board, "--json"]
    plain = _prune(model, tmp_path / "p", *given)
    named = _prune(model, tmp_path / "n", *given, "--layer-pattern", "2=4:16")
    assert plain.exit_code == named.exit_code == 0, plain.stderr + named.stderr
    forms = [
        [(layer["tile"], layer["pattern"]) for layer in json.loads(one.stdout)["layers"]] for one in (plain, named)
    ]
    assert forms[0][0] == forms[0][3] == (0, None)
    assert forms[0][1] == (0, None)
    assert forms[1][1] == (0, "4:16")
    assert forms[0][2] in [(each, "4:16") for each in ((0, 2, 4) if tile == "auto" else (int(tile),))]
    assert json.loads(plain.stdout)["tile"] == (tile if tile == "auto" else int(tile))
    build = ["build", model, *data, "--single", "--pruned", str(tmp_path / "n" / "pruned.safetensors"), "--json"]
    built = CliRunner().invoke(app, [*build, "--board", "pynq-z2", "--engine", SMALL, "--out", str(tmp_path / "b")])
    assert built.exit_code == 0, built.stderr
    if tile == "auto":
        costs = [json.loads(one.stdout)["search"]["trials"][-1]["cost"] for one in (plain, named)]
        assert costs[1] < costs[0] - 0.02  # the layer weighs less beside what the search may save
