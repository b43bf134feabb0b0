"""Networks in stripes on RTL and HLS: every byte equals the executor, and RTL takes the cycles of the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_sim.simulate.runner import Dut
from tests.conformance.bench import check_runs
from tests.conformance.striped import striped_schedule
from tests.conformance.test_stripes import CHOICES, ENGINES, IMAGES, NETWORKS, compiled_schedule, network
from tests.rtl.units import DEPTHS, Run, build_unit
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.plan.schedule.needs import fitted

EVERY = [(name, choice) for name in NETWORKS for choice in CHOICES[name]]


def fitted_engine(engine: str) -> EngineConfig:
    """Return an engine with depths that hold every network in every choice of stripes."""
    config = ENGINES[engine]
    each = [fitted(striped_schedule(network(name, engine)[0], config, choice)[0]).config for name, choice in EVERY]
    return config.fitted({depth: max(getattr(own, depth) for own in each) for depth in DEPTHS})


@pytest.mark.parametrize(
    ("engine", "dut"),
    [
        ("slots", "rtl"),
        *(pytest.param(name, "rtl", marks=pytest.mark.long) for name in ENGINES if name != "slots"),
        *(pytest.param(name, "hls", marks=pytest.mark.long) for name in ENGINES),
    ],
)
def test_networks_in_stripes(engine: str, dut: Dut, simulators: Path) -> None:
    config = fitted_engine(engine)
    runs = []
    for name, choice in EVERY:
        graph, images = network(name, engine)
        compiled = compiled_schedule(striped_schedule(graph, config, choice)[0])
        packed = compiled.pack_images(images)
        expected = run_program(config, compiled.program, compiled.weights, packed, IMAGES)
        runs.append(Run(f"{name}, {choice}", compiled, packed, IMAGES, expected))
    check_runs(build_unit(config, dut, simulators / f"{dut}_striped_{engine}"), config, runs)
