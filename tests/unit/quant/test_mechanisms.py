"""Statistics, saliencies, prices, knees, the genetic algorithm, stores and executors, each against an oracle."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from distributed import LocalCluster
from kneed import KneeLocator
from torch import nn

import quant.mechanisms.saliency
import quant.mechanisms.search.cluster
from quant.config import QuantiseConfig
from quant.float_network import float_logits, float_node
from quant.mechanisms.cost import Pricing
from quant.mechanisms.finetune import fresh
from quant.mechanisms.judge import Judge, Trial
from quant.mechanisms.rewrite.channels import ChannelMap
from quant.mechanisms.rewrite.statistics import adapted, statistics
from quant.mechanisms.saliency import fisher, magnitudes, quadratic_error
from quant.mechanisms.search.cluster import DaskCluster
from quant.mechanisms.search.executor import TRIES, InProcess, LocalPool
from quant.mechanisms.search.genetic import Genetic, shares
from quant.mechanisms.search.knee import knee
from quant.mechanisms.search.store import Store
from quant.quantise import quantise
from quant.training.schedules import Constant
from quant.training.terms import AttentionMaps, MatchedMaps, Said, SoftAnswers
from tests.unit.quant.pool_work import squared_or_dead
from tests.unit.quant.quantise_networks import NORMALISATION, images, residual_network
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.operators import AvgPool, BatchNorm, Conv, Flatten, Linear, Relu
from toolflow.passes.pipeline import simplify
from toolflow.plan.boards.board import load_board
from toolflow.plan.explore.estimate import layer_cycles


class Normalised(nn.Module):
    """Two convolutions with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6)
        self.linear = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        found: torch.Tensor = self.linear(x.mean((2, 3)))
        return found

    def graph(self) -> Graph:
        """Return the module as it is imported."""
        of = {name: value.numpy() for name, value in self.state_dict().items()}
        norm = {"scale": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
        nodes, tensor = [], "image"
        for place in "12":
            weights = {name: of[f"conv{place}.{name}"] for name in ("weight", "bias")}
            nodes.append(Node(f"conv{place}", Conv(), (tensor,), weights))
            values = {name: of[f"bn{place}.{theirs}"] for name, theirs in norm.items()}
            nodes.append(Node(f"bn{place}", BatchNorm(), (f"conv{place}",), values))
            nodes.append(Node(f"relu{place}", Relu(), (f"bn{place}",)))
            tensor = f"relu{place}"
        nodes += [Node("mean", AvgPool((8, 8), (8, 8)), (tensor,)), Node("flat", Flatten(), ("mean",))]
        weights = {name: of[f"linear.{name}"] for name in ("weight", "bias")}
        nodes.append(Node("linear", Linear(), ("flat",), weights))
        return Graph("net", "image", (3, 12, 12), tuple(nodes), "linear")


def with_statistics(model: Normalised, x: torch.Tensor) -> Normalised:
    """Give the batch norms the mean and variance of x, as Adaptive BN does."""
    for norm in (model.bn1, model.bn2):
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    with torch.no_grad():
        for _ in range(2):  # the second norm sees what the first one gives only once that has its statistics
            model(x)
    for norm in (model.bn1, model.bn2):  # of the whole population, as torch corrects for a sample
        count = x.shape[0] * (10 * 10 if norm is model.bn1 else 8 * 8)
        assert norm.running_var is not None
        norm.running_var *= (count - 1) / count
    return model.eval()


def test_adapted_statistics_are_those_of_batch_norms_measured_again() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 3, 12, 12)
    model = Normalised()
    for norm in (model.bn1, model.bn2):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    graph = simplify(with_statistics(model, x).graph())
    wanted = statistics(graph, x)
    channels = ChannelMap.of(graph)
    first = channels.widths[0]
    removed = set(first.classes[:3])
    masks = channels.masks(removed)
    made = adapted(channels.without(removed), x, {name: each.kept(masks[name]) for name, each in wanted.items()})
    with torch.no_grad():
        assert model.conv1.bias is not None
        model.conv1.weight[:3], model.conv1.bias[:3] = 0, 0
        model.bn1.weight[:3], model.bn1.bias[:3] = 0, 0
    expected = with_statistics(model, x)(x).detach()
    torch.testing.assert_close(float_logits(made, x), expected, rtol=1e-3, atol=1e-3)
    plain = float_logits(channels.without(removed), x)
    assert (plain - expected).abs().max() > 0.05  # without it the answers are others


def test_fisher_saliency_against_finite_differences() -> None:
    """a·∂L/∂a summed over positions is the derivative of the loss by a factor of the channel."""
    graph = residual_network()
    channels = ChannelMap.of(graph)
    x, labels = torch.randn(3, 3, 12, 12, dtype=torch.float64), torch.tensor([0, 3, 1])

    def losses(name: str, channel: int, factor: float) -> torch.Tensor:
        live = {graph.input_name: x}
        for node in graph.nodes:
            value = float_node(node, [live[each] for each in node.inputs])
            if node.name == name:
                value = value.clone()
                value[:, channel] *= factor
            live[node.name] = value
        return functional.cross_entropy(live[graph.output], labels, reduction="none")

    found = fisher(channels, x, labels, batch=2)
    for channel in (0, 5):
        slope = (losses("a1", channel, 1 + 1e-5) - losses("a1", channel, 1 - 1e-5)) / 2e-5
        expected = float(slope.square().mean() / 2)
        assert found[int(channels.classes["a1"][channel])] == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_the_quadratic_error_is_the_readers_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """mᵀQm/2 against the outputs of the layer that reads the width, with and without the channels."""
    graph = residual_network()
    channels = ChannelMap.of(graph)
    width = next(width for width in channels.widths if width.layers == ("b1",))
    x = torch.randn(4, 3, 12, 12)
    error = quadratic_error(channels, width, x)
    live = {graph.input_name: x}
    for node in graph.nodes:
        live[node.name] = float_node(node, [live[each] for each in node.inputs])
    without = live["b1"].clone()
    gone = np.zeros(len(width.classes))
    for place in (1, 4, 11):
        gone[place] = 1
        without[:, channels.classes["b1"] == width.classes[place]] = 0
    difference = float_node(graph.by_name["b2"], [without]) - live["b2"]
    expected = float(difference.double().square().sum(1).mean() / 2)
    assert gone @ error @ gone / 2 == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(error, error.T, rtol=1e-9)
    monkeypatch.setattr(quant.mechanisms.saliency, "MAX_MOMENTS", 5000)  # a few channels at once
    np.testing.assert_allclose(quadratic_error(channels, width, x), error, rtol=1e-9)


def test_magnitudes_sum_over_the_layers_of_a_class() -> None:
    graph = residual_network()
    channels = ChannelMap.of(graph)
    makers = ("stem", 2), ("a2", 2), ("b2", 6)
    expected = sum(np.abs(graph.by_name[name].weights["weight"][place]).sum() for name, place in makers)
    assert magnitudes(channels)[int(channels.classes["stem"][2])] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_the_knee_is_the_librarys(seed: int) -> None:
    """Smooth and noisy curves. The library also counts knees below the diagonal and at the last point, we do not."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(60):
        count = int(rng.integers(4, 20))
        x = np.arange(count) / 10 if rng.random() < 0.5 else np.sort(rng.choice(1000, count, replace=False)) / 1000
        noise = rng.choice([0, 0.005, 0.03, 0.2])
        y = 1 - (np.arange(count) / count) ** rng.uniform(1.2, 6) + rng.normal(0, noise, count)
        place = knee(x.tolist(), y.tolist())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is none
            theirs = KneeLocator(x, y, curve="concave", direction="decreasing", online=True)
        places = zip(theirs.all_knees, theirs.all_norm_knees, theirs.all_norm_knees_y, strict=True)
        above = [each for each, across, up in places if up > across and each != x[-1]]
        assert (None if place is None else x[place]) == next(iter(above), None)
        found.append(place is not None)
    assert sum(found) > 30


# of the last curve only the part behind a dip falls below the diagonal
@pytest.mark.parametrize(
    "curve",
    [[1.0, 1.0, 1.0], [1.0, 0.5], [1.0, 0.5, 0.0], [1.028, 0.895, 0.826, 0.665, 0.545, 0.447, 0.351, 0.254, 0.085]],
)
def test_a_flat_short_or_straight_curve_has_no_knee(curve: list[float]) -> None:
    assert knee(range(len(curve)), curve) is None


def test_the_genetic_algorithm_finds_a_known_best() -> None:
    target = np.random.default_rng(1).integers(0, 2, 24)

    def cross(one: Any, other: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        swap = rng.random(24) < 0.5
        return np.where(swap, other, one), np.where(swap, one, other)

    def mutate(one: Any, rng: np.random.Generator) -> Any:
        return np.where(rng.random(24) < 0.05, 1 - one, one)

    judged: list[int] = []

    def fitness(some: Sequence[Any]) -> list[float]:
        judged.append(len(some))
        return [float(np.exp((each == target).sum())) for each in some]

    rng = np.random.default_rng(0)
    first = [rng.integers(0, 2, 24) for _ in range(30)]
    best, value = Genetic(cross, mutate, crossed=0.8).search(first, fitness, 60, rng)
    assert (best == target).all()
    assert value == pytest.approx(np.exp(24))
    assert judged == [30] * 61


def test_shares_of_the_roulette() -> None:
    np.testing.assert_allclose(shares(np.array([2.0, 5.0, 3.0])), [0, 0.75, 0.25])
    np.testing.assert_allclose(shares(np.array([4.0, 4.0])), [0.5, 0.5])
    assert np.isfinite(shares(np.array([0.0, 1e300, 1e308, 1e308]))).all()


def test_a_store_keeps_what_a_cut_file_still_holds(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put("a", 1.5)
    store.put("b", 2.5)
    text = (tmp_path / "store").read_text()
    (tmp_path / "store").write_text(text[:-4])  # cut short in the second line
    again = Store(tmp_path / "store")
    assert (again.get("a"), again.get("b")) == (1.5, None)
    again.put("c", 3.5)
    assert [Store(tmp_path / "store").get(key) for key in "abc"] == [1.5, None, 3.5]


def test_workers_give_the_same_and_one_that_dies_costs_its_candidate_a_retry(tmp_path: Path) -> None:
    marker = str(tmp_path / "died")
    pool = LocalPool(squared_or_dead, 2)
    try:
        found = dict(pool.results([(number, marker) for number in range(8)]))
        assert Path(marker).exists()
        here = dict(InProcess(squared_or_dead).results([(number, marker) for number in range(8)]))
        assert found == here == {number: number**2 for number in range(8)}
        with pytest.raises(ToolflowError, match="no square of 100"):
            list(pool.results([(100, marker)]))
        with pytest.raises(ToolflowError, match=f"candidate 1 has cost {TRIES} workers, the last with exit code 7"):
            list(pool.results([(2, marker), (-1, marker)]))
    finally:
        pool.close()


def test_a_dask_cluster_gives_the_same_and_says_what_it_lost(tmp_path: Path) -> None:
    marker = str(tmp_path / "died")
    quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **quiet) as cluster:
        executor = DaskCluster(squared_or_dead, cluster.scheduler_address)
        try:
            found = dict(executor.results([(number, marker) for number in range(8)]))
            assert Path(marker).exists()
            assert found == {number: number**2 for number in range(8)}
            with pytest.raises(ToolflowError, match="no square of 100"):
                list(executor.results([(100, marker)]))
            with pytest.raises(ToolflowError, match=f"candidate 1 has cost {TRIES} workers"):
                list(executor.results([(2, marker), (-1, marker)]))
        finally:
            executor.close()


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quant.mechanisms.search.cluster, "PATIENCE_S", 0.1)
    with pytest.raises(ToolflowError, match=r"--workers tcp://127\.0\.0\.1:9: no Dask scheduler answers there"):
        DaskCluster(squared_or_dead, "tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ToolflowError, match=re.escape("needs Dask: pip install 'cascade-toolflow[cluster]'")):
        DaskCluster(squared_or_dead, "tcp://127.0.0.1:9")


def judge_of(graph: Graph) -> Judge:
    given = images(40)
    return Judge.of(graph, given[:20], np.arange(20) % 5, NORMALISATION, given[20:])


def test_a_judge_adapts_what_lost_channels() -> None:
    graph = residual_network()
    channels = ChannelMap.of(graph)
    removed = set(channels.widths[1].classes[:4])
    judge, masks = judge_of(graph), channels.masks(removed)
    trial = Trial(channels.without(removed), {name: masks[name] for name in ("stem", "a1", "a2", "b1", "b2")})
    assert judge.adapted(Trial(trial.graph)) is trial.graph
    moments = statistics(judge.adapted(trial), torch.as_tensor(NORMALISATION.apply(judge.sample)).float())
    torch.testing.assert_close(moments["b2"].mean, judge.wanted["b2"].mean, rtol=1e-3, atol=1e-3)
    assert trial.digest != Trial(trial.graph).digest != Trial(graph).digest
    assert 0 <= judge.accuracy(trial) <= 1


def test_the_cost_is_the_engines() -> None:
    """Fewer channels take less of everything on the same engine, as many cycles as the quantised network."""
    graph = residual_network()
    channels = ChannelMap.of(graph)
    pricing = Pricing.of(graph, load_board("ulx3s-85f"))
    small = channels.without(set(channels.widths[2].classes[:12]))
    before, after = pricing.cost(graph), pricing.cost(small)
    assert after.cycles < before.cycles == pricing.cycles(graph)
    assert (
        after.parameters
        < before.parameters
        == sum(array.size for node in graph.nodes for array in node.weights.values())
    )
    assert before.stored_bits == 8 * sum(node.weights["weight"].size for node in graph.nodes if node.op.has_weights)
    assert after.traffic_bytes < before.traffic_bytes
    for network, cost in ((graph, before), (small, after)):  # as the integers of the network are planned
        integers = quantise(network, images(16), NORMALISATION, QuantiseConfig(rounding="nearest")).graph
        counted = layer_cycles(integers, pricing.engine, pricing.board)
        assert counted is not None
        engine = sum(counted.engine.values()) + counted.engine_rest
        memory = sum(counted.memory.values()) + counted.memory_rest
        assert cost.cycles == max(engine, memory)
        assert cost.traffic_bytes == pytest.approx(memory * pricing.board.sustained_bytes_per_cycle)


def test_fresh_weights_keep_nothing() -> None:
    graph = residual_network()
    made = fresh(graph, 3)
    for node in graph.nodes:
        if node.op.has_weights:
            new = made.by_name[node.name].weights
            assert (
                abs(
                    np.corrcoef(node.weights["weight"].astype(float).ravel(), new["weight"].astype(float).ravel())[0, 1]
                )
                < 0.5
            )
            assert not new["bias"].any()
    assert np.array_equal(fresh(graph, 3).by_name["stem"].weights["weight"], made.by_name["stem"].weights["weight"])


def test_terms_of_distillation_against_their_formulas() -> None:
    generator = torch.Generator().manual_seed(0)

    def said(width: int) -> Said:
        maps = {"a": torch.rand(3, width, 4, 4, generator=generator), "v": torch.rand(3, 6, generator=generator)}
        return Said(torch.randn(3, 5, generator=generator), maps)

    student, teacher = said(4), said(8)
    p, q = (torch.softmax(each.logits / 3, 1) for each in (teacher, student))
    expected = float((p * (p / q).log()).sum() / 3 * 9)
    assert float(SoftAnswers(Constant(3))(student, teacher, 0)) == pytest.approx(expected, rel=1e-5)
    found = [(each.maps["a"] ** 2).mean(1).reshape(3, -1) for each in (student, teacher)]
    one, other = (each / each.norm(dim=1, keepdim=True) for each in found)
    attention = float(((one - other) ** 2).mean() * 1e3 * 3)
    assert float(AttentionMaps(1e3)(student, teacher, 0)) == pytest.approx(attention, rel=1e-4)
    matched = float(((student.maps["v"] - teacher.maps["v"]) ** 2).mean() / (teacher.maps["v"] ** 2).mean())
    assert float(MatchedMaps(2.0)(student, teacher, 0)) == pytest.approx(2 * matched, rel=1e-5)  # "a" has another width
    assert float(MatchedMaps(2.0)(replace(student, maps={}), teacher, 0)) == 0
