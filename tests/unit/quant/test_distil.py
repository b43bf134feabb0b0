"""What networks learn from teachers and peers, against formulas in numpy and finite differences."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

import quant.training.loop
from quant.float_network import float_logits, float_node
from quant.mechanisms.distil.peers import PeerAttention, Peers, diversity
from quant.mechanisms.finetune import fresh
from quant.mechanisms.judge import Trial
from quant.mechanisms.receptive import receptive_fields
from quant.mechanisms.rewrite.blocks import chains
from quant.mechanisms.rewrite.branches import Branched, cuts
from quant.mechanisms.rewrite.statistics import statistics
from quant.recipes.blockwise import Blockwise
from quant.recipes.multi_segment import MultiSegment
from quant.recipes.okddip import OkdDip
from quant.recipes.recipe import CompressionRecipe
from quant.training.distillation import Distillation, Lesson, Networks
from quant.training.recipe import Recipe
from quant.training.schedules import Constant, Moving, RampUp
from quant.training.terms import Said, SoftAnswers
from quant.training.trainable import TrainableNetwork
from tests.unit.quant.benches import bench_of
from tests.unit.quant.quantise_networks import RELU, SAME, Builder, plain_network, residual_network
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.operators import Add, AvgPool, Conv, Flatten

Array = npt.NDArray[np.float64]
PEERS, CLASSES, FEATURES, IMAGES = 3, 4, 16, 5
NAMES = tuple(f"feature{peer}" for peer in range(PEERS))


class Answers(nn.Module):
    """Stands for a network of three peers and a leader: answers and features are parameters."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))

        self.logits = drawn(IMAGES, (PEERS + 1) * CLASSES)
        self.features = nn.ParameterList(drawn(IMAGES, FEATURES, 2, 2) for _ in range(PEERS))

    def logits_and_maps(self, x: torch.Tensor, also: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        assert tuple(also) == NAMES
        return self.logits, dict(zip(NAMES, self.features, strict=True))


def peers_lesson(*, attended: bool = True) -> Lesson:
    teacher = Peers(NAMES, FEATURES, attended=attended)
    given = Distillation(
        (SoftAnswers(Constant(3)),), RampUp(1, 0.5), Constant(1), teacher, reads=NAMES, members=PEERS + 1
    )
    return Lesson(given, residual_network()).double()


def softmax(values: Array) -> Array:
    powers = np.exp(values - values.max(-1, keepdims=True))
    result: Array = powers / powers.sum(-1, keepdims=True)
    return result


def peers_loss(network: Answers, lesson: Lesson, labels: Array, progress: float) -> float:
    """The loss of OKDDip as it is published, in numpy."""
    logits = network.logits.detach().numpy().reshape(IMAGES, PEERS + 1, CLASSES)
    features = np.stack([each.detach().numpy().mean((2, 3)) for each in network.features], 1)
    assert isinstance(lesson.teacher, PeerAttention)
    query, key = (each.detach().numpy() for each in (lesson.teacher.query, lesson.teacher.key))
    total = 0.0
    for image in range(IMAGES):
        attention = softmax((features[image] @ query.T) @ (features[image] @ key.T).T)
        targets = [*(attention @ logits[image, :PEERS]), logits[image, :PEERS].mean(0)]
        for member, target in enumerate(targets):
            wanted, said = softmax(target / 3), softmax(logits[image, member] / 3)
            total += (
                math.exp(-5 * (1 - min(progress / 0.5, 1)) ** 2) * 9 * float((wanted * np.log(wanted / said)).sum())
            )
            total -= math.log(softmax(logits[image, member])[int(labels[image])])
    return total / IMAGES


def test_the_loss_of_peers_is_the_published_one() -> None:
    network, lesson, labels = Answers(), peers_lesson(), torch.tensor([0, 3, 1, 2, 2])
    for progress in (0.0, 0.2, 0.8):
        found = lesson(network, torch.zeros(IMAGES), labels, progress)
        assert float(found.detach()) == pytest.approx(peers_loss(network, lesson, labels.numpy(), progress), rel=1e-9)


def test_gradients_of_peers_against_finite_differences() -> None:
    """Into the answers, which are targets too, into the features, and into queries and keys."""
    network, lesson, labels = Answers(), peers_lesson(), torch.tensor([0, 3, 1, 2, 2])
    lesson(network, torch.zeros(IMAGES), labels, 0.4).backward()
    parameters = dict([*network.named_parameters(), *lesson.named_parameters()])
    assert len(parameters) == 1 + PEERS + 2
    for name, value in parameters.items():
        assert value.grad is not None
        place = int(value.grad.abs().argmax())
        flat = value.detach().view(-1)
        losses = []
        for step in (1e-5, -2e-5):
            flat[place] += step
            losses.append(peers_loss(network, lesson, labels.numpy(), 0.4))
        flat[place] += 1e-5
        expected = (losses[0] - losses[1]) / 2e-5
        assert float(value.grad.view(-1)[place]) == pytest.approx(expected, rel=1e-5), name


def test_weights_of_peers() -> None:
    """Not symmetric with attention, equal without."""
    features = torch.randn(2, PEERS, FEATURES, generator=torch.Generator().manual_seed(0))
    attended = PeerAttention(Peers(NAMES, FEATURES)).weights(features).detach()
    assert (attended - attended.transpose(1, 2)).abs().max() > 0.01
    torch.testing.assert_close(attended.sum(2), torch.ones(2, PEERS))
    equal = PeerAttention(Peers(NAMES, FEATURES, attended=False))
    assert not list(equal.parameters())
    torch.testing.assert_close(equal.weights(features), torch.full((2, PEERS, PEERS), 1 / PEERS))


def test_schedules() -> None:
    ramp, moving = RampUp(2, 0.5), Moving(4, 1)
    assert [ramp(each) for each in (0, 0.25, 0.5, 1)] == pytest.approx([2 * math.exp(-5), 2 * math.exp(-1.25), 2, 2])
    assert [moving(each) for each in (0, 0.5, 1)] == pytest.approx([4, 2.5, 1])


def test_a_temperature_that_falls() -> None:
    """The term takes the temperature of the moment."""
    student, teacher = (Said(torch.randn(3, 5), {}) for _ in range(2))
    falling = SoftAnswers(Moving(4, 1))
    for progress, temperature in ((0.0, 4.0), (1.0, 1.0)):
        expected = SoftAnswers(Constant(temperature))(student, teacher, 0)
        torch.testing.assert_close(falling(student, teacher, progress), expected)


def test_several_teachers_say_their_mean_and_one_shows_its_maps() -> None:
    graphs = tuple(fresh(residual_network(), seed) for seed in (1, 2))
    x = torch.randn(2, 3, 12, 12)
    student = Said(torch.zeros(2, 5), {})
    (mean,) = Networks(graphs).begun(residual_network())(x, [student], ())
    torch.testing.assert_close(mean.logits, sum(float_logits(graph, x) for graph in graphs) / 2, rtol=1e-4, atol=1e-5)
    assert not mean.maps
    (alone,) = Networks().begun(residual_network())(x, [student], ())
    torch.testing.assert_close(alone.logits, float_logits(residual_network(), x), rtol=1e-4, atol=1e-5)
    assert alone.maps
    assert not list(filter(lambda each: each.requires_grad, Networks(graphs).begun(graphs[0]).parameters()))


def test_both_look_at_what_the_inputs_give() -> None:
    seen = []

    class Looking(Answers):
        def logits_and_maps(self, x: torch.Tensor, also: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            seen.append(x)
            return super().logits_and_maps(x, also)

    lesson = peers_lesson()
    lesson.given = replace(lesson.given, inputs=lambda x, labels, network: x + labels)
    labels = torch.tensor([0, 3, 1, 2, 2])
    lesson(Looking(), torch.ones(IMAGES), labels, 0.1)
    torch.testing.assert_close(seen[0], 1.0 + labels)


def test_branches_answer_as_the_network_and_come_back() -> None:
    graph = residual_network()
    branched = Branched.of(graph, 3)
    assert branched.stem == ("stem", "a1", "a2", "a")  # what comes behind has maps half as large
    x = torch.randn(2, 3, 12, 12)
    expected = float_logits(graph, x)
    torch.testing.assert_close(float_logits(branched.graph, x), expected.repeat(1, 3))
    trained = fresh(branched.graph, 0)
    answers = float_logits(trained, x).chunk(3, 1)
    for number, answer in enumerate(answers):
        alone = branched.branch(trained, number)
        torch.testing.assert_close(float_logits(alone, x), answer)
        assert [node.name for node in alone.nodes] == [node.name for node in graph.nodes]
    probabilities = [torch.softmax(each, 1).numpy() for each in answers]
    distances = [
        np.linalg.norm(probabilities[one] - probabilities[other], axis=1) for one, other in ((0, 1), (0, 2), (1, 2))
    ]
    found = diversity([branched.branch(trained, number) for number in range(3)], x)
    assert found == pytest.approx(np.mean(distances), rel=1e-4)


def test_the_cuts_of_a_network() -> None:
    """Within a residual block two tensors go on, one of them past its layers."""
    assert list(cuts(residual_network())) == ["image", "stem", "a", "b", "c", "pool", "flat"]


def test_a_network_without_a_stem_for_branches() -> None:
    b = Builder()
    x = b.conv("one", b.conv("two", "image", (4, 3, 1, 1), Conv(activation=RELU)), (4, 4, 1, 1), Conv(activation=RELU))
    graph = b.graph(b.linear("linear", b.node("flat", Flatten(), x), (5, 4 * 144)))
    with pytest.raises(ToolflowError, match="'network' must have layers before its last stage, and one tensor between"):
        OkdDip().run(graph, bench_of(graph))


@pytest.mark.parametrize("recipe", [OkdDip(epochs=4), Blockwise(epochs=2), MultiSegment(epochs=4)])
def test_recipes_go_on_after_an_interruption(
    recipe: CompressionRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Peers with their queries and keys, blocks behind the one that is done: the network is the same as without it."""
    graph = plain_network()
    epoch, left = quant.training.loop.Training._epoch, [2]

    def cut(self: Any, *given: Any) -> float:
        left[0] -= 1
        if left[0] == -1:
            raise KeyboardInterrupt
        return epoch(self, *given)

    monkeypatch.setattr(quant.training.loop.Training, "_epoch", cut)
    digests = []
    for folder in (tmp_path / "cut", tmp_path / "whole"):
        folder.mkdir()

        def run(folder: Path = folder) -> Graph:
            bench = bench_of(graph)
            bench.folder = folder
            return recipe.run(graph, bench)

        if folder.name == "cut":
            with pytest.raises(KeyboardInterrupt):
                run()
            assert left[0] == -1
        digests.append(Trial(run()).digest)
    assert digests[0] == digests[1]
    assert left[0] == -1 - 2 - 4  # nothing was trained twice


def test_no_labels_leave_the_terms_alone() -> None:
    recipe, graph = Recipe(1, taught=0.3), residual_network()
    lesson = Lesson(Distillation.of(recipe, SoftAnswers(Constant(2))), graph)
    x, student = torch.randn(2, 3, 12, 12), fresh(graph, 1)
    network = TrainableNetwork(student).eval()
    said = [Said(float_logits(each, x), {}) for each in (student, graph)]
    taught = float(SoftAnswers(Constant(2))(said[0], said[1], 0))
    assert float(lesson(network, x, None, 0).detach()) == pytest.approx(taught, rel=1e-4)
    labels = torch.tensor([1, 4])
    entropy = float(torch.nn.functional.cross_entropy(said[0].logits, labels))
    assert float(lesson(network, x, labels, 0).detach()) == pytest.approx(0.3 * taught + 0.7 * entropy, rel=1e-4)


def test_the_blocks_of_a_network() -> None:
    assert chains(plain_network()) == [("a1", "a2"), ("b1", "b2")]
    assert chains(residual_network()) == [("stem",), ("a1", "a2"), ("b1", "b2")]


def test_receptive_fields_against_gradients() -> None:
    """A value in the middle of a map depends on as many rows and columns of the image, and on no other."""
    b = Builder()
    x = b.conv("conv", "image", (4, 3, 3, 3), Conv(activation=RELU))
    x = b.node("pool", AvgPool((2, 3), (2, 2)), x)
    x = b.conv("wide", x, (4, 4, 3, 2), Conv(dilation=(1, 2), stride=(2, 1)))
    y = b.conv("residual", x, (4, 4, 3, 3), Conv(pads=SAME))
    b.node("last", AvgPool((1, 2), (1, 1)), b.node("sum", Add(RELU), y, x))
    graph = replace(b.graph("last"), input_shape=(3, 48, 48))
    image, fields = torch.ones(1, 3, 48, 48).requires_grad_(), receptive_fields(graph)
    live = {"image": image}
    for node in graph.nodes:
        weights = {name: np.abs(each) + 0.1 for name, each in node.weights.items()}
        value = live[node.name] = float_node(replace(node, weights=weights), [live[each] for each in node.inputs])
        middle = value[0, :, value.shape[2] // 2, value.shape[3] // 2].sum()
        (gradient,) = torch.autograd.grad(middle, image, retain_graph=True)
        touched = (gradient[0] != 0).any(0)
        assert (int(touched.any(1).sum()), int(touched.any(0).sum())) == fields[node.name], node.name


def test_a_block_alone_is_trained_and_sees_as_much() -> None:
    """The other layers stay, but for the batch norms above, and the new block comes closer to the old one's map."""
    graph = plain_network()
    bench = bench_of(graph)
    recipe, block = Blockwise(epochs=60, rate=0.01, local=30), ("a1", "a2")
    made = recipe.distilled(graph, [block], bench)
    assert [made.by_name[name].weights["weight"].shape for name in ("a1", "a2.narrow", "a2")] == [
        (8, 3, 3, 3),
        (8, 8, 3, 3),
        (16, 8, 1, 1),
    ]
    fields = receptive_fields(graph)
    assert {name: receptive_fields(made)[name] for name in fields} == dict(fields)
    before, after = (
        {name: node.weights.get("weight", np.zeros(0)).astype(float) for name, node in each.by_name.items()}
        for each in (graph, made)
    )
    np.testing.assert_allclose(after["linear"], before["linear"], rtol=1e-6)
    for name in ("b1", "b2"):  # scaled channel by channel, and no more
        ratio = np.divide(after[name], before[name])
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1, :1], ratio.shape), rtol=1e-4)
    x, _ = bench.sample()
    wanted = map_of(graph, "a2", x)
    started = bench.judge.adapted(Trial(recipe.exchanged(graph, block), {"a2": np.ones(16, dtype=bool)}))
    errors = [float((map_of(each, "a2", x) - wanted).square().mean()) for each in (started, made)]
    assert errors[1] < 0.8 * errors[0]
    moments = statistics(made, x)
    for name in ("b1", "b2"):
        torch.testing.assert_close(moments[name].mean, bench.judge.wanted[name].mean, rtol=1e-3, atol=1e-3)


def map_of(graph: Graph, name: str, x: torch.Tensor) -> torch.Tensor:
    return TrainableNetwork(graph).eval().logits_and_maps(x, [name])[1][name].detach()


def test_blocks_learn_the_map_behind_each_alone() -> None:
    lesson = Blockwise(local=2).lesson(plain_network(), [("a1", "a2")])
    maps = {name: torch.randn(2, 3, 4, 4) for name in ("a2", "b2")}
    student = Said(torch.zeros(2, 5), {name: each + 1 for name, each in maps.items()})
    found = float(lesson.terms[0](student, Said(torch.zeros(2, 5), maps), 0))
    assert found == pytest.approx(2 / float(maps["a2"].square().mean()), rel=1e-4)


def test_a_block_that_saves_no_cycles_stays() -> None:
    """The 1×1 convolution behind the first layer costs more than its filters save."""
    b = Builder()
    x = b.conv("one", "image", (16, 3, 1, 1), Conv(activation=RELU))
    graph = b.graph(b.linear("linear", b.node("flat", Flatten(), x), (5, 16 * 144)))
    with pytest.raises(ToolflowError, match=r"'network' must have a block, .* with 0\.5 of its filters"):
        Blockwise().run(graph, bench_of(graph))
    assert Blockwise().blocks(plain_network(), bench_of(plain_network())) == [("a1", "a2"), ("b1", "b2")]
