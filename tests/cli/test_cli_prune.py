"""`toolflow prune` as a user runs it: output files, messages, and interrupted runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import quant.training.loop
from quant.quantise import quantise
from quant.sparsity.pruned_file import load_pruned
from tests.cli.module_files import module_file
from tests.unit.quant.quantise_networks import images
from toolflow.cli.main import app
from toolflow.flow.graphs import load_graph
from toolflow.flow.source import Source
from toolflow.flow.stages.prune import CHECKPOINT
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import VariantName
from toolflow.numerics.srbs import Pattern, obeys
from toolflow.operators import Conv, WinogradConv
from toolflow.report.summary import Summary
from toolflow.report.tables import remarks

LAYERS = (
    "nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()",
    "nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()",
    "nn.Conv2d(8, 8, 3, 2, padding=1), nn.ReLU()",
    "nn.Conv2d(8, 6, 3, padding=1), nn.ReLU()",
    "nn.AvgPool2d(6), nn.Flatten(), nn.Linear(6, 4)",
)


@pytest.fixture
def model(tmp_path: Path) -> str:
    x = images(122, seed=1)[2:]  # behind one black and one white
    y = np.random.default_rng(0).integers(0, 4, len(x))
    np.savez(tmp_path / "labelled.npz", x=x, y=y)
    np.savez(tmp_path / "plain.npz", x=x)
    np.savez(tmp_path / "test.npz", x=images(42, seed=2)[2:], y=y[:40])
    return module_file(tmp_path, *LAYERS)


def _prune(model: str, out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["prune", model, "--out", str(out), *arguments])


def test_without_training(model: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("--pattern", "2:4", "--tile", "4", "--calibration", str(tmp_path / "plain.npz"), "--json")
    result = _prune(model, out, *given)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document == json.loads((out / "prune.json").read_text())
    assert document["accuracy"]["float"] == 1.0  # without labels: agreement with the float network
    assert document["images"] == {"used": 40, "tested": 80, "labelled": False}
    assert [step["pattern"] for step in document["steps"]] == ["2:4"]
    layers = {layer["name"]: layer for layer in document["layers"]}
    forms = [(layer["tile"], layer["pattern"]) for layer in layers.values()]
    assert forms == [(0, None), (4, "2:4"), (0, None), (4, "2:4"), (0, None)]
    second = list(layers.values())[1]
    assert second["density"] == 0.5
    assert second["multiplications"] == 8 * 4 * 36 * 9
    assert second["saved"] == pytest.approx(1 - 4 * 36 * 9 / (8 * 9 * 144))
    assert sorted(path.name for path in out.iterdir()) == [
        "held_out.npz", "prune.json", "pruned.safetensors", "toolflow.json",
    ]  # fmt: skip
    again = _prune(model, out, *given)
    assert "prune: unchanged, reused" in again.stderr
    graph = Source(model, tmp_path / "plain.npz").graph()
    assert load_pruned(graph, out / "pruned.safetensors", tile=4, pattern=Pattern(2, 4))
    with pytest.raises(ToolflowError, match="was pruned to 2:4"):
        load_pruned(graph, out / "pruned.safetensors", pattern=Pattern(1, 4))


def test_tiles_are_searched_before_pruning(model: str, tmp_path: Path) -> None:
    """The loss limit allows any accuracy, so F(4x4,3x3) is chosen. A layer with its own pattern keeps it."""
    given = ("--pattern", "2:4", "--tile", "auto", "--layer-pattern", "6=dense", "--search-loss", "1", "--json")
    result = _prune(model, tmp_path / "out", *given, "--calibration", str(tmp_path / "labelled.npz"))
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["tile"] == "auto"
    assert document["search"]["saves"] == "multiplications"
    assert document["search"]["chosen"] == 1
    forms = [(layer["tile"], layer["pattern"]) for layer in document["layers"]]
    assert forms == [(0, None), (4, "2:4"), (0, None), (2, None), (0, None)]  # as many by either tile on 6 x 6
    assert (
        "of the multiplications"
        in _prune(model, tmp_path / "out", *given[:-1], "--calibration", str(tmp_path / "labelled.npz")).stdout
    )


def test_a_search_judges_layers_that_stay_direct_and_dense_as_such(model: str, tmp_path: Path) -> None:
    own = ("--layer-pattern", "2=dense", "--layer-tile", "2=0", "--search-loss", "1", "--json")
    data = ("--calibration", str(tmp_path / "labelled.npz"))
    result = _prune(model, tmp_path / "out", "--pattern", "2:4", "--tile", "auto", *own, *data)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    inner = document["layers"][1:]
    direct = {layer["name"]: layer["multiplications"] / (1 - layer["saved"]) for layer in inner}
    assert inner[0]["multiplications"] == direct["2"]
    plain = sum(direct.values()) - direct["6"] / 2  # of it half is pruned in any form
    cost = document["search"]["trials"][document["search"]["chosen"]]["cost"]
    assert cost == pytest.approx(sum(layer["multiplications"] for layer in inner) / plain)


@pytest.mark.parametrize(("own", "tile"), [("2=0", 0), ("2=2", 2), ("2=2, 6=4", 2)])
def test_no_search_changes_a_tile_that_is_given(model: str, tmp_path: Path, own: str, tile: int) -> None:
    """A search would give layer 2 F(4x4,3x3), as above. All tiles are given, so nothing is searched."""
    given = ("--pattern", "2:4", "--tile", "auto", "--layer-tile", own, "--search-loss", "1", "--json")
    result = _prune(model, tmp_path / "out", *given, "--calibration", str(tmp_path / "labelled.npz"))
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    forms = {layer["name"]: (layer["tile"], layer["pattern"]) for layer in document["layers"]}
    assert forms["2"] == (tile, "2:4")
    assert forms["6"] in [(each, "2:4") for each in ((4,) if "6" in own else (2, 4))]
    assert document["search"]["chosen"] == (0 if "6" in own else 1)
    pruned = load_pruned(Source(model, tmp_path / "plain.npz").graph(), tmp_path / "out" / "pruned.safetensors")
    for name in ("2", "6"):
        assert obeys(pruned.by_name[name].weights["weight"], Pattern(2, 4), shared=forms[name][0] > 0)


def test_what_was_left_open_is_searched(model: str, tmp_path: Path) -> None:
    """Tile, pattern and bits of each layer are searched. The folder lists the networks that were judged."""
    data = str(tmp_path / "labelled.npz")
    given = ["quantise", model, "--calibration", data, "--out", str(tmp_path / "q"), "--single", "--json"]
    given += ["--tile", "auto", "--pattern", "auto", "--layer-bits", "auto", "--search-loss", "1"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.stderr
    made = json.loads(result.stdout)["variants"]["high"]
    assert made["search"]["saves"] == "bit-operations"
    trials = made["search"]["trials"]
    assert trials[0]["cost"] == 1.0
    assert made["search"]["chosen"] == 1  # everything may be lost: the cheapest network of all
    layers = {layer["name"]: layer for layer in made["layers"] if layer["weight_bits"]}
    assert [layer["tile"] > 0 for layer in layers.values()] == [False, True, False, True, False]
    assert [layer["weight_bits"] for layer in layers.values()] == [8, 3, 3, 3, 8]
    low = CliRunner().invoke(app, [*given[:5], str(tmp_path / "l"), "--tile", "auto", "--search-loss", "1", "--json"])
    assert low.exit_code == 0, low.stderr
    searches = {name: made["search"] for name, made in json.loads(low.stdout)["variants"].items()}
    assert {name: found["saves"] for name, found in searches.items()} == dict.fromkeys(
        ("low", "high"), "multiplications"
    )


def test_narrow_units_are_finetuned(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit of 8 bits is not changed. After an interrupt, the same command continues after the last finished epoch."""
    data, test = str(tmp_path / "labelled.npz"), str(tmp_path / "test.npz")
    given = ["quantise", model, "--calibration", test, "--low-bits", "3", "--tile", "2", "--json"]
    trained = [*given, "--finetune", data, "--finetune-recipe", "epochs=2, rate=0.01", "--out", str(tmp_path / "q")]
    plain = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "plain")])
    assert plain.exit_code == 0, plain.stderr
    epoch, ended = quant.training.loop.Training._epoch, list[float]()

    def cut(*arguments: Any) -> float:
        if len(ended) == 1:
            ended.append(0.0)
            raise ToolflowError("cut short")
        ended.append(epoch(*arguments))
        return ended[-1]

    monkeypatch.setattr(quant.training.loop.Training, "_epoch", cut)
    result = CliRunner().invoke(app, trained)
    assert result.exit_code == 2
    assert "The training so far is in" in result.stderr
    result = CliRunner().invoke(app, trained)
    assert result.exit_code == 0, result.stderr
    assert len(ended) == 3  # one epoch, the cut, and the other epoch
    made, before = (json.loads(each.stdout)["variants"] for each in (result, plain))
    assert "finetuned" not in made["high"]
    record = made["low"]["finetuned"]
    assert {name: record[name] for name in ("images", "epochs", "rate", "batch", "flip")} == {
        "images": 120, "epochs": 2, "rate": 0.01, "batch": 64, "flip": False,
    }  # fmt: skip
    for name, differs in ((VariantName.LOW, True), (VariantName.HIGH, False)):
        old, new = (load_graph(tmp_path / folder, name) for folder in ("plain", "q"))
        same = all((a.weights["weight"] == b.weights["weight"]).all() for a, b in zip(old.nodes, new.nodes, strict=True)
                   if "weight" in a.weights)  # fmt: skip
        assert same is not differs
        assert made[name]["config"] == before[name]["config"]
    text = CliRunner().invoke(app, [each for each in trained if each != "--json"])
    assert text.exit_code == 0, text.stderr
    assert "low unit: integers trained on 120 images, 2 times each" in text.stdout
    assert not list((tmp_path / "q").glob("finetune*"))


def test_a_build_with_searched_tiles_is_finetuned(model: str, tmp_path: Path) -> None:
    """The dense network is the teacher of the pruned one, and the project's summary reports the training."""
    data, test = str(tmp_path / "labelled.npz"), str(tmp_path / "test.npz")
    out = tmp_path / "b"
    given = ["build", model, "--calibration", test, "--board", "zcu104", "--single", "--high-bits", "4"]
    given += ["--tile", "auto", "--search-loss", "1", "--finetune", data, "--finetune-recipe", "epochs=1,flip=yes"]
    result = CliRunner().invoke(app, [*given, "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert "single unit: integers trained on 120 images, once each" in result.stdout
    summary = Summary.model_validate_json((out / "summary.json").read_text())
    trained = summary.variants[0].finetuned
    assert trained is not None
    assert (trained.epochs, trained.flip) == (1, True)
    again = CliRunner().invoke(app, [*given, "--out", str(out)])
    assert again.exit_code == 0, again.stderr
    assert "quantise: unchanged, reused" in again.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--finetune-recipe", "rate=0"], "rate must be a number above 0 and below 1, not '0'"),
        (["--finetune-recipe", "epochs=1,epochs=2"], "epochs must be given once"),
        (["--finetune-recipe", "speed=1"], "must be one of epochs, rate, batch, flip, not 'speed'"),
        (["--finetune-recipe", "flip=maybe"], "flip must be yes or no, not 'maybe'"),
        (["--finetune", "other.npz"], "must normalise its pixels as"),
        (["--finetune", "test.npz"], "but 40 are in both"),
        (["--scales", "fixed-point"], "the fixed-point family cannot be finetuned"),
    ],
)
def test_a_finetune_that_cannot_be_is_refused(
    change: list[str], message: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("other.npz", x=images(42, seed=3)[2:], mean=np.array([0.1, 0.2, 0.3]), std=np.array([1.0, 1.0, 1.0]))
    given = ["quantise", model, "--calibration", "test.npz", "--low-bits", "3", "--finetune", "labelled.npz"]
    result = CliRunner().invoke(app, [*given, *change, "--out", "q"])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not Path("q").exists()


def test_a_finetune_of_nothing_is_told(model: str, tmp_path: Path) -> None:
    data, test = str(tmp_path / "labelled.npz"), str(tmp_path / "test.npz")
    given = ["quantise", model, "--calibration", test, "--single", "--out", str(tmp_path / "q")]
    result = CliRunner().invoke(app, [*given, "--finetune", data])
    assert result.exit_code == 0, result.stderr
    assert "--finetune trained nothing" in result.stderr
    alone = CliRunner().invoke(app, [*given, "--finetune-recipe", "epochs=1"])
    assert alone.exit_code == 2
    assert "must come with --finetune" in alone.stderr


def test_a_build_tells_how_its_network_was_pruned_and_searched(model: str, tmp_path: Path) -> None:
    """Pruned weights and searched bits give a program; the engine's weights are as narrow as those of the layers."""
    data = str(tmp_path / "labelled.npz")
    pruned = _prune(model, tmp_path / "p", "--pattern", "2:4", "--tile", "2", "--calibration", data)
    assert pruned.exit_code == 0, pruned.stderr
    given = ["build", model, "--calibration", data, "--out", str(tmp_path / "b"), "--single", "--board", "zcu104"]
    given += ["--pruned", str(tmp_path / "p" / "pruned.safetensors"), "--layer-bits", "auto", "--search-loss", "1"]
    given += ["--engine", "lanes_k=8,lanes_p=2,slots=1,sub_row=8,drain_k=2", "--json"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert [(step["pattern"], step["epochs"]) for step in summary["model"]["pruning"]] == [("2:4", 0)]
    (variant,), (unit,) = summary["variants"], summary["units"]
    assert variant["search"]["chosen"] == 1
    content = (tmp_path / "p" / "pruned.safetensors").read_bytes()
    assert summary["hashes"]["pruned"] == hashlib.sha256(content).hexdigest()
    inner = [layer["weight_bits"] for layer in variant["layers"]][1:-1]
    assert inner == [3, 3, 3]
    # (K, C, t, t) of F(2x2,3x3): half of the values, each with 2 bits of index; the strided layer is direct and dense
    assert [layer["storage_bits"] for layer in variant["layers"]][1:3] == [8 * 8 * 16 // 2 * (3 + 2), 8 * 8 * 9 * 3]
    assert (unit["engine"]["weight_bits"], unit["engine"]["activation_bits"]) in {(8, 8), (3, 4)}
    assert any("of the bit-operations" in line for line in remarks(Summary.model_validate(summary)))
    verified = CliRunner().invoke(app, ["verify", str(tmp_path / "b"), "--levels", "program", "--images", "8"])
    assert verified.exit_code == 0, verified.stdout


def test_an_interrupted_search_goes_on(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stage was finished, but the search's measurements are kept beside the output until it ends."""
    out = tmp_path / "out"
    given = [
        "quantise",
        model,
        "--calibration",
        str(tmp_path / "plain.npz"),
        "--out",
        str(out),
        "--tile",
        "auto",
        "--json",
    ]
    judged: list[object] = []

    def counted(*arguments, **others):  # type: ignore[no-untyped-def]
        if len(judged) == 1 and not (tmp_path / "go on").exists():
            raise KeyboardInterrupt
        judged.append(arguments)
        return quantise(*arguments, **others)

    monkeypatch.setattr("quant.search.judge.quantise", counted)
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 130, result.stderr
    assert f"What the search found out is in {out}.partial; the same command goes on from there" in result.stderr
    assert list((tmp_path / "out.partial").glob("search.*.notebook"))
    (tmp_path / "go on").touch()
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.stderr
    variants = json.loads((out / "graphs" / "quantise.json").read_text())["variants"]
    assert len(judged) == sum(len(variants[name]["search"]["trials"]) for name in ("low", "high"))  # none of them twice
    assert not list(out.rglob("search*"))


def test_an_interrupted_run_goes_on(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    given = ["--pattern", "2:8", "--tile", "2", "--train", str(tmp_path / "labelled.npz")]
    given += ["--test", str(tmp_path / "test.npz"), "--epochs", "8", "--batch", "40"]
    epoch = quant.training.loop.Training._epoch
    done: list[int] = []

    def counted(self, network, optimiser, number, what):  # type: ignore[no-untyped-def]
        if len(done) == 2 and number == 2 and not (tmp_path / "go on").exists():
            raise KeyboardInterrupt
        done.append(number)
        return epoch(self, network, optimiser, number, what)

    monkeypatch.setattr(quant.training.loop.Training, "_epoch", counted)
    result = _prune(model, out, *given)
    assert result.exit_code == 130, result.stderr
    assert "toolflow: interrupted" in result.stderr
    assert "(measure) and the training so far are in" in " ".join(result.stderr.split())
    assert "the same command goes on from there" in result.stderr
    assert not out.exists()
    assert (tmp_path / "out.partial" / CHECKPOINT).exists()
    assert not (tmp_path / "out.partial" / "pruned.safetensors").exists()
    (tmp_path / "go on").touch()
    result = _prune(model, out, *given)
    assert result.exit_code == 0, result.stderr
    assert done == [*range(8)]
    assert not (tmp_path / "out.partial").exists()
    document = json.loads((out / "prune.json").read_text())
    assert document["images"] == {"used": 120, "tested": 40, "labelled": True}
    assert [(step["pattern"], step["epochs"]) for step in document["steps"]] == [
        ("4:8", 0), ("4:8", 1), ("2:8", 0), ("2:8", 7),
    ]  # fmt: skip
    assert not (out / CHECKPOINT).exists()
    graph = load_pruned(Source(model, tmp_path / "plain.npz").graph(), out / "pruned.safetensors")
    for layer in document["layers"]:
        if layer["pattern"]:
            assert obeys(graph.by_name[layer["name"]].weights["weight"], Pattern(2, 8), shared=True)
    whole = tmp_path / "whole"
    assert _prune(model, whole, *given).exit_code == 0
    assert (whole / "pruned.safetensors").read_bytes() == (out / "pruned.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pattern", "9:8"], "--pattern: n of a pattern n:S must be 1 to S = 8, not 9"),
        (["--pattern", "2:6"], "--pattern: S of a pattern n:S must be a power of two, not 6"),
        (["--pattern", "half"], "--pattern: a pattern must be n:S or n:SxG, for example 3:16 or 4:16x2, not 'half'"),
        (["--pattern", "2:16"], "no layer of net can carry the pattern 2:16"),
        (["--pattern", "2:4", "--layer-pattern", "2=3"], "--layer-pattern: a pattern must be n:S"),
        (
            ["--pattern", "2:4", "--layer-pattern", "2:4"],
            "--layer-pattern must be NAME=n:S,.. or NAME=dense, not '2:4'",
        ),
        (["--pattern", "2:4", "--layer-pattern", "a=1:4,a=2:4"], "layer 'a' must be given once, not twice"),
        (
            ["--pattern", "2:4", "--layer-pattern", "none=2:4"],
            "must be given to convolutions of the network, not to none",
        ),
        (["--pattern", "2:4", "--layer-tile", "2"], "--layer-tile must be NAME=TILE,.. with tiles of 0, 2 or 4"),
        (["--pattern", "2:4", "--layer-tile", "2=3"], "--layer-tile: a tile must be 0, 2 or 4, not '3'"),
        (["--pattern", "2:4", "--layer-tile", "2=0,2=4"], "--layer-tile: layer '2' must be given once, not twice"),
        (["--pattern", "2:4", "--layer-tile", "0=2"], "neither first nor last, not to 0; they are 2, 6"),
        (["--pattern", "2:4", "--test", "DATA"], "must hold other images than"),
        (["--pattern", "2:4", "--test", "OTHER"], "must normalise its pixels as"),
        (["--pattern", "2:4", "--search-loss", "0.1"], "--search-loss must come with a search"),
        (["--pattern", "2:4", "--train", "DATA"], "one of --train and --calibration must be given, not both"),
        (["--pattern", "2:4", "--rate", "0"], "--rate must come with --train"),
        (["--pattern", "2:4", "--epochs", "3"], "--epochs must come with --train"),
        (["--pattern", "2:4", "--no-flip"], "--flip must come with --train"),
    ],
)
def test_bad_input_ends_in_a_sentence_and_leaves_nothing(
    model: str, tmp_path: Path, arguments: list[str], message: str
) -> None:
    data = str(tmp_path / "plain.npz")
    other = tmp_path / "other.npz"
    np.savez(other, x=images(42, seed=2)[2:], mean=np.full(3, 0.5), std=np.full(3, 0.5))
    given = [{"DATA": data, "OTHER": str(other)}.get(argument, argument) for argument in arguments]
    result = _prune(model, tmp_path / "out", "--tile", "2", "--calibration", data, *given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(tmp_path.glob("out*"))


def test_a_rate_out_of_range(model: str, tmp_path: Path) -> None:
    data = str(tmp_path / "plain.npz")
    result = _prune(model, tmp_path / "out", "--tile", "2", "--pattern", "2:4", "--train", data, "--rate", "0")
    assert result.exit_code == 2
    assert "--rate must be above 0 and below 1, not 0.0" in result.stderr


def test_a_pattern_of_single_layers_is_the_steps_name(model: str, tmp_path: Path) -> None:
    data = str(tmp_path / "plain.npz")
    named = ["--layer-pattern", "2=1:4"]
    result = _prune(model, tmp_path / "out", "--tile", "2", "--pattern", "2:4", "--calibration", data, *named)
    assert result.exit_code == 0, result.stderr
    document = json.loads((tmp_path / "out" / "prune.json").read_text())
    assert [step["pattern"] for step in document["steps"]] == ["1:4, 2:4"]


def test_what_a_pruned_file_fixes_and_where_it_may_lie(model: str, tmp_path: Path) -> None:
    """What the file fixes is not searched, the output never replaces the file, and its layers have no QONNX form."""
    data = str(tmp_path / "plain.npz")
    made = _prune(model, tmp_path / "p", "--pattern", "2:4", "--tile", "2", "--calibration", data)
    assert made.exit_code == 0, made.stderr
    pruned = tmp_path / "p" / "pruned.safetensors"
    given = ["quantise", model, "--calibration", data, "--pruned", str(pruned), "--single", "--json"]
    for option in ("--tile", "--pattern"):
        result = CliRunner().invoke(app, [*given, option, "auto", "--out", str(tmp_path / "q")])
        assert result.exit_code == 2
        assert f"{option} auto must not be given with --pruned" in result.stderr
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "p")])
    assert result.exit_code == 2
    assert f"{pruned} lies in {tmp_path / 'p'}, which would be replaced" in result.stderr
    assert pruned.is_file()
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "q")])
    assert result.exit_code == 0, result.stderr
    assert "no QONNX files are written" in result.stderr
    assert not (tmp_path / "q" / "qonnx").exists()
    again = _prune(model, tmp_path / "q", "--pattern", "2:4", "--tile", "2", "--calibration", data)
    assert again.exit_code == 2
    assert "holds what another command made (quantise)" in again.stderr
    assert pruned.stat().st_mode == (tmp_path / "p" / "prune.json").stat().st_mode


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        (
            ["--tile", "2", "--layer-tile", "2=0"],
            ["--tile", "2"],
            "must hold layers of tile 2, but '2' is direct there",
        ),
        (["--tile", "0"], ["--tile", "2"], "layers of tile 2, but '2' is direct there"),
        (["--tile", "4"], ["--scales", "fixed-point"], "for a network with F(4,3): the sums of '2' are scaled by 576"),
        (["--tile", "2"], ["--pattern", "1:4"], "must hold layers of pattern 1:4, but '2' was pruned to 2:4"),
    ],
)
def test_what_a_pruned_file_is_not(
    model: str, tmp_path: Path, form: list[str], options: list[str], message: str
) -> None:
    data = str(tmp_path / "plain.npz")
    made = _prune(model, tmp_path / "p", "--pattern", "2:4", *form, "--calibration", data)
    assert made.exit_code == 0, made.stderr
    given = ["quantise", model, "--calibration", data, "--pruned", str(tmp_path / "p" / "pruned.safetensors")]
    result = CliRunner().invoke(app, [*given, "--single", *options, "--out", str(tmp_path / "q")])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not list(tmp_path.glob("q*"))


def test_options_change_nothing_of_a_pruned_file(model: str, tmp_path: Path) -> None:
    """Layers that are dense or direct in the file stay so, also if the pattern is given again."""
    data = str(tmp_path / "plain.npz")
    form = ["--tile", "2", "--layer-pattern", "2=dense", "--layer-tile", "2=0"]
    made = _prune(model, tmp_path / "p", "--pattern", "2:4", *form, "--calibration", data)
    assert made.exit_code == 0, made.stderr
    given = ["quantise", model, "--calibration", data, "--pruned", str(tmp_path / "p" / "pruned.safetensors")]
    result = CliRunner().invoke(app, [*given, "--single", "--pattern", "2:4", "--out", str(tmp_path / "q")])
    assert result.exit_code == 0, result.stderr
    graph = load_graph(tmp_path / "q", VariantName.HIGH)
    forms = {node.name: (type(node.op), node.op.pattern) for node in graph.nodes}
    assert forms["2"] == (Conv, None)
    assert forms["6"] == (WinogradConv, Pattern(2, 4))


def test_images_must_be_given(model: str, tmp_path: Path) -> None:
    result = _prune(model, tmp_path / "out", "--tile", "2", "--pattern", "2:4")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "one of --train and --calibration must be given, not neither" in result.stderr
