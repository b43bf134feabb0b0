"""Striped programs on RTL and HLS in the bench, in programs that no compiler made, against the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from rtl_sim.simulate.job import Job, RunOptions
from rtl_sim.simulate.runner import Simulation
from tests.oracles.engine import Oracle
from tests.rtl.test_external_maps import with_fields, with_map_bytes
from tests.rtl.units import Words, build_unit, edited
from tests.unit.emit import hls_programs
from tests.unit.emit.hls_jobs import executor_code
from tests.unit.emit.striped_programs import striped_network
from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import LAYOUT, Flag, Opcode
from toolflow.engine.program import decode_program

# Several slots with tiles; digits of inputs and weights; pairs of positions in a block; no external memory, and a lane
# more than a power of two.
ENGINES = {
    "tiles": EngineConfig(
        lanes_k=4, lanes_p=3, slots=2, drain_k=2, sub_row=4, bus_bits=64, bank_depth=2048, weight_depth=256, tile=4,
        transform_depth=108, transform_cycles=2, external_maps=True, stripes=True,
    ),
    "digits": EngineConfig(
        lanes_k=4, lanes_p=4, weight_bits=4, activation_bits=4, multiplier="lut", bank_depth=2048, weight_depth=256,
        input_lanes=4, external_maps=True, stripes=True,
    ),
    "packed": EngineConfig(
        lanes_k=4, lanes_p=2, slots=4, dsp_primitive="dsp48e2", pack_p=2, chain=4, bank_depth=2048, weight_depth=256,
        external_maps=True, stripes=True,
    ),
    "alone": EngineConfig(
        lanes_k=2, lanes_p=5, sub_row=2, input_lanes=2, bus_bits=64, bank_depth=2048, weight_depth=256, stripes=True
    ),
}  # fmt: skip
SEEDS = (0, 1, 2)
EXTREME = 9  # seed of a program whose weights all are extremes
HOSTILE = "tiles"
FAULTS = 60
OPTIONS = RunOptions(watchdog_cycles=20_000, limit_cycles=2_000_000, stall_probability=0.2, seed=5)
LATE_WRITES = replace(OPTIONS, latency_cycles=2, stall_probability=0.7)


SHORT = ("tiles",)  # the others are compiled natively among the short tests (`test_hls_stripes.py`)


@pytest.fixture(
    scope="module", params=[name if name in SHORT else pytest.param(name, marks=pytest.mark.long) for name in ENGINES]
)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module", params=["rtl", "hls"])
def simulation(request: pytest.FixtureRequest, name: str, simulators: Path) -> Simulation:
    return build_unit(ENGINES[name], request.param, simulators / f"{request.param}_stripes_{name}")


@cache
def programs(name: str) -> tuple[hls_programs.Job, ...]:
    """Striped programs; the first takes two images, one in each pass, the last is of extremes."""
    config = ENGINES[name]
    drawn = [striped_network(config, seed, 2 if seed == SEEDS[0] else 1) for seed in SEEDS]
    return *drawn, striped_network(config, EXTREME, 2, extreme=True)


@cache
def defined_bytes(name: str, number: int) -> dict[int, int]:
    """Return what PROGRAM.md defines of a program's results."""
    job = programs(name)[number]
    found = Oracle(ENGINES[name]).run(job.program, job.weights, job.images, job.count)
    return {place: byte for place, byte in found.items() if byte is not None}


def job_of(job: hls_programs.Job, program: bytes | None = None, options: RunOptions | None = None) -> Job:
    return Job(
        program=job.program if program is None else program,
        weights=job.weights,
        images=job.images,
        image_count=job.count,
        result_bytes=job.result_bytes,
        map_bytes=job.map_bytes,
        options=options,
    )


def differing(name: str, number: int, results: bytes) -> list[int]:
    return [place for place, byte in defined_bytes(name, number).items() if results[place] != byte]


def test_one_image_in_all_lanes(simulation: Simulation, name: str) -> None:
    jobs = programs(name)
    outcomes = simulation.run([job_of(job, options=option) for option in (OPTIONS, LATE_WRITES) for job in jobs])
    assert {outcome.error for outcome in outcomes} == {0}
    found = [differing(name, n % len(jobs), outcome.results) for n, outcome in enumerate(outcomes)]
    assert found == [[]] * len(outcomes)
    assert {outcome.outside_reads for outcome in outcomes} == {(0, 0)}


@pytest.mark.parametrize("name", [HOSTILE], indirect=True)
def test_a_reset_in_mid_pass(simulation: Simulation, name: str) -> None:
    """Whatever moved when the reset came, the job is right when it is started again."""
    options = [replace(OPTIONS, reset_at_cycle=cycle) for cycle in range(1000, 13000, 1000)]
    outcomes = simulation.run([job_of(programs(name)[0], options=each) for each in options])
    assert {outcome.error for outcome in outcomes} == {0}
    assert [differing(name, 0, outcome.results) for outcome in outcomes] == [[]] * len(options)


def not_striped(job: hls_programs.Job) -> bytes:
    def edit(words: Words) -> None:
        words[11] = 0

    return edited(job.program, edit)


def hostile(job: hls_programs.Job, config: EngineConfig) -> Iterator[tuple[int, str, bytes]]:
    """Yield (code, what is wrong, program)."""
    header, instructions = decode_program(job.program)
    beat = config.bus_bytes
    striped = {n: i for n, i in enumerate(instructions) if Flag.STRIPED in i.flags}

    def number(opcode: Opcode) -> int:
        numbers = [n for n, i in enumerate(instructions) if i.opcode is opcode]
        return next((n for n in numbers if n in striped), numbers[0])

    yield 4, "a header that is not striped", not_striped(job)
    shift, stripes = number(Opcode.SHIFT), number(Opcode.STRIPES)
    for opcode in (Opcode.TABLE, Opcode.SHIFT, Opcode.STRIPES, Opcode.STORE_RESULT, Opcode.TAPS, Opcode.END):
        flags = Flag.STRIPED | instructions[number(opcode)].flags
        yield 4, f"{opcode.name} with STRIPED", with_fields(job, number(opcode), flags=flags)
    for opcode in (Opcode.CONV, Opcode.MAXPOOL):
        flags = Flag.LOAD_AHEAD | instructions[number(opcode)].flags
        yield 5, f"{opcode.name} with LOAD_AHEAD, and the image is read", with_fields(job, number(opcode), flags=flags)
    for field in ("in_height", "out_height"):
        yield 8, f"STRIPES {field} = 0", with_fields(job, stripes, **{field: 0})
    for field in ("kernel_h", "kernel_w", "levels"):
        yield 8, f"SHIFT {field} = 2", with_fields(job, shift, **{field: 2})
    for field in ("sub_rows", "out_height", "out_width"):
        yield 8, f"SHIFT {field} = 0", with_fields(job, shift, **{field: 0})
    yield 5, "SHIFT to the end of the banks", with_fields(job, shift, out_base=config.bank_depth - 1)
    yield 5, "SHIFT from behind the banks", with_fields(job, shift, in_base=config.bank_depth)
    load, fill, spill = number(Opcode.LOAD), number(Opcode.FILL), number(Opcode.SPILL)
    row_bytes = instructions[load].out_width * instructions[load].sub_rows * instructions[load].in_words
    yield 5, "a LOAD a row behind", with_fields(job, load, in_base=header.image_pitch_bytes - row_bytes + beat)
    yield 5, "a LOAD a row before", with_fields(job, load, in_base=instructions[load].in_base - row_bytes)
    yield 5, "a LOAD between beats", with_fields(job, load, in_base=instructions[load].in_base + 1)
    yield 5, "a LOAD with a pitch between beats", with_fields(job, load, residual_base=row_bytes + 1)
    yield 5, "a LOAD with a pitch too large", with_fields(job, load, residual_base=header.image_pitch_bytes)
    yield 5, "a LOAD of rows that do not end with a beat", with_fields(job, load, out_width=1, in_words=1)
    yield 5, "a LOAD to the end of the banks", with_fields(job, load, out_base=config.bank_depth - 1)
    yield 8, "a LOAD all in one place", with_fields(job, load, out_words=0)
    for which, base in ((fill, "in_base"), (spill, "out_base")):
        kind = instructions[which].opcode.name
        yield 5, f"{kind} far before", with_fields(job, which, **{base: 1 << 31})
        yield 5, f"{kind} behind", with_fields(job, which, **{base: header.map_bytes})
        yield 5, f"{kind} between beats", with_fields(job, which, **{base: 1})
        yield 5, f"{kind} with a pitch too large", with_fields(job, which, residual_base=1 << 30)
        yield 5, f"{kind} with a pitch between beats", with_fields(job, which, residual_base=beat + 1)
        yield 8, f"{kind} sub_rows = 0", with_fields(job, which, sub_rows=0)
        yield 5, f"{kind} sub_rows = 65535", with_fields(job, which, sub_rows=65535)
    yield 5, "a SPILL with a pitch less than a lane's rows", with_fields(job, spill, residual_base=0)
    yield 0, "a FILL of the same rows in every lane", with_fields(job, fill, residual_base=0, in_base=0)
    yield 5, "no memory", with_map_bytes(job, 0)


@pytest.mark.parametrize("name", [HOSTILE], indirect=True)
def test_hostile_programs(simulation: Simulation, name: str) -> None:
    config, job = ENGINES[name], programs(name)[1]
    cases = list(hostile(job, config))
    outcomes = simulation.run([job_of(job, program) for _, _, program in cases], OPTIONS)
    wanted = {what: code for code, what, _ in cases}
    assert {what: executor_code(config, job, program) for _, what, program in cases} == wanted
    assert {what: outcome.error for (_, what, _), outcome in zip(cases, outcomes, strict=True)} == wanted


@pytest.mark.parametrize("name", [HOSTILE], indirect=True)
def test_all_levels_end_alike(simulation: Simulation, name: str) -> None:
    """Random values, extremes among them, in random fields of the instructions that know of stripes."""
    config, job, rng = ENGINES[name], programs(name)[1], np.random.default_rng(7)
    _, instructions = decode_program(job.program)
    new = (Opcode.STRIPES, Opcode.SHIFT)
    numbers = [n for n, i in enumerate(instructions) if Flag.STRIPED in i.flags or i.opcode in new]
    faults = []
    for _ in range(FAULTS):
        number, field = int(rng.choice(numbers)), str(rng.choice(list(LAYOUT)))
        mask = (1 << LAYOUT[field][2]) - 1
        value = int(rng.choice([0, 1, 2, 16, mask, mask >> 1, int(rng.integers(mask, endpoint=True))]))
        what = f"{number} {instructions[number].opcode.name}.{field} = {value}"
        faults.append((what, with_fields(job, number, **{field: value})))
    outcomes = simulation.run([job_of(job, program) for _, program in faults], OPTIONS)
    executed = [executor_code(config, job, program) for _, program in faults]
    pairs = {what: (outcome.error, code) for (what, _), outcome, code in zip(faults, outcomes, executed, strict=True)}
    assert {what: pair for what, pair in pairs.items() if pair[0] != pair[1]} == {}
    assert {0, 4, 5, 8} <= {code for _, code in pairs.values()}
