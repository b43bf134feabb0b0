"""The benchmark of compression recipes: its interval against repeated draws, its controls, and unequal arms."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks import compression
from benchmarks.compression_controls import (
    EndToEnd,
    FisherPruned,
    MagnitudeChannels,
    ObservedGeneCai,
    RandomSearch,
    ReluStudent,
    TrainedAlone,
    UniformPeers,
    UniformRate,
    UniformStudent,
)
from quant.mechanisms.rewrite.channels import ChannelMap
from quant.mechanisms.rewrite.layers import with_rectifiers
from quant.mechanisms.saliency import magnitudes
from quant.recipes.blockwise import Blockwise
from quant.recipes.genetic_channels import GeneticChannels
from quant.recipes.multi_segment import MultiSegment
from quant.recipes.okddip import OkdDip
from quant.recipes.recipe import CompressionRecipe
from tests.unit.quant.benches import bench_of
from tests.unit.quant.quantise_networks import plain_network, residual_network
from toolflow.ir.graph import Graph


def test_the_interval_covers_a_known_difference() -> None:
    """Seeds and images drawn anew 400 times, with effects of both: at least 95 % of the intervals hold the truth."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        seeds, images = rng.normal(0, 0.02, (3, 1)), rng.normal(0, 0.2, (1, 500))
        mean, half = compression.paired_interval(0.01 + seeds + images + rng.normal(0, 0.1, (3, 500)))
        held += abs(mean - 0.01) <= half
    assert 0.95 <= held / 400 < 1
    assert compression.paired_interval(np.zeros((1, 20)))[1] == np.inf  # one seed shows nothing


@pytest.mark.parametrize("kind", [UniformRate, MagnitudeChannels, UniformStudent, FisherPruned])
def test_a_control_keeps_the_budget_and_trains(kind: type[CompressionRecipe]) -> None:
    graph = residual_network()
    bench = bench_of(graph, budget=0.9)
    short = {"epochs": 1, **({"last": 1} if kind is MagnitudeChannels else {})}
    made = kind(**short).run(graph, bench)
    assert bench.pricing.cycles(made) <= 0.9 * bench.pricing.cycles(graph)
    assert sum(step.images for step in bench.steps) > 0


def test_the_magnitude_control_keeps_as_many_channels_of_each_layer() -> None:
    graph = residual_network()
    made: list[Graph] = []
    for kind in (GeneticChannels, MagnitudeChannels):
        bench = bench_of(graph)
        made.append(kind(population=6, generations=2, epochs=1, last=1).run(graph, bench))
        assert sum(step.images for step in bench.steps) == 8 * len(bench.steps) // 2 + 4
    kept = [[len(width.classes) for width in ChannelMap.of(each).widths] for each in made]
    assert kept[0] == kept[1]
    channels = ChannelMap.of(graph)
    size = magnitudes(channels)
    width = channels.widths[1]
    chosen = MagnitudeChannels().chosen(channels, width, 3, bench_of(graph))
    assert max(size[each] for each in chosen) <= min(size[each] for each in set(width.classes) - set(chosen))


def test_the_controls_of_peers_see_as_many_images_and_keep_the_layers() -> None:
    graph = residual_network()
    for kind in (OkdDip, TrainedAlone, UniformPeers):
        bench = bench_of(graph)
        made = kind(epochs=2).run(graph, bench)
        assert [node.op for node in made.nodes] == [node.op for node in graph.nodes]
        assert sum(step.images for step in bench.steps) == 2 * 8


def test_the_control_of_blocks_is_the_same_student_and_sees_as_many_images() -> None:
    made = []
    for kind in (Blockwise, EndToEnd):
        bench = bench_of(plain_network())
        graph = kind(epochs=2).run(bench.teacher, bench)
        made.append([(node.name, node.op, [each.shape for each in node.weights.values()]) for node in graph.nodes])
        assert sum(step.images for step in bench.steps) == 2 * 2 * 8
    assert made[0] == made[1]


def test_the_control_of_segments_is_the_same_student_with_relus() -> None:
    made = []
    for kind in (MultiSegment, ReluStudent):
        bench = bench_of(plain_network(), budget=0.6)
        graph = with_rectifiers(kind(epochs=2).run(bench.teacher, bench))
        made.append([(node.op, [each.shape for each in node.weights.values()]) for node in graph.nodes])
        assert sum(step.images for step in bench.steps) == 2 * 8
    assert made[0] == made[1]


def test_random_search_measures_as_many_candidates_as_the_recipe(tmp_path: Path) -> None:
    """Of the ranks; what both then prune are other networks."""
    graph = residual_network()
    counts = []
    for kind in (ObservedGeneCai, RandomSearch):
        log = tmp_path / kind.name
        kind(population=4, generations=2, lost=1, epochs=1, log=str(log)).run(graph, bench_of(graph))
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        counts.append([what for what, _, _ in lines].count("factorise"))
        points = compression.front(log)
        assert points == sorted(points)
        assert all(one[1] < other[1] for one, other in pairwise(points))
        assert {(cycles, accuracy) for _, accuracy, cycles in lines} >= set(points)
    assert counts == [12, 12]


def test_arms_that_trained_on_other_numbers_of_images_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run_arm(task: Any, kind: type[CompressionRecipe], *_: object) -> Any:
        images = 100 if kind is UniformRate else 200
        record = SimpleNamespace(accuracy={"before": 0.9, "after": 0.8}, steps=[SimpleNamespace(what="train")])
        return SimpleNamespace(record=record, share=0.5, images=images, judged=1, seconds=1.0)

    monkeypatch.setattr(compression, "run_arm", run_arm)
    task: Any = SimpleNamespace(name="digits", given={"recipes": {"combine-net": {}}})
    with pytest.raises(
        RuntimeError, match=r"other numbers of training images: \{'combine-net': 200, 'uniform-rate': 100"
    ):
        compression.run_recipe(task, "combine-net", [0], tmp_path)


def test_the_settings_are_of_the_recipes() -> None:
    """Every recipe has its settings in each part, which its controls take too."""
    for part in yaml.safe_load(compression.SETTINGS.read_text(encoding="utf-8")).values():
        assert part["recipes"].keys() == compression.ARMS.keys()
        assert len(part["seeds"]) == 3
        for name, given in part["recipes"].items():
            for kind in compression.ARMS[name]:
                kind(**given["settings"])
