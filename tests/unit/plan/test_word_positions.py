"""Average pools by words: when the schedule takes them, and that the weights of a word serve all of them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.casebook import RESULT, NetworkBuilder
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.engine.steps import Compute
from toolflow.interpreter.run import run
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.types import IntegerType
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths
from toolflow.plan.schedule.schedule import make_schedule

ENGINE = EngineConfig(lanes_k=8, lanes_p=2, sub_row=4, slots=2, drain_k=2, gather=False)
BYTE = IntegerType(8, signed=False)


def network(channels: int, side: int = 3, op: AvgPool | None = None, alike: bool = True) -> QuantisedGraph:
    b = NetworkBuilder((2, side, side), seed=1)
    source = b.conv("conv", "image", channels, 1, out=BYTE)
    mean = b.avg_pool("mean", source, op or AvgPool((side, side), (1, 1)), BYTE, alike=alike)
    if mean and b.shapes[mean][1:] == (1, 1):
        return b.build(b.linear("results", b.flatten("flat", mean), 3, out=RESULT))
    return b.build(b.conv("results", mean, 3, 1, out=RESULT))


def pool_of(graph: QuantisedGraph) -> Compute:
    (step,) = (step for step in make_schedule(graph, ENGINE).computes if step.name == "mean")
    return step


def test_the_weights_of_a_word_serve_all_words() -> None:
    step = pool_of(network(30))
    assert (step.divided, step.channels, step.places, step.rows) == (8, 4, 8, 9 * 2)
    assert step.macs == 30 * 9
    apart = pool_of(network(30, alike=False))
    assert (apart.divided, apart.channels, apart.places, apart.rows) == (1, 30, 1, 9 * 4)
    assert apart.macs == step.macs
    assert sum(1 for _ in apart.packets(ENGINE)) == 4 * sum(1 for _ in step.packets(ENGINE))


@pytest.mark.parametrize(
    ("graph", "divided"),
    [
        (network(30, 5, AvgPool((3, 3), (2, 1), (1, 1, 1, 1))), 8),
        (network(30, 5, AvgPool((3, 3), (2, 2), (1, 1, 1, 1))), 1),  # a step of two pixels, and a column of words
        (network(30, 5, AvgPool((3, 3), (1, 1), (1, 1, 1, 1), count_include_pad=False)), 1),  # several divisors
        (network(4, 5), 1),
        (network(4 * 300), 150),  # a dilation of 300 pixels is too long for an instruction
        (network(8, 18), 1),  # 648 rows, none of which goes through
    ],
)
def test_what_an_instruction_can_walk_is_divided(graph: QuantisedGraph, divided: int) -> None:
    assert pool_of(graph).divided == divided
    images = np.random.default_rng(2).integers(0, 256, (2, *graph.input_shape[1:], 2)).astype(np.uint8)
    compiled = compile_program(graph, fit_depths(graph, ENGINE))
    raw = run_program(compiled.config, compiled.program, compiled.weights, compiled.pack_images(images), 2)
    np.testing.assert_array_equal(compiled.unpack_results(raw, 2).logits, run(graph, images)[graph.output])
