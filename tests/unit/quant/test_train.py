"""Training with tiles and patterns: gradients, the support, steps, and interrupted runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

import quant.training.loop
import quant.winograd.gradient
from quant.float_network import float_logits, float_node
from quant.sparsity.choice import Choice, choose_layers, shaped
from quant.sparsity.prune import prune_graph
from quant.training.checkpoint import Checkpoint
from quant.training.images import TrainingImages, augmented
from quant.training.loop import Watch, prune_and_train
from quant.training.recipe import Recipe
from quant.training.steps import epochs_of_steps, gradual
from quant.training.trainable import TrainableNetwork
from quant.winograd.gradient import tap_reach, tile_sums
from quant.winograd.transforms import transformed
from tests.unit.quant.quantise_networks import NORMALISATION, images, residual_network, wide_network
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.numerics.srbs import Pattern, obeys
from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import Layer, WinogradConv
from toolflow.operators.winograd.torch_form import sums as winograd_sums

PATTERN = Pattern(1, 4)


@pytest.fixture(params=[0, 64], ids=["by tiles", "by kernels"])
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Both ways to compute the sums of F(2x2,3x3), whatever the channels, and few tiles at a time."""
    monkeypatch.setattr(quant.winograd.gradient, "NARROW_CHANNELS", request.param)
    monkeypatch.setattr(quant.winograd.gradient, "CACHED_VALUES", 1000)
    channels: int = request.param
    return channels


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 2, 1, 0)])
@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.usefixtures("narrow")
def test_sums_and_gradients_are_those_of_direct_convolution(tile: int, pads: tuple[int, int, int, int]) -> None:
    """Where U is transformed from a kernel, the kernel and the input get the gradients of a direct convolution."""
    torch.manual_seed(0)
    x = torch.randn(3, 5, 7, 9, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(4, 5, 3, 3, dtype=torch.float64, requires_grad=True)
    op = WinogradConv(tile, pads)
    sums = tile_sums(op, x, transformed(WINOGRAD[tile], kernel))
    top, left, bottom, right = pads
    direct = functional.conv2d(functional.pad(x, (left, right, top, bottom)), kernel)
    direction = torch.randn_like(direct)
    torch.testing.assert_close(sums, direct)
    found = torch.autograd.grad((sums * direction).sum(), (x, kernel))
    wanted = torch.autograd.grad((direct * direction).sum(), (x, kernel))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.usefixtures("narrow")
def test_gradients_of_any_u(tile: int) -> None:
    """A pruned U is no kernel: its gradients against differences, its sums against the plain form."""
    torch.manual_seed(1)
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    u = torch.randn(2, 3, tile + 2, tile + 2, dtype=torch.float64, requires_grad=True)
    op = WinogradConv(tile, (1, 1, 1, 1))
    torch.testing.assert_close(tile_sums(op, x, u), winograd_sums(op, x, u))
    assert torch.autograd.gradcheck(lambda x, u: tile_sums(op, x, u), (x, u))


@pytest.mark.parametrize("tile", [2, 4])
def test_reach_of_a_tap(tile: int) -> None:
    """Outputs of white inputs move by it for a unit of the tap's U, in the root mean square."""
    x = torch.randn(400, 1, tile + 2, tile + 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for place in ((0, 0), (1, 2), (tile + 1, 1)):
        u = torch.zeros(1, 1, tile + 2, tile + 2, dtype=torch.float64)
        u[0, 0, place[0], place[1]] = 1
        moved = winograd_sums(WinogradConv(tile), x, u).pow(2).mean().sqrt()
        assert moved.item() == pytest.approx(tap_reach(tile)[place].item(), rel=0.1)


@pytest.fixture(scope="module")
def dense() -> Graph:
    return residual_network()


@pytest.fixture(scope="module")
def choices(dense: Graph) -> dict[str, Choice]:
    return choose_layers(dense, 2, PATTERN, {"b1": Pattern(4, 8, 2)})[0]


@pytest.fixture(scope="module")
def data(dense: Graph) -> TrainingImages:
    x = images(96, seed=4)
    labels = float_logits(dense, torch.as_tensor(NORMALISATION.apply(x)).float()).argmax(1).numpy()
    return TrainingImages(x, labels, NORMALISATION)


def test_a_module_answers_as_its_graph(dense: Graph, choices: dict[str, Choice], data: TrainingImages) -> None:
    """Also with batch norms that it got, and after they are folded back."""
    pruned = prune_graph(dense, data.images, NORMALISATION, choices)
    x = data.inputs(data.images, torch.device("cpu"))
    with torch.no_grad():
        wanted = float_logits(pruned, x)
        network = TrainableNetwork(pruned).eval()
        torch.testing.assert_close(network(x), wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(network.with_norms(x).eval()(x), wanted, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(float_logits(network.trained(), x), wanted, rtol=1e-3, atol=1e-3)


def _maps(graph: Graph, data: TrainingImages) -> dict[str, torch.Tensor]:
    """Every tensor of the float network, node by node."""
    live = {graph.input_name: data.inputs(data.images, torch.device("cpu"))}
    for node in graph.nodes:
        live[node.name] = float_node(node, [live[tensor] for tensor in node.inputs])
    return live


def test_the_maps_that_teach(dense: Graph, data: TrainingImages) -> None:
    """The maps after additions teach; in a network without additions, those of all layers except the last."""
    x = data.inputs(data.images, torch.device("cpu"))
    with torch.no_grad():
        _, maps = TrainableNetwork(dense).eval().logits_and_maps(x)
        wanted = _maps(dense, data)
        assert list(maps) == ["a2", "b2", "c"]
        for name, addition in (("a2", "a"), ("b2", "b"), ("c", "c")):
            torch.testing.assert_close(maps[name], wanted[addition], rtol=1e-4, atol=1e-4)
        wide = wide_network()
        _, maps = TrainableNetwork(wide).eval().logits_and_maps(x)
        assert list(maps) == [node.name for node in wide.nodes if isinstance(node.op, Layer)]
        torch.testing.assert_close(maps["deep"], _maps(wide, data)["deep"], rtol=1e-4, atol=1e-4)


def test_maps_that_teach_bring_the_maps_nearer(
    dense: Graph, choices: dict[str, Choice], data: TrainingImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They bring the maps nearer than outputs alone do in as many epochs."""
    monkeypatch.setattr(quant.training.loop, "augmented", lambda images, *_: images)
    unlabelled = TrainingImages(data.images, None, NORMALISATION)
    wanted = _maps(dense, data)
    far = {}
    for matched in (0.0, 4.0):
        recipe = Recipe(epochs=12, batch=32, rate=0.01, matched=matched)
        trained, _ = prune_and_train(dense, unlabelled, choices, recipe, Watch(lambda graph: 0.5))
        found = _maps(trained, data)
        far[matched] = sum(
            float((found[name] - wanted[name]).square().mean() / wanted[name].square().mean()) for name in ("a", "b")
        )
    assert far[4.0] < 0.7 * far[0.0]


def test_batch_norms_change_nothing_on_the_batches_that_come(dense: Graph, choices: dict[str, Choice]) -> None:
    """Bright images with black where they were shifted vary far more than the images themselves."""
    bright = np.random.default_rng(3).integers(160, 256, (512, *images(8).shape[1:]), dtype=np.uint8)
    data = TrainingImages(bright, None, NORMALISATION)
    pruned: list[Graph] = []

    def measure(graph: Graph) -> float:
        pruned.append(graph)
        return 0.5

    training = quant.training.loop.Training(dense, data, Recipe(1), Watch(measure), None)
    network = training.pruning(choices, 1).begin(dense).train()
    batch = data.inputs(augmented(bright[256:], np.random.default_rng(7), flip=True), torch.device("cpu"))
    wanted = float_logits(pruned[0], batch)
    assert (network(batch) - wanted).norm() < 0.1 * (wanted - wanted.mean(0)).norm()


def test_steps_shrink_to_the_pattern() -> None:
    wide, narrow, fixed = Choice(2, Pattern(3, 16)), Choice(0, Pattern(12, 16, 2)), Choice(4, None)
    steps = gradual({"a": wide, "b": narrow, "c": fixed})
    assert [step["a"].pattern for step in steps] == [Pattern(8, 16), Pattern(5, 16), Pattern(3, 16)]
    assert all(step["b"] == narrow and step["c"] == fixed for step in steps)
    assert [str(step["x"].pattern) for step in gradual({"x": Choice(2, PATTERN)})] == ["2:4", "1:4"]
    assert len(gradual({"x": Choice(2, Pattern(1, 1))})) == 1


def test_the_last_step_trains_at_least_seven_eighths_of_the_epochs() -> None:
    assert epochs_of_steps(3, 32) == [2, 2, 28]
    assert epochs_of_steps(3, 15) == [0, 0, 15]
    assert epochs_of_steps(1, 5) == [5]


def _run(
    dense: Graph,
    choices: dict[str, Choice],
    data: TrainingImages,
    checkpoint: Checkpoint | None = None,
    batch: Callable[[int, str], None] = lambda _, __: None,
    epochs: int = 8,
    rate: float = 0.01,
) -> tuple[Graph, list[quant.training.loop.Event]]:
    recipe = Recipe(epochs=epochs, batch=32, rate=rate)
    return prune_and_train(dense, data, choices, recipe, Watch(lambda graph: 0.5, batch), checkpoint)


@pytest.fixture(scope="module")
def whole(
    dense: Graph, choices: dict[str, Choice], data: TrainingImages
) -> tuple[Graph, list[quant.training.loop.Event]]:
    return _run(dense, choices, data)


def _answers(graph: Graph, data: TrainingImages) -> torch.Tensor:
    return float_logits(graph, data.inputs(data.images, torch.device("cpu")))


def test_training_holds_the_pattern_and_comes_nearer_to_the_dense_network(
    dense: Graph, choices: dict[str, Choice], data: TrainingImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quant.training.loop, "augmented", lambda images, *_: images)
    unlabelled = TrainingImages(data.images, None, NORMALISATION)
    trained, _ = _run(dense, choices, unlabelled, epochs=24, rate=0.03)
    pruned = prune_graph(dense, data.images, NORMALISATION, choices)
    for name, choice in choices.items():
        assert choice.pattern is not None
        assert obeys(trained.by_name[name].weights["weight"], choice.pattern, shared=choice.tile > 0)
    truth = functional.log_softmax(_answers(dense, data), 1)
    far, near = (
        functional.kl_div(
            functional.log_softmax(_answers(graph, data), 1), truth, reduction="batchmean", log_target=True
        ).item()
        for graph in (pruned, trained)
    )
    assert near < 0.7 * far


def test_what_is_measured_on_the_way(whole: tuple[Graph, list[quant.training.loop.Event]]) -> None:
    _, events = whole
    assert [(event["pattern"], event["epochs"]) for event in events] == [
        ("2:4, 4:8x2", 0), ("2:4, 4:8x2", 1), ("1:4, 4:8x2", 0), ("1:4, 4:8x2", 7),
    ]  # fmt: skip
    assert [event["loss"] is None for event in events] == [True, False, True, False]


@pytest.mark.parametrize("batches", [1, 4, 11, 23])
def test_a_resumed_run_gives_the_same_weights(
    batches: int,
    tmp_path: Path,
    dense: Graph,
    choices: dict[str, Choice],
    data: TrainingImages,
    whole: tuple[Graph, list[quant.training.loop.Event]],
) -> None:
    """It is interrupted in its first epoch, after its first step, in a later epoch, and in its last epoch."""
    checkpoint, told = Checkpoint(tmp_path / "state", "origin"), []

    def interrupt(count: int, text: str) -> None:
        told.append(text)
        if len(told) == batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(dense, choices, data, checkpoint, interrupt)
    told.clear()
    resumed, events = _run(dense, choices, data, checkpoint, lambda count, text: told.append(text))
    assert ("resumed" in told) == (batches > 3)
    assert len(told) <= 24 - batches // 3 * 3 + 1
    assert events == whole[1]
    for ours, theirs in zip(whole[0].nodes, resumed.nodes, strict=True):
        for name, values in ours.weights.items():
            assert (values == theirs.weights[name]).all()
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_checkpoint_of_another_run_is_not_used(
    tmp_path: Path, dense: Graph, choices: dict[str, Choice], data: TrainingImages
) -> None:
    path = tmp_path / "state"
    _run(dense, choices, data, Checkpoint(path, "one"), epochs=1)
    assert Checkpoint(path, "one").read() is not None
    assert Checkpoint(path, "another").read() is None
    path.write_bytes(b"nonsense")
    with pytest.raises(ToolflowError, match="delete it to train from the start"):
        Checkpoint(path, "one").read()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.OutOfMemoryError("CUDA")]
)
def test_too_little_memory_is_said_in_a_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, dense: Graph, choices: dict[str, Choice], data: TrainingImages
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(TrainableNetwork, "_walk", fail)
    with pytest.raises(ToolflowError, match="batches of 32 images needs more memory than there is"):
        _run(dense, choices, data)


def test_a_rate_that_is_too_high_is_said(dense: Graph, choices: dict[str, Choice], data: TrainingImages) -> None:
    recipe = Recipe(epochs=2, batch=32, rate=1e9)
    with pytest.raises(ToolflowError, match="the learning rate must be below"):
        prune_and_train(dense, data, choices, recipe, Watch(lambda graph: 0.0))


def test_without_labels_the_dense_network_is_all_that_teaches(
    dense: Graph, choices: dict[str, Choice], data: TrainingImages
) -> None:
    trained, events = _run(dense, choices, TrainingImages(data.images, None, NORMALISATION), epochs=1)
    assert events[-1]["loss"] is not None
    assert np.isfinite(trained.by_name["a1"].weights["weight"]).all()


def test_augmented_images_are_shifted_and_mirrored() -> None:
    x = images(64, size=16)
    seen = augmented(x, np.random.default_rng(0), flip=False)
    assert seen.shape == x.shape
    assert seen.dtype == np.uint8
    middle = [(seen[i, 2:-2, 2:-2] == x[i, 2 + d : 14 + d, 2 + r : 14 + r]).all()
              for i in range(64) for d in range(-2, 3) for r in range(-2, 3)]  # fmt: skip
    assert sum(middle) >= 64  # constant images match everywhere
    again = augmented(x, np.random.default_rng(0), flip=True)
    kept = [(a == b).all() for a, b in zip(seen, again, strict=True)]
    assert 10 < sum(kept) < 54


def test_kernels_are_trained_at_norm_one(dense: Graph, choices: dict[str, Choice], data: TrainingImages) -> None:
    """This holds for kernels of any size; a kernel of zeros is not changed."""
    node = dense.by_name["b2"]
    weight = node.weights["weight"] * np.array([1e-4, 0, *[10] * (len(node.weights["weight"]) - 2)]).reshape(
        -1, 1, 1, 1
    )
    nodes = tuple(replace(n, weights={**n.weights, "weight": weight}) if n.name == "b2" else n for n in dense.nodes)
    x = data.inputs(data.images, torch.device("cpu"))
    network = TrainableNetwork(shaped(replace(dense, nodes=nodes), choices)).with_norms(x)
    found = [(layer.used * layer.reach).flatten(1).norm(dim=1) for layer in network.convolutions()]
    norms = torch.cat(found)
    assert int((norms == 0).sum()) == 1
    torch.testing.assert_close(norms[norms > 0], torch.ones(len(norms) - 1), rtol=1e-4, atol=1e-4)
