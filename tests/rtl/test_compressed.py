"""Compressed networks on the RTL engine: what recipes count on is what its counter shows, and its results are exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quant.config import QuantiseConfig
from quant.mechanisms.cost import Pricing
from quant.mechanisms.staircase import step_edges
from quant.quantise import quantise
from quant.recipes.genetic_channels import GeneticChannels
from rtl_sim.simulate.job import Job
from rtl_sim.simulate.runner import Simulation
from tests.rtl.units import build_unit, fitted
from tests.unit.quant.benches import bench_of
from tests.unit.quant.quantise_networks import NORMALISATION, RELU, SAME, Builder, images
from toolflow.interpreter.run import logits_of
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import QuantisedGraph
from toolflow.operators import Add, AvgPool, Conv, Flatten
from toolflow.plan.boards.board import load_board
from toolflow.plan.lower.lower import compile_program

SHAPE = "odd"  # five output channels at once
CONFIG = fitted(SHAPE)
PRICING = Pricing(load_board("ulx3s-85f"), CONFIG)
WIDEST, CONFIRMED = 23, 4


@pytest.fixture(scope="module")
def simulation(simulators: Path) -> Simulation:
    return build_unit(CONFIG, "rtl", simulators / f"rtl_{SHAPE}")


def network_of(width: int) -> Graph:
    """Return a network with one layer of this width between others."""
    b = Builder()
    x = b.conv(
        "layer", b.conv("stem", "image", (5, 3, 1, 1), Conv(stride=(2, 2))), (width, 5, 3, 3), Conv(activation=RELU)
    )
    return b.graph(
        b.linear("linear", b.node("flat", Flatten(), b.node("pool", AvgPool((4, 4), (4, 4)), x)), (4, width))
    )


def residual_block() -> Graph:
    b = Builder()
    stem = b.conv("stem", "image", (8, 3, 3, 3), Conv(stride=(2, 2), activation=RELU, pads=SAME))
    x = b.conv("inner", stem, (16, 8, 3, 3), Conv(activation=RELU, pads=SAME))
    x = b.node("sum", Add(RELU), b.conv("outer", x, (8, 16, 3, 3), Conv(pads=SAME)), stem)
    return b.graph(b.linear("linear", b.node("flat", Flatten(), b.node("pool", AvgPool((6, 6), (6, 6)), x)), (4, 8)))


def cycles_and_logits(simulation: Simulation, graph: QuantisedGraph) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the cycles of one pass, and the logits of the engine and of the reference."""
    compiled = compile_program(graph, CONFIG)
    data = images(CONFIG.lanes_p)
    size = CONFIG.lanes_p * compiled.header.result_pitch_bytes
    packed = compiled.pack_images(data)
    (outcome,) = simulation.run([Job(compiled.program, compiled.weights, packed, len(data), size)])
    assert outcome.error == 0
    return outcome.cycles, compiled.unpack_results(outcome.results, len(data)).logits, logits_of(graph, data)


def test_the_step_edges_of_a_width_are_those_of_the_engines_counter(simulation: Simulation) -> None:
    """Behind an edge the cycles rise by the mean rise or more, in front of it by less."""
    edges = [place + 1 for place in step_edges([PRICING.cycles(network_of(each)) for each in range(1, WIDEST + 1)])]
    assert edges == [*range(CONFIG.lanes_k, WIDEST, CONFIG.lanes_k), WIDEST]
    assert len(edges) > CONFIRMED
    counted = {}
    for width in sorted({1, WIDEST, *(edge + step for edge in edges[:CONFIRMED] for step in (-1, 0, 1))}):
        graph = quantise(network_of(width), images(8), NORMALISATION, QuantiseConfig(rounding="nearest")).graph
        counted[width], logits, expected = cycles_and_logits(simulation, graph)
        np.testing.assert_array_equal(logits, expected)
    mean = (counted[WIDEST] - counted[1]) / (WIDEST - 1)
    for edge in edges[:CONFIRMED]:
        assert counted[edge] - counted[edge - 1] < mean <= counted[edge + 1] - counted[edge]


def test_what_a_recipe_leaves_is_exact_in_rtl_and_takes_fewer_cycles(simulation: Simulation) -> None:
    before = residual_block()
    bench = bench_of(before, budget=0.6)
    bench.pricing = PRICING
    after = GeneticChannels(population=8, generations=4, epochs=1, last=1).run(before, bench)
    taken = []
    for network in (before, after):
        graph = quantise(network, images(8), NORMALISATION, QuantiseConfig(rounding="nearest")).graph
        cycles, logits, expected = cycles_and_logits(simulation, graph)
        np.testing.assert_array_equal(logits, expected)
        taken.append(cycles)
    assert taken[1] < 0.8 * taken[0]
