"""What must go wrong in a defined way: bad programs, bus errors, resets. Nothing hangs or writes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rtl_sim.simulate.job import FILL, Job, RunOptions
from rtl_sim.simulate.runner import Dut, Simulation
from tests.rtl.units import Run, Words, build_unit, edited, fitted, make_run
from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError
from toolflow.engine.executor import run_program
from toolflow.engine.isa import INSTRUCTION_WORDS, LAYOUT, Opcode
from toolflow.engine.program import HEADER_WORDS

SHAPE = "odd"
CASES = ("add/residual,8ch,signed=False", "conv/9to20,3x3,pads=(1,1,1,1)", "linear/(1,4,3)->(9,)->4")
STALLS = RunOptions(seed=11, stall_probability=0.3, watchdog_cycles=20_000)
PLAIN = RunOptions(watchdog_cycles=20_000)


@pytest.fixture(scope="module")
def config() -> EngineConfig:
    return fitted(SHAPE)


@pytest.fixture(scope="module", params=["rtl", "hls"])
def simulation(request: pytest.FixtureRequest, config: EngineConfig, simulators: Path) -> Simulation:
    dut: Dut = request.param
    return build_unit(config, dut, simulators / f"{dut}_{SHAPE}")


@pytest.fixture(scope="module")
def runs(config: EngineConfig) -> list[Run]:
    return [make_run(config, name, count=4, seed=n) for n, name in enumerate(CASES)]


def _word(index: int, value: int) -> Callable[[Words], None]:
    def edit(words: Words) -> None:
        words[index] = value & 0xFFFFFFFF

    return edit


def _flip(index: int) -> Callable[[Words], None]:
    def edit(words: Words) -> None:
        words[index] ^= 1 << 7

    return edit


def _field(run: Run, opcode: Opcode, name: str, value: int) -> Callable[[Words], None]:
    """Set a field of the first instruction with this opcode."""
    number = next(n for n, i in enumerate(run.compiled.instructions) if i.opcode is opcode)
    word, low, width, _ = LAYOUT[name]

    def edit(words: Words) -> None:
        index = HEADER_WORDS + INSTRUCTION_WORDS * number + word
        mask = ((1 << width) - 1) << low
        words[index] = words[index] & ~mask | value << low & mask

    return edit


def _bad_programs(run: Run, config: EngineConfig) -> dict[str, tuple[int, bytes]]:
    """Name every damaged program with the code that it must end in."""
    program = run.compiled.program
    signature = config.signature
    conv, load, store = Opcode.CONV, Opcode.LOAD, Opcode.STORE_RESULT

    def field(opcode: Opcode, name: str, value: int) -> bytes:
        return edited(program, _field(run, opcode, name, value))

    def walk(**steps: int) -> bytes:
        changed = program
        for name, value in steps.items():
            changed = edited(changed, _field(run, conv, name, value))
        return changed

    first = next(i for i in run.compiled.instructions if i.opcode is conv)
    of_tap = first.rows // (first.levels * first.kernel_h * first.kernel_w)
    confidence = {name: _word(8, m << 16 | n << 20) for name, m, n in (("M", 3, 2), ("N", 1, 9))}
    return {
        "magic": (1, edited(program, _word(0, 0x12345678))),
        "version": (1, edited(program, _word(1, 1))),
        "signature, low": (2, edited(program, _word(2, signature ^ 1))),
        "signature, high": (2, edited(program, _word(3, signature >> 32 ^ 1 << 31))),
        "header word": (3, edited(program, _flip(7), checked=False)),
        "first instruction": (3, edited(program, _flip(16), checked=False)),
        "last instruction": (3, edited(program, _flip(16 * len(run.compiled.instructions) + 15), checked=False)),
        "crc": (3, edited(program, _flip(15), checked=False)),
        "opcode 0": (4, field(conv, "opcode", 0)),
        "opcode 9": (4, field(load, "opcode", 9)),
        "opcode 255": (4, field(store, "opcode", 255)),
        "input beyond the bank": (5, field(conv, "in_base", config.bank_depth)),
        "output beyond the bank": (5, field(conv, "out_base", 1 << 31)),
        "load beyond the bank": (5, field(load, "out_base", config.bank_depth)),
        "too many rows": (8, field(conv, "rows", config.weight_depth + 1)),
        "no output rows": (8, field(conv, "out_height", 0)),
        "no kernel": (8, field(conv, "kernel_w", 0)),
        "all outputs in one place": (8, field(conv, "out_words", 0)),
        "all pixels in one place": (8, field(load, "out_words", 0)),
        "table not at a beat": (5, field(Opcode.TABLE, "in_base", run.table_offset + 4)),
        "images not of whole beats": (5, edited(program, _word(5, run.compiled.header.image_pitch_bytes + 4))),
        "images longer than their pitch": (5, edited(program, _word(5, config.bus_bytes))),
        "records not of whole beats": (5, edited(program, _word(6, run.compiled.header.result_pitch_bytes + 4))),
        "records longer than their pitch": (5, edited(program, _word(6, config.bus_bytes))),
        # as many rows as the walk would take, with a count of 0 among its factors
        "no sub-rows": (8, walk(sub_rows=0, steps=1, steps_last=of_tap + 1)),
        "no steps": (8, walk(sub_rows=2, steps=0, steps_last=of_tap)),
        "no last steps": (8, walk(sub_rows=of_tap + 1, steps=1, steps_last=0)),
        "confidence: M beyond N": (8, edited(program, confidence["M"])),
        "confidence: N beyond 8": (8, edited(program, confidence["N"])),
        "too few weights": (8, edited(program, _word(10, run.compiled.header.weight_beats - 1))),
        "too many weights": (8, edited(program, _word(10, run.compiled.header.weight_beats + 1))),
    }


def test_bad_programs_end_in_their_code(simulation: Simulation, config: EngineConfig, runs: list[Run]) -> None:
    """Each writes nothing, but where the pass's end tells; the next good program runs as if nothing had been."""
    bad = _bad_programs(runs[0], config)
    jobs: list[Job] = []
    for number, (name, (_, program)) in enumerate(bad.items()):
        options = STALLS if number % 2 else PLAIN
        jobs += [replace(runs[0].job(options, program=program), name=name), runs[number % 3].job(options)]
    outcomes = simulation.run(jobs)
    codes = {name: outcome.error for name, outcome in zip(bad, outcomes[::2], strict=True)}
    assert codes == {name: code for name, (code, _) in bad.items()}
    for number, (name, outcome) in enumerate(zip(bad, outcomes[::2], strict=True)):
        assert set(outcome.results) == {FILL} or name == "too many weights", f"{name}: something was written"
        assert runs[number % 3].equals(outcomes[2 * number + 1].results), f"after {name}"
        assert outcomes[2 * number + 1].error == 0


def test_the_executor_ends_in_the_same_code(config: EngineConfig, runs: list[Run]) -> None:
    found = {}
    for name, (_, program) in _bad_programs(runs[0], config).items():
        with pytest.raises(EngineFaultError) as caught:
            run_program(config, program, runs[0].compiled.weights, runs[0].images, runs[0].count)
        found[name] = caught.value.code
    assert found == {name: code for name, (code, _) in _bad_programs(runs[0], config).items()}


def test_a_program_without_an_end(simulation: Simulation, runs: list[Run]) -> None:
    """It ends in code 4, wherever the engine finds that."""
    program = edited(runs[0].compiled.program, _field(runs[0], Opcode.END, "opcode", Opcode.STORE_RESULT))
    bad, good = simulation.run([runs[0].job(PLAIN, program=program), runs[0].job(PLAIN)])
    assert bad.error == 4
    assert (good.error, good.results) == (0, runs[0].expected)


def test_no_images(simulation: Simulation, runs: list[Run]) -> None:
    """N = 0 ends in code 9 with nothing written, and the engine goes on."""
    bad, good = simulation.run([runs[0].job(PLAIN, count=0), runs[0].job(PLAIN)])
    assert bad.error == 9
    assert set(bad.results) == {FILL}
    assert (good.error, good.results) == (0, runs[0].expected)


def test_reset_in_flight(simulation: Simulation, runs: list[Run]) -> None:
    """A reset at any time leaves the engine as new: the same start again gives the same bytes."""
    lengths = [outcome.cycles_seen for outcome in simulation.run([run.job(STALLS) for run in runs])]
    jobs, expected = [], []
    for run, length in zip(runs, lengths, strict=True):
        for part in range(8):
            options = replace(STALLS, reset_at_cycle=5 + length * part // 8, seed=part)
            jobs += [run.job(options), runs[0].job(PLAIN)]
            expected += [run, runs[0]]
    outcomes = simulation.run(jobs)
    for run, outcome in zip(expected, outcomes, strict=True):
        assert (outcome.error, outcome.results) == (0, run.expected)
    assert all(outcome.reset_in_flight for outcome in outcomes[::2])


def test_bus_errors(simulation: Simulation, runs: list[Run]) -> None:
    """SLVERR on any beat read ends in code 6, on any write response in code 7; the next start is exact."""
    if simulation.dut == "hls":
        return  # an HLS master hides responses from the C++ (PROGRAM.md)
    run = runs[1]
    (whole,) = simulation.run([run.job(PLAIN)])
    beats, responses = whole.beats_read, run.count
    faults = [
        replace(base, fail_read=(port, 1 + (beats[port] - 1) * part // 5))
        for port in (0, 1)
        for part in range(6)
        for base in (PLAIN, replace(STALLS, seed=part))
    ]
    faults += [
        replace(base, fail_write=n) for n in range(1, responses + 1) for base in (PLAIN, replace(STALLS, seed=n))
    ]
    jobs = [job for fault in faults for job in (run.job(fault), runs[0].job(PLAIN))]
    outcomes = simulation.run(jobs)
    for fault, outcome, after in zip(faults, outcomes[::2], outcomes[1::2], strict=True):
        assert outcome.error == (7 if fault.fail_write else 6), fault
        assert (after.error, after.results) == (0, runs[0].expected), fault
        if fault.fail_read and fault.fail_read[0] == 0 and fault.fail_read[1] < beats[0] // 2:
            assert set(outcome.results) == {FILL}, fault


def test_flipped_bits_are_seen(simulation: Simulation, runs: list[Run]) -> None:
    """A memory that gives one wrong bit is found: by the CRC in the program, by the comparison elsewhere."""
    run = runs[0]
    (whole,) = simulation.run([run.job(PLAIN)])
    program, weight, image = simulation.run(
        [
            run.job(replace(PLAIN, flip_read=(0, 3))),
            run.job(replace(PLAIN, flip_read=(1, 1))),
            run.job(replace(PLAIN, flip_read=(0, whole.beats_read[0] - 3))),
        ]
    )
    assert whole.results == run.expected
    assert program.error == 3
    assert weight.error == 0
    assert weight.results != run.expected
    assert image.error == 0
