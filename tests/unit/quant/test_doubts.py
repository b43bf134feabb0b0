"""Warnings about a network that does not classify: against permuted labels, and from the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quant.cascade.doubts import answer_warnings
from tests.end_to_end.projects import toolflow
from toolflow.ir.unit import VariantName
from toolflow.report.summary import read_summary


def test_one_class_for_all_images() -> None:
    answers = np.full(200, 3)
    (text,) = answer_warnings("float", answers, None)
    assert text.startswith("the float network answers class 3 for all 200 images: check that the images are normalised")
    (text,) = answer_warnings(VariantName.LOW, answers, np.arange(200) % 10)
    assert text == (
        "the low-precision network answers class 3 for all 200 images, 10.00 % of them correctly: give it more bits "
        "(--low-bits, --layer-bits)"
    )
    (text,) = answer_warnings(VariantName.LOW, answers, None, float_doubted=True)
    assert text == "the low-precision network answers class 3 for all 200 images: fix the float network first"
    assert answer_warnings(VariantName.HIGH, answers, answers) == ()
    assert len(answer_warnings(VariantName.HIGH, answers, answers - 1)) == 1
    assert answer_warnings("float", np.arange(200) % 2, None) == ()


@pytest.mark.parametrize("seed", range(12))
def test_chance_is_what_permuted_labels_give(seed: int) -> None:
    """Answers that are clearly better give no warning, answers to permuted labels do, for any shares of the labels."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(2 + seed % 5, 0.7))
    labels = np.concatenate([np.arange(len(shares)), rng.choice(len(shares), 500, p=shares)])
    answers = np.where(rng.random(len(labels)) < rng.random(), labels, rng.permutation(labels))
    right = int((answers == labels).sum())
    chances = np.array([(answers == rng.permutation(labels)).sum() for _ in range(2000)])
    doubted = bool(answer_warnings("float", answers, labels))
    if right <= np.quantile(chances, 0.9):
        assert doubted
    elif right > chances.mean() + 3 * max(float(chances.std()), np.sqrt(right * (1 - right / len(labels)))):
        assert not doubted


def test_the_chance_that_is_said_is_that_of_permuted_labels() -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(4, 1000, p=[0.7, 0.2, 0.05, 0.05])
    answers = rng.choice(4, 1000, p=[0.1, 0.8, 0.05, 0.05])
    (text,) = answer_warnings(VariantName.HIGH, answers, labels)
    chance = np.mean([(answers == rng.permutation(labels)).mean() for _ in range(3000)])
    said = float(text.partition("chance (")[2].partition(" %")[0]) / 100
    assert said == pytest.approx(chance, abs=0.002)
    rare = np.arange(1000) < 30  # most images are of one class: the accuracy is below its share, and no chance
    found = answer_warnings("float", np.where(rng.random(1000) < 0.1, 1 - rare, rare), rare.astype(np.int64))
    assert found == ()


MODEL = """
import torch
from torch import nn


def constant():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 4))
    net[3].bias.data[2] = 30.0
    return net.eval()


def untrained():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 4))
    net[3].bias.data[:] = 0.0
    net[3].weight.data -= net[3].weight.data.mean(1, keepdim=True)
    return net.eval()
"""


@pytest.mark.parametrize(
    ("model", "labelled", "said"),
    [
        ("constant", False, "the {} network answers class 2 for all {} images: "),
        ("constant", True, "the {} network answers class 2 for all {} images, "),
        ("untrained", True, "the {} network answers "),
    ],
)
def test_doubts_are_said_by_the_commands(model: str, labelled: bool, said: str, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(MODEL, encoding="utf-8")
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {"x": rng.integers(0, 256, (90, 8, 8, 1), dtype=np.uint8)}
    if labelled:
        arrays["y"] = rng.integers(0, 4, 90)
    np.savez(tmp_path / "images.npz", **arrays)  # type: ignore[arg-type]
    source = f"{tmp_path / 'models.py'}:{model}", "--input-shape", "1,8,8", "--calibration", tmp_path / "images.npz"
    out = tmp_path / "out"
    result = toolflow("quantise", *source, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    warnings = json.loads(result.stdout)["warnings"]
    assert warnings == json.loads((out / "graphs" / "quantise.json").read_text(encoding="utf-8"))["warnings"]
    found = {text.partition(" network")[0]: text for text in warnings}
    names = {"float": 90, "low-precision": 30, "high-precision": 30}
    for name, count in names.items() if model == "constant" else [("float", 90)]:
        assert found[f"the {name}"].startswith(said.format(name, count))
    target = "--board", "zcu104", "--engine", "lanes_k=4,lanes_p=2,slots=1", "--out", out
    built = toolflow("build", *source, *target)
    assert built.exit_code == 0, built.stderr
    assert list(read_summary(out / "summary.json").warnings) == warnings
    assert f"warning: {warnings[0]}"[:60] in built.stdout


def test_an_input_that_is_almost_constant_is_said_by_the_commands(tmp_path: Path) -> None:
    """The document reports the first layer's input, and the warnings say what is unlikely about it."""
    (tmp_path / "models.py").write_text(MODEL, encoding="utf-8")
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=images, mean=[0.5], scale=1e-5)
    source = f"{tmp_path / 'models.py'}:untrained", "--input-shape", "1,8,8", "--calibration", tmp_path / "images.npz"
    result = toolflow("quantise", *source, "--single", "--rounding", "nearest", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    reached = images * 1e-5 - 0.5
    assert document["first_input"] == pytest.approx(
        {"lowest": reached.min(), "highest": reached.max(), "mean": reached.mean(), "deviation": reached.std()}
    )
    assert document["warnings"][0].startswith("channel 0 of the first layer's input is almost constant")
    assert "warning: channel 0 of the first layer's input is almost constant" in result.stderr
