"""Engines whose weights run ahead of the array: the RTL's results, and cycles as the model predicts them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from rtl_sim.simulate.job import RunOptions
from tests.conformance.casebook import RESULT, NetworkBuilder
from tests.rtl.units import DEPTHS, Run, build_unit
from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import predict
from toolflow.engine.executor import run_program
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.types import IntegerType
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths

BYTE = IntegerType(8, signed=False)
PREDICTION_ERROR = 0.02
MANY = 32  # layers
LEAST_GAIN = 1.1
PLAIN = EngineConfig(lanes_k=16, lanes_p=2, slots=4, drain_k=2, sub_row=8, bus_bits=64)
NONE, ROWS, SETS, BOTH = (0, 2), (600, 2), (0, 32), (600, 32)  # rows ahead and sets of parameters
QUIET = RunOptions(watchdog_cycles=20_000)
STALLS = RunOptions(seed=3, stall_probability=0.3, latency_cycles=20, watchdog_cycles=20_000)


@cache
def network() -> tuple[NetworkBuilder, QuantisedGraph]:
    """Return layers with many positions and few weights before layers with few positions and many weights.

    There are more of them than instructions that an engine without rows ahead reads before it runs them.
    """
    b = NetworkBuilder((4, 8, 8), seed=5)
    wide = b.conv("wide", b.conv("first", "image", 16, 3, pads=(1, 1, 1, 1), out=BYTE), 16, stride=(2, 2), out=BYTE)
    for number in range(MANY):
        wide = b.conv(f"wide{number}", wide, 16, 1, out=BYTE)
    small = b.conv("small", wide, 64, 2, out=BYTE)
    deep = b.conv("deep", b.conv("deeper", small, 64, 2, pads=(0, 0, 1, 1), out=BYTE), 64, 1, out=BYTE)
    mean = b.avg_pool("mean", deep, AvgPool((2, 2), (1, 1)), BYTE, alike=True)
    return b, b.build(b.linear("logits", b.flatten("flat", mean), 5, out=RESULT))


@cache
def engine(ahead: tuple[int, int]) -> EngineConfig:
    """Return the engine, no deeper than the network needs."""
    need = fit_depths(network()[1], PLAIN)
    fitted = PLAIN.fitted({depth: getattr(need, depth) for depth in DEPTHS})
    return fitted.model_copy(update={"rows_ahead": ahead[0], "parameter_sets": ahead[1]})


def run_of(config: EngineConfig) -> Run:
    """Return a run of three passes, the last not full."""
    builder, graph = network()
    images = builder.images(2 * config.lanes_p + 1)
    compiled = compile_program(graph, config)
    packed = compiled.pack_images(images)
    expected = run_program(config, compiled.program, compiled.weights, packed, len(images))
    return Run("ahead", compiled, packed, len(images), expected)


def predicted(ahead: tuple[int, int]) -> int:
    run = run_of(engine(ahead))
    return predict(engine(ahead), run.compiled.schedule.steps, run.count).total_cycles


def test_rows_and_sets_ahead_are_both_needed() -> None:
    assert predicted(NONE) > LEAST_GAIN * predicted(BOTH)
    assert min(predicted(ROWS), predicted(SETS)) > 1.02 * predicted(BOTH)


@pytest.mark.parametrize("ahead", [NONE, BOTH], ids=["without", "with"])
def test_cycles_are_those_that_the_model_predicts(ahead: tuple[int, int], simulators: Path) -> None:
    config = engine(ahead)
    simulation = build_unit(config, "rtl", simulators / f"rtl_ahead_{ahead[0]}")
    run = run_of(config)
    quiet, stalled = simulation.run([run.job(QUIET), run.job(STALLS)])
    assert run.equals(quiet.results)
    assert run.equals(stalled.results)
    assert predicted(ahead) == pytest.approx(quiet.cycles, rel=PREDICTION_ERROR)
