"""The unit against cocotbext-axi's memory and host: a second opinion on the protocol, every channel paused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_sim.simulate.job import FILL, SimulationError
from rtl_sim.simulate.runner import Dut
from tests.rtl.protocol import ProtocolSimulation, build_protocol_simulation
from tests.rtl.units import UNIT, Run, fitted, make_run
from toolflow.emit.hls import emit_hls
from toolflow.emit.rtl import emit_rtl

SHAPE = "odd"


@pytest.fixture(scope="module", params=["rtl", "hls"])
def simulation(request: pytest.FixtureRequest, simulators: Path) -> ProtocolSimulation:
    dut: Dut = request.param
    folder = simulators / f"{dut}_protocol"
    (emit_rtl if dut == "rtl" else emit_hls)(fitted(SHAPE), UNIT, folder / "sources")
    return build_protocol_simulation(fitted(SHAPE), dut, folder / "build", folder / "sources")


@pytest.fixture(scope="module")
def run() -> Run:
    return make_run(fitted(SHAPE), "linear/(3,2,2)->(5,18)->11", count=4, seed=1, trace=True)


@pytest.mark.parametrize(("seed", "pause"), [(1, 0.0), (2, 0.3), (3, 0.7)])
def test_unit_against_axi_models(simulation: ProtocolSimulation, run: Run, seed: int, pause: float) -> None:
    outcome = simulation.run(run.job(), seed, pause)
    assert outcome.error == 0
    assert run.equals(outcome.results)
    assert set(outcome.guards) == {FILL}


def test_a_bad_program_ends_here_too(simulation: ProtocolSimulation, run: Run) -> None:
    program = bytearray(run.compiled.program)
    program[70] ^= 1
    outcome = simulation.run(run.job(program=bytes(program)), 4, 0.3)
    assert outcome.error == 3
    assert set(outcome.results) == {FILL}


def test_too_few_cycles_are_told(simulation: ProtocolSimulation, run: Run) -> None:
    with pytest.raises(SimulationError, match=r"[Tt]imeout"):
        simulation.run(run.job(), 5, 0.3, limit_cycles=300)
