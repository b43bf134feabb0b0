"""`toolflow compress` and `toolflow recipes`: every recipe on the digits, interrupted runs, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy
import safetensors.torch
from typer.testing import CliRunner, Result

import quant.mechanisms.judge
import quant.training.loop
from examples import digits
from quant.config import Normalisation, QuantiseConfig
from quant.exchange.float_onnx import save_onnx
from quant.quantise import quantise
from quant.recipes.catalogue import catalogue
from toolflow.cli.main import app
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.flow import Source
from toolflow.importers.load import load_model
from toolflow.interpreter.run import logits_of
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.srbs import Pattern
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths

SHORT = {
    "blockwise": "epochs=12,rate=0.004",
    "combine-net": "rates=6,epochs=8",
    "genecai": "population=6,generations=3,epochs=6",
    "genetic-channels": "population=20,generations=20,epochs=1,last=6",
    "hakd": "epochs=24,rate=0.01",
    "multi-segment": "epochs=12,rate=0.01",
    "okddip": "epochs=10,rate=0.01",
}
SPARSE_TOO = "genetic-channels"  # its network still has layers with enough channels for a tile and a pattern
BUDGET = 0.7
ONLY_WEIGHTS = "new weights"  # what a recipe gives that leaves the network's layers as they are
LATE = "--budget must be at least"
NORMALISED: dict[str, Any] = {"mean": np.array([digits.MEAN]), "std": np.array([digits.STD])}
FORMS = (
    (QuantiseConfig(), EngineConfig(lanes_k=4, lanes_p=2, slots=2)),
    (
        QuantiseConfig(weight_bits=4, tile=2, pattern=Pattern(4, 8), rounding="nearest"),
        EngineConfig(lanes_k=4, lanes_p=2, slots=2, tile=2),
    ),
)


def toolflow(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network as ONNX, images to train on with labels and without, and others to test on."""
    made = tmp_path_factory.mktemp("digits")
    safetensors.torch.save_file(digits.train(epochs=6), made / "digits.safetensors")
    module = f"{digits.__file__}:digits"
    save_onnx(load_model(module, made / "digits.safetensors", None, None), made / "digits.onnx")
    parts = digits.split()
    x, y = (np.concatenate([parts[name][each] for name in ("train", "calibration")]) for each in (0, 1))
    np.savez(made / "train.npz", x=x, y=y, **NORMALISED)
    np.savez(made / "plain.npz", x=x, **NORMALISED)
    np.savez(made / "few.npz", x=x[:300], y=y[:300], **NORMALISED)
    np.savez(made / "test.npz", x=parts["test"][0], y=parts["test"][1], **NORMALISED)
    return made


def compress(folder: Path, recipe: object, out: Path, *more: object) -> Result:
    given = ["--train", folder / "train.npz", "--test", folder / "test.npz", "--board", "ulx3s-85f", "--workers", 1]
    return toolflow("compress", folder / "digits.onnx", "--recipe", recipe, "--out", out, *given, *more)


def differing_on_the_program(model: Path, images: Path, form: QuantiseConfig, engine: EngineConfig) -> int:
    """Quantise a network and run it on the executor of an engine; return the logits that differ."""
    source = Source(str(model), images)
    graph = source.graph()
    pixels = source.images(graph).pixels
    normalisation = Normalisation(mean=pixels.mean, std=pixels.std, scale=pixels.scale)
    data = source.images(graph).images
    network = quantise(graph, data[:200], normalisation, form).graph
    engine = fit_depths(network, engine)
    compiled = compile_program(network, engine)
    raw = run_program(engine, compiled.program, compiled.weights, compiled.pack_images(data[:6]), 6)
    return int((compiled.unpack_results(raw, 6).logits != logits_of(network, data[:6])).sum())


@pytest.mark.parametrize("recipe", catalogue())
def test_a_recipe_makes_a_network_that_runs_and_is_smaller(recipe: str, folder: Path, tmp_path: Path) -> None:
    budget = ["--budget", BUDGET] if catalogue()[recipe].takes_budget else []
    result = compress(folder, recipe, tmp_path / "out", "--settings", SHORT[recipe], *budget, "--json")
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    cost, accuracy = document["cost"], document["accuracy"]
    if catalogue()[recipe].gives == ONLY_WEIGHTS:
        assert cost["after"] == cost["before"]
    else:
        assert cost["after"]["cycles"] <= (BUDGET if budget else 0.95) * cost["before"]["cycles"]
        assert cost["after"]["parameters"] < cost["before"]["parameters"]
    assert accuracy["before"] > 0.95
    assert accuracy["after"] > accuracy["before"] - 0.05
    assert document["steps"][-1]["cost"] == cost["after"]
    assert {step["recipe"] for step in document["steps"]} == {recipe}
    model = tmp_path / "out" / "compressed.onnx"
    session = onnxruntime.InferenceSession(model)
    x, y = digits.split()["test"]
    (logits,) = session.run(None, {session.get_inputs()[0].name: digits.normalise(x).numpy()})
    assert float((np.asarray(logits).argmax(1) == y).mean()) == pytest.approx(accuracy["after"])
    weights = safetensors.numpy.load_file(tmp_path / "out" / "compressed.safetensors")
    assert sum(each.size for each in weights.values()) == cost["after"]["parameters"]
    if not catalogue()[recipe].builds:
        assert "'toolflow build' does not take the activations of multi-segment yet" in result.stderr
        with pytest.raises(ToolflowError, match="no engine holds the table of an activation of segments yet"):
            differing_on_the_program(model, folder / "test.npz", *FORMS[0])
        return
    for form, engine in FORMS if recipe == SPARSE_TOO else FORMS[:1]:
        assert differing_on_the_program(model, folder / "test.npz", form, engine) == 0


def test_an_interrupted_run_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short while it judges and while it trains, nothing is done twice and the result is the same."""
    out = tmp_path / "out"
    judged, trained = [0], [0]
    accuracy, epoch = quant.mechanisms.judge.Judge.accuracy, quant.training.loop.Training._epoch
    stops = {"judge": 4, "train": 2}

    def counted_accuracy(self, trial):  # type: ignore[no-untyped-def]
        if judged[0] == stops["judge"]:
            stops["judge"] = -1
            raise KeyboardInterrupt
        judged[0] += 1
        return accuracy(self, trial)

    def counted_epoch(self, *given):  # type: ignore[no-untyped-def]
        if trained[0] == stops["train"]:
            stops["train"] = -1
            raise KeyboardInterrupt
        trained[0] += 1
        return epoch(self, *given)

    monkeypatch.setattr(quant.mechanisms.judge.Judge, "accuracy", counted_accuracy)
    monkeypatch.setattr(quant.training.loop.Training, "_epoch", counted_epoch)
    settings = "--settings", "rates=4,epochs=3"
    for _ in range(2):
        result = compress(folder, "combine-net", out, *settings)
        assert result.exit_code == 130, result.stderr
        assert "the same command goes on from there" in result.stderr
        assert not out.exists()
    assert compress(folder, "combine-net", out, *settings).exit_code == 0
    counts = judged[0], trained[0]
    assert trained[0] == 3
    whole = tmp_path / "whole"
    assert compress(folder, "combine-net", whole, *settings).exit_code == 0
    assert (judged[0], trained[0]) == (2 * counts[0], 2 * counts[1])
    for name in ("compressed.onnx", "compressed.safetensors", "recipe.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert not list(out.glob("*.checkpoint")) + list(out.glob("*.notebook"))
    assert "1: combine-net: unchanged, reused" in compress(folder, "combine-net", out, *settings).stderr


OWN = """
from dataclasses import dataclass
from typing import ClassVar

from quant.mechanisms.rewrite.channels import ChannelMap
from quant.recipes.recipe import CompressionRecipe


@dataclass(frozen=True)
class Mine(CompressionRecipe):
    name: ClassVar[str] = "mine"
    sentence: ClassVar[str] = "Remove the channels of one layer that cost the least accuracy."
    paper: ClassVar[str] = "none"
    gives: ClassVar[str] = "fewer channels"
    count: int = 4

    def run(self, network, bench):
        channels = ChannelMap.of(network)
        width = channels.widths[0]
        places = range(0, len(width.classes) - self.count, self.count)
        trials = [bench.without(channels, set(width.classes[place : place + self.count])) for place in places]
        found = bench.accuracies(trials)
        made = bench.judge.adapted(trials[found.index(max(found))])
        bench.record(f"remove {self.count} channels of {width.name}", made)
        return made
"""


def test_a_recipe_of_ones_own_alone_and_in_a_chain(folder: Path, tmp_path: Path) -> None:
    """Alone with two workers, which give the same as one."""
    own = tmp_path / "mine.py"
    own.write_text(OWN)
    for out, recipes, workers in (("alone", own, 2), ("chain", f"{own},{own}", 1)):
        result = compress(folder, recipes, tmp_path / out, "--settings", "count=3", "--workers", workers)
        assert result.exit_code == 0, result.stderr
    first = "steps/1-mine.onnx"
    assert (tmp_path / "alone" / first).read_bytes() == (tmp_path / "chain" / first).read_bytes()
    document = json.loads((tmp_path / "chain" / "recipe.json").read_text())
    assert [step["what"].split(" of ")[0] for step in document["steps"]] == ["remove 3 channels"] * 2
    assert document["recipes"][0] == {"name": "mine", "paper": "none", "settings": {"count": 3}}
    weights = safetensors.numpy.load_file(tmp_path / "chain" / "compressed.safetensors")
    assert len(next(each for each in weights.values() if each.shape[1:] == (1, 3, 3))) == 16 - 2 * 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return {}['missing']", "the recipe mine (mine.py) failed: line 18: KeyError: 'missing'"),
        ("pass", "the recipe mine (mine.py) failed: run must return a Graph, not NoneType"),
        (
            "return __import__('dataclasses').replace(network, output=network.nodes[0].name)",
            "the recipe mine (mine.py) failed: nodes ['linear'] are read by",
        ),
    ],
)
def test_a_recipe_of_ones_own_that_fails(body: str, message: str, folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text(OWN[: OWN.index("        channels =")] + f"        {body}\n")
    result = compress(folder, own, tmp_path / "out")
    assert result.exit_code == 2, result.stderr
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--recipe", "none"],
            f"--recipe must be one of {', '.join(catalogue())}, or a Python file",
        ),
        (["--recipe", "none.py"], "--recipe none.py must be a Python file; there is none"),
        (["--recipe", "EMPTY.py"], "must define one frozen dataclass that derives from CompressionRecipe, not none"),
        (["--recipe", "BROKEN.py"], "cannot be run: ZeroDivisionError: division by zero"),
        (["--settings", "epoch=3"], "--settings must be of the recipes: epochs, most, rate, rates, not epoch"),
        (["--settings", "epochs=many"], "epochs of combine-net must be a whole number, not 'many'"),
        (["--settings", "rates=1"], "--settings: rates of combine-net must be 3 or more, not 1"),
        (["--settings", "most=nan"], "--settings: most of combine-net must be 0.1 to 1, not nan"),
        (["--settings", "epochs"], "--settings must be NAME=VALUE,.., not 'epochs'"),
        (["--budget", "0.5"], "--budget must come with a recipe that takes one; combine-net finds its own size"),
        (["--recipe", "genetic-channels", "--budget", "0.01"], LATE),
        (["--recipe", "hakd", "--train", "plain.npz"], "plain.npz must hold an array y"),
        (["--recipe", "blockwise", "--train", "plain.npz"], "plain.npz must hold an array y"),
        (["--recipe", "multi-segment", "--train", "plain.npz"], "plain.npz must hold an array y"),
        (["--recipe", "okddip", "--train", "plain.npz"], "plain.npz must hold an array y"),
        (["--budget", "2"], "--budget must be above 0 and below 1, a share of the cycles, not 2.0"),
        (["--workers", "0"], "--workers must be a whole number of 1 or more, not 0"),
        (["--workers", "there"], "--workers must be a number or tcp://HOST:PORT, not 'there'"),
        (["--board", "none"], "none"),
        (["--train", "few.npz"], "must hold at least 321 images, not 300: a recipe would be judged on 30"),
        (["--test", "train.npz"], "must hold other images than"),
    ],
)
def test_bad_input_ends_in_a_sentence_and_leaves_nothing(
    folder: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "EMPTY.py").write_text("")
    (tmp_path / "BROKEN.py").write_text("1 / 0")
    given = [tmp_path / each if (tmp_path / each).exists() else each for each in arguments]
    given = [folder / each if str(each).endswith(".npz") else each for each in given]
    result = compress(folder, "combine-net", tmp_path / "out", *given)
    assert result.exit_code == 2, result.stderr
    assert message in " ".join(result.stderr.split())
    late = message == LATE  # it keeps the stage before
    assert [path.name for path in tmp_path.glob("out*")] == (["out.partial"] if late else [])


def test_the_recipes_are_listed() -> None:
    result = toolflow("recipes", "--json")
    assert result.exit_code == 0, result.stderr
    found = {entry["name"]: entry for entry in json.loads(result.stdout)["recipes"]}
    assert found.keys() == catalogue().keys() == SHORT.keys()
    for entry in found.values():
        assert all(entry[key] for key in ("sentence", "paper", "gives", "settings"))
    assert "combine-net" in toolflow("recipes").stdout
