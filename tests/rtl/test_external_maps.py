"""FILL, SPILL and LOADs of rows on RTL and HLS in the bench, in programs that no compiler made, against the oracle."""

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
from tests.rtl.units import Words, build_unit, edited
from tests.unit.emit import hls_programs
from tests.unit.emit.hls_jobs import everything, executor_code
from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import INSTRUCTION_WORDS, LAYOUT, Flag, Instruction, Opcode
from toolflow.engine.program import HEADER_WORDS, decode_program

# Every beat, S of 1, 8 and 16, one lane and several, tiles, and two precisions.
ENGINES = {
    "eight": EngineConfig(
        lanes_k=4, lanes_p=3, slots=2, drain_k=2, weight_depth=256, result_depth=16, bank_depth=512, external_maps=True
    ),
    "scalar": EngineConfig(
        lanes_k=2, lanes_p=1, sub_row=1, input_lanes=1, bus_bits=64, bank_depth=2048, external_maps=True
    ),
    "tiles": EngineConfig(
        lanes_k=4, lanes_p=1, sub_row=16, bus_bits=256, bank_depth=512, tile=4, transform_depth=72, external_maps=True
    ),
    "precisions": EngineConfig(
        lanes_k=4, lanes_p=4, slots=4, drain_k=2, narrow_bits=4, bus_bits=64, bank_depth=1024,
        dsp_primitive="dsp48e2", pack_k=2, chain=4, gather=False, external_maps=True,
    ),
}  # fmt: skip
SEEDS = (0, 3)
OPTIONS = RunOptions(watchdog_cycles=20_000, limit_cycles=2_000_000, stall_probability=0.2, seed=5)
# Reads come at once while writes pause for long: a FILL that did not wait for the SPILL before it would see old bytes.
LATE_WRITES = replace(OPTIONS, latency_cycles=2, stall_probability=0.7)
HEADER_MAP_BYTES = 12  # word
FAULTS = 60


@pytest.fixture(scope="module", params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module", params=["rtl", "hls"])
def simulation(request: pytest.FixtureRequest, name: str, simulators: Path) -> Simulation:
    return build_unit(ENGINES[name], request.param, simulators / f"{request.param}_maps_{name}")


@cache
def programs(name: str) -> tuple[hls_programs.Job, ...]:
    """Programs in every precision that fill, spill and load rows; the first of each has a pass that is not full."""
    config = ENGINES[name]
    return tuple(
        everything(seen, seed, seen.lanes_p + 1 if seed == SEEDS[0] else 1)
        for seen in config.precisions
        for seed in SEEDS
    )


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


@cache
def defined_bytes(name: str, number: int) -> dict[int, int]:
    """Return what PROGRAM.md defines of a program's results."""
    job = programs(name)[number]
    found = Oracle(ENGINES[name]).run(job.program, job.weights, job.images, job.count)
    return {place: byte for place, byte in found.items() if byte is not None}


def differing(name: str, number: int, results: bytes) -> list[int]:
    return [place for place, byte in defined_bytes(name, number).items() if results[place] != byte]


def test_rows_leave_the_banks_and_come_back(simulation: Simulation, name: str) -> None:
    jobs = programs(name)
    outcomes = simulation.run([job_of(job, options=option) for option in (OPTIONS, LATE_WRITES) for job in jobs])
    assert {outcome.error for outcome in outcomes} == {0}
    assert [differing(name, n % len(jobs), outcome.results) for n, outcome in enumerate(outcomes)] == [[]] * len(
        outcomes
    )
    assert {outcome.outside_reads for outcome in outcomes} == {(0, 0)}
    kinds = {i.opcode for job in jobs for i in decode_program(job.program)[1]}
    assert {Opcode.FILL, Opcode.SPILL} <= kinds


@pytest.mark.parametrize("name", ["eight"], indirect=True)
def test_a_reset_in_mid_band(simulation: Simulation, name: str) -> None:
    """Whatever moved when the reset came, the job is right when it is started again."""
    options = [replace(OPTIONS, reset_at_cycle=cycle) for cycle in range(1500, 4500, 375)]
    outcomes = simulation.run([job_of(programs(name)[0], options=each) for each in options])
    assert {outcome.error for outcome in outcomes} == {0}
    assert [differing(name, 0, outcome.results) for outcome in outcomes] == [[]] * len(options)


@pytest.mark.parametrize("name", ["eight"], indirect=True)
def test_a_bus_error_in_mid_band_ends_with_its_code(simulation: Simulation, name: str) -> None:
    """Codes 6 and 7 in RTL, and the next job is right. HLS does not see the responses, and a failed read is garbage."""
    job = programs(name)[0]
    (good,) = simulation.run([job_of(job)], OPTIONS)
    parts = range(3, 8) if simulation.dut == "rtl" else ()
    reads = [replace(OPTIONS, fail_read=(0, good.beats_read[0] * part // 8)) for part in parts]
    writes = [replace(OPTIONS, fail_write=answer) for answer in (3, 9, 17, 24)]
    outcomes = simulation.run([job_of(job, options=each) for each in (*reads, *writes, OPTIONS)])
    wanted = [6] * len(reads) + [7 if simulation.dut == "rtl" else 0] * len(writes)
    assert [outcome.error for outcome in outcomes] == [*wanted, 0]
    assert differing(name, 0, outcomes[-1].results) == []


def with_fields(job: hls_programs.Job, number: int, **values: int) -> bytes:
    """Return the program with fields of one instruction changed and a good CRC."""

    def edit(words: Words) -> None:
        for name, value in values.items():
            word, low, width, _ = LAYOUT[name]
            index = HEADER_WORDS + INSTRUCTION_WORDS * number + word
            mask = ((1 << width) - 1) << low
            words[index] = words[index] & ~mask | value << low & mask

    return edited(job.program, edit)


def with_map_bytes(job: hls_programs.Job, size: int) -> bytes:
    return edited(job.program, lambda words: words.__setitem__(HEADER_MAP_BYTES, size))


def hostile(job: hls_programs.Job, config: EngineConfig) -> Iterator[tuple[int, str, bytes]]:
    """Yield (code, what is wrong, program)."""
    header, instructions = decode_program(job.program)
    beat, depth = config.bus_bytes, config.bank_depth
    far = header.map_bytes + -header.map_bytes % beat

    def numbers(opcode: Opcode) -> list[int]:
        return [n for n, i in enumerate(instructions) if i.opcode is opcode]

    fill, spill, loads = numbers(Opcode.FILL)[-1], numbers(Opcode.SPILL)[-1], numbers(Opcode.LOAD)

    def lane_bytes(i: Instruction) -> int:
        height, width = (i.out_height, i.out_width) if i.opcode is Opcode.FILL else (i.in_height, i.in_width)
        row = width * i.sub_rows * config.sub_row
        return height * (row + -row % beat)

    def reach(i: Instruction) -> int:
        base = i.in_base if i.opcode is Opcode.FILL else i.out_base
        return base + (config.lanes_p - 1) * i.residual_base + lane_bytes(i)

    for number, base, height, width in (
        (fill, "in_base", "out_height", "out_width"),
        (spill, "out_base", "in_height", "in_width"),
    ):
        i = instructions[number]
        kind = i.opcode.name
        for value in (far, 1, 0xFFFFFFFF, (1 << 32) - beat):
            yield 5, f"{kind} {base} = {value}", with_fields(job, number, **{base: value})
        less = lane_bytes(i) - beat
        for value in (less, i.residual_base + 1, 0, 1 << 31, (1 << 32) - beat):
            yield 5, f"{kind} pitch = {value}", with_fields(job, number, residual_base=value)
        for field in (height, width, "sub_rows"):
            yield 8, f"{kind} {field} = 0", with_fields(job, number, **{field: 0})
            yield 5, f"{kind} {field} = 65535", with_fields(job, number, **{field: 65535})
    yield 5, "FILL to the end of the banks", with_fields(job, fill, out_base=depth - 1)
    yield 5, "FILL behind the banks", with_fields(job, fill, out_base=depth)
    yield 5, "FILL far apart", with_fields(job, fill, out_words=65535)
    yield 8, "FILL all in one place", with_fields(job, fill, out_words=0)
    yield 5, "SPILL behind the banks", with_fields(job, spill, in_base=depth)
    yield 5, "SPILL of pixels far apart", with_fields(job, spill, in_words=65535)
    yield 0, "SPILL of one pixel again and again", with_fields(job, spill, in_words=0, in_row_words=0)
    tall = next(n for n in numbers(Opcode.SPILL) if instructions[n].in_height > 1)
    yield 5, "SPILL of rows far apart", with_fields(job, tall, in_row_words=65535)
    used = max(reach(instructions[n]) for opcode in (Opcode.FILL, Opcode.SPILL) for n in numbers(opcode))
    yield 0, "as much memory as the maps take", with_map_bytes(job, used)
    yield 5, "less memory than the maps take", with_map_bytes(job, used - 1)
    yield 5, "no memory", with_map_bytes(job, 0)
    yield 5, "a LOAD between beats", with_fields(job, loads[1], in_base=1)
    yield 5, "a LOAD of rows behind the image", with_fields(job, loads[1], in_base=header.image_pitch_bytes)
    yield 5, "a LOAD far behind the image", with_fields(job, loads[1], in_base=(1 << 32) - beat)
    for opcode in (Opcode.CONV, Opcode.MAXPOOL):
        late = numbers(opcode)[-1]
        flags = Flag.LOAD_AHEAD | instructions[late].flags
        yield 8, f"LOAD_AHEAD of {opcode.name} after them", with_fields(job, late, flags=flags)
    first = next(n for n in numbers(Opcode.CONV) if n > loads[0])
    flags = Flag.LOAD_AHEAD | instructions[first].flags
    yield 5, "LOAD_AHEAD before them, and the images are read", with_fields(job, first, flags=flags)


@pytest.mark.parametrize("name", ["eight", "precisions"], indirect=True)
def test_hostile_programs(simulation: Simulation, name: str) -> None:
    config = ENGINES[name].precisions[-1]
    job = programs(name)[-1]
    cases = list(hostile(job, config))
    outcomes = simulation.run([job_of(job, program) for _, _, program in cases], OPTIONS)
    wanted = {what: code for code, what, _ in cases}
    assert {what: outcome.error for (_, what, _), outcome in zip(cases, outcomes, strict=True)} == wanted
    assert {what: executor_code(config, job, program) for _, what, program in cases} == wanted


@pytest.mark.parametrize("name", ["eight"], indirect=True)
def test_all_levels_end_alike(simulation: Simulation, name: str) -> None:
    """Random values, extremes among them, in random fields of the instructions that move rows."""
    config, job, rng = ENGINES[name], programs(name)[1], np.random.default_rng(7)
    _, instructions = decode_program(job.program)
    movers = [n for n, i in enumerate(instructions) if i.opcode in (Opcode.FILL, Opcode.SPILL, Opcode.LOAD)]
    faults = []
    for _ in range(FAULTS):
        number, field = int(rng.choice(movers)), str(rng.choice(list(LAYOUT)))
        mask = (1 << LAYOUT[field][2]) - 1
        value = int(rng.choice([0, 1, 2, 16, mask, mask >> 1, int(rng.integers(mask, endpoint=True))]))
        what = f"{number} {instructions[number].opcode.name}.{field} = {value}"
        faults.append((what, with_fields(job, number, **{field: value})))
    outcomes = simulation.run([job_of(job, program) for _, program in faults], OPTIONS)
    executed = [executor_code(config, job, program) for _, program in faults]
    pairs = {what: (outcome.error, code) for (what, _), outcome, code in zip(faults, outcomes, executed, strict=True)}
    assert {what: pair for what, pair in pairs.items() if pair[0] != pair[1]} == {}
    assert {0, 4, 5, 8} <= {code for _, code in pairs.values()}
