"""Wide and narrow programs in turn on one engine of two precisions equal engines that have one of them each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtl_sim.simulate.job import Job, RunOptions
from rtl_sim.simulate.runner import Simulation
from tests.rtl.units import Run, build_unit, fitted, make_run
from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.executor import run_program
from toolflow.engine.isa import Opcode
from toolflow.engine.stream import pack, unpack

# a residual, pooled maps, digits of the input and of weights, several words of a pixel
CASES = (
    "add/residual,19ch,signed=True",
    "max_pool/10ch,(3, 3),(2, 2),(1, 1, 1, 1),ceil=False,signed=True",
    "conv/3to10,3x3,stride=(2,2),pads=(1,1,1,1)",
    "linear/(3,2,2)->(5,18)->11",
)
SHAPE = "two_precisions_dsp48e1"
OPTIONS = RunOptions(watchdog_cycles=50_000, limit_cycles=4_000_000, stall_probability=0.1)


@pytest.fixture(scope="module")
def simulation(simulators: Path) -> Simulation:
    return build_unit(fitted(SHAPE), "rtl", simulators / f"rtl_{SHAPE}")


def alone(narrow: bool) -> EngineConfig:
    """Return the engine that has one of the precisions and no other: what its programs must come out like."""
    one = {"weight_bits": 4, "activation_bits": 4, "pack_p": 2} if narrow else {"lanes_p": fitted(SHAPE).lanes_p // 2}
    return EngineConfig(**{**fitted(SHAPE).model_dump(), "narrow_bits": 0, **one})


def made(narrow: bool, case: str, count: int, seed: int) -> tuple[Run, Run]:
    """Return a case for the engine and for the one that has no other precision, with the same images."""
    seen, one = (
        make_run(config, case, count=count, seed=seed, trace=seed % 2 == 1)
        for config in (fitted(SHAPE).of(narrow), alone(narrow))
    )
    return seen, one


def test_programs_in_turn_equal_engines_of_one_precision(simulation: Simulation) -> None:
    """With stalls, counts below and above the lanes, and a reset in the middle of every third program."""
    pairs = [
        made(narrow, case, count=1 + (5 * number + 4 * narrow) % 9, seed=number)
        for number, case in enumerate(CASES)
        for narrow in (False, True)
    ]
    jobs = []
    for number, (run, _) in enumerate(pairs):
        reset = 3_000 + 500 * number if number % 3 == 1 else None
        jobs.append(run.job(replace(OPTIONS, seed=number, reset_at_cycle=reset)))
    for (run, one), outcome in zip(pairs, simulation.run(jobs), strict=True):
        assert outcome.error == 0, run.name
        assert run.expected == one.expected, run.name
        assert run.equals(outcome.results), run.name
        assert outcome.outside_reads == (0, 0), run.name
        assert outcome.signature == fitted(SHAPE).signature


def with_weight(run: Run, slot: int, value: int) -> Job:
    """Return the job with a weight of the first convolution's last row changed."""
    config = run.compiled.config
    first = next(i for i in run.compiled.instructions if i.opcode is Opcode.CONV)
    stream = memoryview(run.compiled.weights)
    packet, used = unpack(config, stream, min(config.lanes_k, first.channels), first.rows, False)
    packet.values[-1, 1, slot] = value
    return replace(run.job(), weights=pack(config, packet) + bytes(stream[used:]))


def test_weights_beyond_a_precision_are_refused(simulation: Simulation) -> None:
    """Values that do not fit narrow programs, in either slot, and the one that wide ones exclude; it runs on."""
    runs = {narrow: made(narrow, CASES[0], count=2, seed=4)[0] for narrow in (False, True)}
    refused = [(True, 8), (True, -9), (True, 127), (True, -128), (False, -128)]
    taken = [(True, -8), (True, 7), (False, 8), (False, -127)]
    jobs = {(*each, slot): with_weight(runs[each[0]], slot, each[1]) for each in (*refused, *taken) for slot in (0, 1)}
    codes = {each: ErrorCode.WEIGHT if each[:2] in refused else ErrorCode.NONE for each in jobs}
    *found, wide, narrow = simulation.run([*jobs.values(), runs[False].job(), runs[True].job()], OPTIONS)
    assert dict(zip(jobs, (outcome.error for outcome in found), strict=True)) == codes
    assert {each: executor_code(jobs[each]) for each in jobs if each[2] == 0} == {
        each: code for each, code in codes.items() if each[2] == 0
    }
    assert runs[False].equals(wide.results)
    assert runs[True].equals(narrow.results)


def executor_code(job: Job) -> int:
    try:
        run_program(fitted(SHAPE), job.program, job.weights, job.images, job.image_count)
    except EngineFaultError as fault:
        return fault.code
    return ErrorCode.NONE
