"""The splitter of a wide read master onto two memory ports, between cocotbext-axi's models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtl_sim.simulate.simulator import Design, Simulator, build_simulator
from tests.rtl.protocol import PORTS
from tests.rtl.rtl_modules import PACKAGE, RTL

BURSTS = 60
FULL_SPEED = 0.9  # beats a cycle, the first latency included


@pytest.fixture(scope="module")
def simulator(simulators: Path) -> Simulator:
    sources = (PACKAGE, *(RTL / f"cascade_{name}.sv" for name in ("ram", "fifo", "read_split")))
    return build_simulator(simulators / "read_split", Design("cascade_read_split", sources, {}, {}, PORTS))


def run(simulator: Simulator, seed: int, pause: float, whole: bool) -> dict[str, float]:
    with simulator.work_folder() as folder:
        job = {"seed": seed, "pause_probability": pause, "whole": whole, "bursts": BURSTS}
        (folder / "job.json").write_text(json.dumps(job))
        log = simulator.execute(folder, "tests.rtl.read_split_models", {"CASCADE_FOLDER": str(folder)})
        assert not log.failed, log.excerpt
        answer: dict[str, float] = json.loads((folder / "answer.json").read_text())
        return answer


@pytest.mark.parametrize(("seed", "pause", "whole"), [(1, 0.0, True), (2, 0.3, False), (3, 0.7, False)])
def test_bursts_come_back_in_order(simulator: Simulator, seed: int, pause: float, whole: bool) -> None:
    answer = run(simulator, seed, pause, whole)
    assert answer["wrong"] == 0
    assert not whole or answer["beats"] > FULL_SPEED * answer["cycles"]
