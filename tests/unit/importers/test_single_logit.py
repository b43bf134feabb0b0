"""A network of one logit is a binary classifier: two logits (0, z), from the importers to the emitted engines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from quant.config import Normalisation, QuantiseConfig
from quant.quantise import quantise
from quant.sparsity.choice import Choice
from quant.sparsity.prune import prune_graph
from tests.end_to_end.projects import toolflow
from tests.unit.importers.import_tools import conv_node, onnx_model, random_array, run_graph, saved
from toolflow.importers.onnx.importer import import_onnx
from toolflow.importers.pytorch.importer import import_module
from toolflow.interpreter.run import logits_of
from toolflow.ir.errors import UnsupportedModelError
from toolflow.ir.graph import Graph, Node, verify_graph
from toolflow.numerics.confidence import ConfidenceRule, confidence_k, evaluate
from toolflow.numerics.srbs import Pattern
from toolflow.operators import Activation, Add, AvgPool, Conv, Flatten, Linear, MaxPool, Shortcut
from toolflow.passes.pipeline import simplify
from toolflow.passes.two_logits import two_logits
from toolflow.report.summary import read_summary

SHAPE = (3, 6, 6)
SAME = Conv(pads=(1, 1, 1, 1))


def one(name: str, source: str, channels: int = 3, op: Conv = SAME) -> Node:
    return conv_node(name, op, source, (1, channels, 3, 3), seed=len(name))


def graph_of(*nodes: Node, shape: tuple[int, int, int] = SHAPE) -> Graph:
    graph = Graph("one", "x", shape, nodes, nodes[-1].name)
    verify_graph(graph)
    return graph


GLOBAL = AvgPool((6, 6), (6, 6))
ENDINGS: dict[str, tuple[list[Node], bool]] = {
    "linear": ([Node("f", Flatten(), ("x",)), conv_node("y", Linear(), "f", (1, 108))], True),
    "rectified": ([Node("f", Flatten(), ("x",)), conv_node("y", Linear(Activation.RELU), "f", (1, 108))], True),
    "average": ([one("c", "x"), Node("y", GLOBAL, ("c",))], True),
    "flat": ([one("c", "x"), Node("p", MaxPool((6, 6), (6, 6)), ("c",)), Node("y", Flatten(), ("p",))], True),
    "sub-sampled": ([one("c", "x"), Node("s", Shortcut((6, 6)), ("c",)), Node("y", Flatten(), ("s",))], True),
    "sum": ([one("a", "x"), one("bb", "x"), Node("s", Add(), ("a", "bb")), Node("y", GLOBAL, ("s",))], True),
    "twice": ([one("a", "x"), Node("s", Add(), ("a", "a")), Node("y", GLOBAL, ("s",))], True),
    "read twice": (
        [one("a", "x"), one("bb", "a", 1), Node("s", Add(), ("a", "bb")), Node("y", GLOBAL, ("s",))],
        False,
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_zero_is_put_in_front_of_the_logit(name: str) -> None:
    nodes, in_place = ENDINGS[name]
    before = graph_of(*nodes)
    after = two_logits(before)
    verify_graph(after)
    x = random_array(40, *SHAPE, seed=5)
    z = run_graph(before, x).reshape(40, 1)
    logits = run_graph(after, x).reshape(40, 2)
    np.testing.assert_allclose(logits, np.concatenate([0 * z, z], axis=1), rtol=1e-9, atol=1e-9)
    assert after.binary
    assert (len(after.nodes) == len(before.nodes)) is in_place
    assert two_logits(after) is after


def test_a_pooled_image_is_given_a_layer() -> None:
    before = graph_of(Node("y", GLOBAL, ("x",)), shape=(1, 6, 6))
    after = two_logits(before)
    assert [node.op.kind for node in after.nodes] == ["avg_pool", "conv"]
    x = random_array(5, 1, 6, 6)
    z = run_graph(before, x).reshape(5)
    np.testing.assert_allclose(run_graph(after, x).reshape(5, 2), np.stack([0 * z, z], axis=1), atol=1e-9)


def test_other_networks_stay_as_they_are() -> None:
    for outputs in (2, 3):
        graph = graph_of(Node("f", Flatten(), ("x",)), conv_node("y", Linear(), "f", (outputs, 108)))
        assert two_logits(graph) is graph
    detector = graph_of(one("y", "x"))
    assert two_logits(detector) is detector


class Ending(nn.Module):
    def __init__(self, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.end = nn.Conv2d(3, 1, 3), nn.BatchNorm2d(1), end
        self.norm.bias.data.fill_(0.19)
        self.norm.weight.data.fill_(1.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.norm(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    "end",
    [
        torch.sigmoid,
        lambda z: z.squeeze(1),
        lambda z: z.view(-1),
        lambda z: z.flatten(),
        lambda z: torch.sigmoid(z).squeeze(),
        lambda z: torch.sigmoid(z.squeeze(1)),
        lambda z: torch.sigmoid(z).view(-1, 1, 1),
    ],
)
def test_what_a_module_may_end_in(end: Callable[[Tensor], Tensor]) -> None:
    module = Ending(end).eval()
    graph = simplify(import_module(module, SHAPE))
    x = random_array(60, *SHAPE, seed=3)
    with torch.no_grad():
        z = module.norm(module.conv(torch.from_numpy(x))).mean((2, 3))[:, 0].numpy()
    found = run_graph(graph, x).reshape(60, 2)
    assert 0 < (z > 0).sum() < 60
    assert (found.argmax(axis=1) == (z > 0)).all()
    np.testing.assert_allclose(found[:, 1], z, atol=1e-5)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("squeezed", [False, True])
def test_a_sigmoid_at_the_end_of_an_onnx_file(
    outputs: int, squeezed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = "p" if squeezed else "y"
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["z"], name="fc", transB=1),
        helper.make_node("Sigmoid", ["z"], [last], name="last"),
        *([helper.make_node("Squeeze", ["p", "one"], ["y"])] if squeezed else []),
    ]
    constants = {"w": random_array(outputs, 216), "one": np.array([1], np.int64)}
    path = saved(onnx_model(nodes, constants), tmp_path)
    if outputs == 1:
        graph = simplify(import_onnx(path))
        assert "Sigmoid 'last' is left out: it is above 0.5 exactly if its input is above 0" in caplog.text
        x = random_array(50, 3, 9, 8)
        p = onnxruntime.InferenceSession(path).run(None, {"x": x})[0].reshape(50)
        found = run_graph(graph, x)
        assert (found.argmax(axis=1) == (p > 0.5)).all()
        assert 0 < (p > 0.5).sum() < 50
        spread = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(np.abs(spread[:, 1] - spread[:, 0]), np.abs(2 * p - 1), atol=1e-5)
        return
    with pytest.raises(UnsupportedModelError) as caught:
        import_onnx(path)
    assert "Sigmoid 'last'" in str(caught.value)
    assert "a sigmoid of 2 numbers" in str(caught.value)
    assert "sigmoid of a single logit at the very end" in str(caught.value)


def test_what_is_refused_in_a_module() -> None:
    inside = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(64, 1))
    with pytest.raises(UnsupportedModelError, match="a sigmoid inside the network"):
        import_module(inside, SHAPE)
    one_class = nn.Sequential(nn.Flatten(), nn.Linear(108, 1), nn.Softmax(1))
    with pytest.raises(UnsupportedModelError, match="the softmax of one class is always 1"):
        import_module(one_class, SHAPE)


@pytest.mark.parametrize("scales", ["multiplier", "fixed-point"])
@pytest.mark.parametrize("end", ["linear", "average", "sum", "read twice"])
def test_the_integers_of_class_0_are_zero(scales: Any, end: str) -> None:
    graph = simplify(graph_of(*ENDINGS[end][0]))
    images = np.random.default_rng(1).integers(0, 256, (64, 6, 6, 3), dtype=np.uint8)
    normalisation = Normalisation(mean=(0.5,) * 3, std=(0.25,) * 3, scale=1 / 255)
    config = QuantiseConfig(weight_bits=4, activation_bits=4, family=scales)
    logits = logits_of(quantise(graph, images, normalisation, config, "low").graph, images)
    assert not logits[:, 0].any()
    assert (logits.argmax(axis=1) == (logits[:, 1] > 0)).all()
    assert len(np.unique(logits[:, 1])) > 2


def test_class_0_stays_zero_in_a_sparse_layer() -> None:
    """The layer that gives the logit takes a pattern where it is named."""
    first = conv_node("first", Conv(pads=(1, 1, 1, 1), activation=Activation.RELU), "x", (8, 3, 3, 3))
    before = graph_of(first, one("c", "first", 8), Node("y", GLOBAL, ("c",)))
    images = np.random.default_rng(1).integers(0, 256, (64, 6, 6, 3), dtype=np.uint8)
    normalisation = Normalisation(mean=(0.5,) * 3, std=(0.25,) * 3, scale=1 / 255)
    pruned = prune_graph(simplify(before), images, normalisation, {"c": Choice(0, Pattern(4, 8))})
    config = QuantiseConfig(weight_bits=8, activation_bits=8)
    made = quantise(pruned, images, normalisation, config, "high").graph
    assert np.count_nonzero(made.nodes[1].weights["weight"][1]) == 36
    logits = logits_of(made, images)
    assert not logits[:, 0].any()
    z = run_graph(before, normalisation.apply(images)).reshape(64)
    assert np.corrcoef(z, logits[:, 1])[0, 1] > 0.8


def test_the_confidence_is_the_sigmoid_s_distance_from_a_half() -> None:
    z = np.array([-32768, -5000, -1, 0, 1, 700, 5000, 32767], dtype=np.int64)
    k = confidence_k(2.0**-10)
    found = evaluate(np.stack([0 * z, z], axis=1), ConfidenceRule(k, 1, 2, 0))
    expected = np.abs(2 / (1 + np.exp(-z * 2.0**-10)) - 1)
    np.testing.assert_allclose(found.numerator / found.total, expected, atol=2e-3)
    assert found.klass.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A trained-looking classifier of one logit, images of both classes with labels, and onnxruntime's logits."""
    folder = tmp_path_factory.mktemp("binary")
    rng = np.random.default_rng(6)
    x = (rng.integers(0, 256, (160, 8, 8, 3)) * rng.random((160, 1, 1, 3))).astype(np.uint8)
    constants = {
        name: rng.normal(0, size, shape).astype(np.float32)
        for name, size, shape in (("w", 0.3, (4, 3, 3, 3)), ("b", 0.1, 4), ("fw", 1.0, (1, 4)))
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "fw", "fb"], ["z"], name="fc", transB=1),
        helper.make_node("Sigmoid", ["z"], ["y"], name="last"),
    ]
    inputs = {"x": (x.transpose(0, 3, 1, 2) / 255).astype(np.float32)}

    def logits(shift: float) -> np.ndarray:
        constants["fb"] = np.array([shift], np.float32)
        path = saved(onnx_model(nodes, constants, ("N", 3, 8, 8)), folder)
        p = onnxruntime.InferenceSession(path).run(None, inputs)[0].reshape(-1).astype(float)
        return np.asarray(np.log(p / (1 - p)))

    z = logits(-float(np.median(logits(0.0))))
    np.savez(folder / "images.npz", x=x, y=(z > 0).astype(np.int64))
    return folder, z


def test_a_binary_classifier_is_built_and_equal_on_every_level(binary: tuple[Path, np.ndarray]) -> None:
    folder, z = binary
    out = folder / "project"
    target: list[str | Path] = [
        "--board",
        "zcu104",
        "--engine",
        "lanes_k=4,lanes_p=2,slots=1",
        "--cascade",
        "--out",
        out,
    ]
    built = toolflow("build", folder / "model.onnx", "--calibration", folder / "images.npz", *target)
    assert built.exit_code == 0, built.stderr
    assert "class 1 if z > 0 (sigmoid(z) > 0.5), otherwise class 0" in built.stderr
    assert "is a binary classifier" in (out / "README.md").read_text(encoding="utf-8")
    summary = read_summary(out / "summary.json")
    assert (summary.model.classes, summary.model.binary) == (2, True)
    accuracy: dict[tuple[str, str], float] = {(row.unit, row.level): row.accuracy for row in summary.accuracy}
    assert accuracy["model", "float"] == 1.0
    assert accuracy["high", "reference"] > 0.9
    assert summary.cascade is not None
    assert (summary.cascade.m, summary.cascade.n) == (1, 2)
    with np.load(out / "graphs" / "images.npz") as stored:
        assert (stored["float"] == (z > 0)).all()
        held_out = z[stored["held_out"]][:8]
    answers = np.load(out / "vectors" / "high.logits.npy")[:8].reshape(8, 2)
    clear = np.abs(held_out) > 0.1
    assert clear.sum() >= 4
    assert (answers.argmax(axis=1) == (held_out > 0))[clear].all()
    verified = toolflow("verify", out, "--levels", "brevitas,hls4ml,program,hls", "--images", "8")
    assert verified.exit_code == 0, verified.stdout
    checks: dict[tuple[str, str], bool | None] = {
        (check.unit, check.level): check.equal for check in read_summary(out / "summary.json").verification
    }
    assert all(checks[unit, level] for unit in ("low", "high") for level in ("program", "hls", "brevitas"))


def test_check_says_what_one_logit_means(binary: tuple[Path, np.ndarray]) -> None:
    document = json.loads(toolflow("check", binary[0] / "model.onnx", "--json").stdout)
    assert document["binary"] is True
    layers = {node["node"]: node["reason"] for node in document["nodes"]}
    assert layers["fc"] == "as it is, with a channel of zeros for class 0"
    assert layers["conv"] == "as it is"
    assert "is a binary classifier" in toolflow("check", binary[0] / "model.onnx").stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.arange(160) % 2 + 1, "y must be within [0, 1], the model's classes, not 1 to 2"),
        ((np.arange(160) % 2).astype(np.float32), "as integers, not float32: convert it, y.astype('int64')"),
        (np.arange(160) % 2 == 1, "as integers, not bool: convert it, y.astype('int64')"),
    ],
)
def test_labels_that_are_no_classes_are_refused(
    labels: np.ndarray, said: str, binary: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    with np.load(binary[0] / "images.npz") as stored:
        np.savez(tmp_path / "images.npz", x=stored["x"], y=labels)
    result = toolflow(
        "quantise", binary[0] / "model.onnx", "--calibration", tmp_path / "images.npz", "--out", tmp_path / "q"
    )
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")
