"""What the packed array of the RTL engine does not take, indices and excluded weights, ends with an error code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtl_sim.simulate.job import Job, RunOptions
from rtl_sim.simulate.runner import Simulation
from tests.rtl.test_hostile_programs import with_field
from tests.rtl.units import Run, build_unit, fitted, make_run
from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.executor import run_program
from toolflow.engine.isa import Flag, Opcode
from toolflow.engine.stream import pack, unpack

SHAPE = "weight_pairs"
NETWORK = "add/residual,8ch,signed=False"
OPTIONS = RunOptions(watchdog_cycles=50_000, limit_cycles=4_000_000, stall_probability=0.1)


@pytest.fixture(scope="module")
def config() -> EngineConfig:
    return fitted(SHAPE)


@pytest.fixture(scope="module")
def simulation(config: EngineConfig, simulators: Path) -> Simulation:
    return build_unit(config, "rtl", simulators / f"rtl_{SHAPE}")


@pytest.fixture(scope="module")
def run(config: EngineConfig) -> Run:
    return make_run(config, NETWORK, count=3, seed=2)


def executor_code(config: EngineConfig, run: Run, job: Job) -> ErrorCode:
    with pytest.raises(EngineFaultError) as error:
        run_program(config, job.program, job.weights, run.images, run.count)
    return error.value.code


def test_indices_are_refused(config: EngineConfig, simulation: Simulation, run: Run) -> None:
    number = next(n for n, i in enumerate(run.compiled.instructions) if i.opcode is Opcode.CONV)
    flags = run.compiled.instructions[number].flags | Flag.INDEXED
    job = run.job(program=with_field(run, number, "flags", int(flags)))
    assert executor_code(config, run, job) == ErrorCode.OPCODE
    assert simulation.run([job], OPTIONS)[0].error == ErrorCode.OPCODE


@pytest.mark.parametrize("slot", [0, 1])
def test_an_excluded_weight_is_refused(slot: int, config: EngineConfig, simulation: Simulation, run: Run) -> None:
    """And the engine runs the good program after it."""
    first = next(i for i in run.compiled.instructions if i.opcode is Opcode.CONV)
    stream = memoryview(run.compiled.weights)
    packet, used = unpack(config, stream, min(config.lanes_k, first.channels), first.rows, False)
    packet.values[-1, 1, slot] = config.packing.weights.lower - 1
    bad = replace(run.job(), weights=pack(config, packet) + bytes(stream[used:]))
    assert executor_code(config, run, bad) == ErrorCode.WEIGHT
    after, good = simulation.run([bad, run.job()], OPTIONS)
    assert after.error == ErrorCode.WEIGHT
    assert good.error == ErrorCode.NONE
    assert run.equals(good.results)
