"""Starts of several images whose rows lie in all lanes: the next image is loaded beside the pass before."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from rtl_sim.simulate.job import RunOptions
from rtl_sim.simulate.runner import Simulation
from tests.conformance.casebook import RESULT, SAME, NetworkBuilder
from tests.conformance.test_stripes import ENGINES, NETWORKS
from tests.rtl.units import DEPTHS, Run, build_unit
from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import predict
from toolflow.engine.executor import run_program
from toolflow.engine.isa import Flag, Opcode
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths

COUNT = 3
ENGINE = "slots"
PLAIN = RunOptions(watchdog_cycles=20_000)
STALLS = RunOptions(seed=5, stall_probability=0.3, watchdog_cycles=20_000)
LATE = RunOptions(seed=6, stall_probability=0.7, latency_cycles=200, watchdog_cycles=20_000)
CASES = [(ENGINE, dut) for dut in ("rtl", "hls")]
CASES_AT_LENGTH = [pytest.param((engine, "rtl"), marks=pytest.mark.long) for engine in ENGINES if engine != ENGINE]


def changing_network(config: EngineConfig) -> tuple[NetworkBuilder, str]:
    """Maps of 14 rows and of 7, whose stripes do not follow from each other: a SPILL and a FILL in all lanes."""
    builder = NetworkBuilder((3, 14, 8), config.weight_bits, config.activation_bits, 8, 1)
    name = builder.conv("first", "image", 12, 3, pads=SAME, weight_bits=8)
    for number in range(2):
        name = builder.conv(f"tall{number}", name, 12, 3, pads=SAME)
    name = builder.conv("down", name, 12, 3, pads=SAME, stride=(2, 2))
    for number in range(3):
        name = builder.conv(f"low{number}", name, 12, 3, pads=SAME)
    return builder, builder.conv("results", name, 2, (7, 4), weight_bits=8, out=RESULT)


EVERY = {**NETWORKS, "changing": changing_network}


@cache
def unit(engine: str) -> EngineConfig:
    """Return the engine with depths that hold every network."""
    fitted = [
        fit_depths(build(ENGINES[engine])[0].build(build(ENGINES[engine])[1]), ENGINES[engine])
        for build in EVERY.values()
    ]
    return ENGINES[engine].fitted({depth: max(getattr(each, depth) for each in fitted) for depth in DEPTHS})


@cache
def runs(engine: str) -> list[Run]:
    config, made = unit(engine), []
    for name, build in EVERY.items():
        builder, output = build(config)
        compiled = compile_program(builder.build(output), config)
        images = compiled.pack_images(builder.images(COUNT))
        expected = run_program(config, compiled.program, compiled.weights, images, COUNT)
        made.append(Run(name, compiled, images, COUNT, expected))
    return made


@pytest.fixture(scope="module", params=[*CASES, *CASES_AT_LENGTH], ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest, simulators: Path) -> tuple[list[Run], Simulation]:
    engine, dut = request.param
    return runs(engine), build_unit(unit(engine), dut, simulators / f"{dut}_load_ahead_{engine}")


def test_the_next_image_is_loaded_beside_a_pass(case: tuple[list[Run], Simulation]) -> None:
    made, simulation = case
    assert all(run.compiled.header.striped for run in made)
    outcomes = simulation.run([run.job(option) for option in (PLAIN, STALLS, LATE) for run in made])
    for outcome, run in zip(outcomes, made * 3, strict=True):
        assert (outcome.error, outcome.outside_reads) == (0, (0, 0)), run.name
        assert run.equals(outcome.results), run.name
    ahead = [run for run in made if any(Flag.LOAD_AHEAD in i.flags for i in run.compiled.instructions)]
    assert ahead
    for outcome, run in zip(outcomes, made, strict=False) if simulation.dut == "rtl" else ():
        compiled = run.compiled
        load = next(n for n, i in enumerate(compiled.instructions) if i.opcode is Opcode.LOAD)
        first, *later = outcome.instruction_cycles[load :: len(compiled.instructions)]
        if run in ahead:
            assert max(later) < first / 2, run.name
        predicted = predict(compiled.config, compiled.schedule.steps, COUNT).total_cycles
        assert predicted == pytest.approx(outcome.cycles, rel=0.02), run.name


def test_maps_move_between_the_load_and_the_flag() -> None:
    """The LOAD is done again after a FILL of the pass before, and beside lanes of which a SPILL moves other rows."""
    found = set()
    for run in runs(ENGINE):
        code = run.compiled.instructions
        flag = next(n for n, i in enumerate(code) if Flag.LOAD_AHEAD in i.flags)
        found |= {(i.opcode, Flag.STRIPED in i.flags) for i in code[:flag]}
    assert {(opcode, True) for opcode in (Opcode.LOAD, Opcode.SPILL, Opcode.FILL)} <= found
