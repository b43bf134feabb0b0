"""Starts of several passes: what a later pass does not do again, and what is done beside the pass before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_sim.simulate.job import Outcome, RunOptions
from rtl_sim.simulate.runner import Simulation
from tests.rtl.units import Run, Words, build_unit, edited, fitted, make_run
from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.executor import run_program
from toolflow.engine.isa import INSTRUCTION_WORDS, Flag, Opcode
from toolflow.engine.program import HEADER_WORDS

SHAPE = "odd"
CASE = "add/small_maps,12ch"
SKIPPED_CYCLES = 24  # of an instruction that has nothing to do: it is fetched and decoded
PLAIN = RunOptions(watchdog_cycles=20_000)
STALLS = RunOptions(seed=5, stall_probability=0.3, watchdog_cycles=20_000)


@pytest.fixture(scope="module")
def config() -> EngineConfig:
    return fitted(SHAPE)


@pytest.fixture(scope="module")
def simulation(config: EngineConfig, simulators: Path) -> Simulation:
    return build_unit(config, "rtl", simulators / f"rtl_{SHAPE}")


@pytest.fixture(scope="module")
def run(config: EngineConfig) -> Run:
    """Two whole passes and one of a single image."""
    return make_run(config, CASE, count=2 * config.lanes_p + 1, seed=1)


def cycles_of(run: Run, outcome: Outcome, opcode: Opcode) -> list[int]:
    """Return the cycles of an instruction in each pass."""
    instructions = run.compiled.instructions
    first = next(n for n, i in enumerate(instructions) if i.opcode is opcode)
    return list(outcome.instruction_cycles[first :: len(instructions)])


def test_only_the_first_pass_fills_the_tables(simulation: Simulation, run: Run) -> None:
    quiet, stalled = simulation.run([run.job(PLAIN), run.job(STALLS)])
    assert run.equals(quiet.results)
    assert run.equals(stalled.results)
    first, *later = cycles_of(run, quiet, Opcode.TABLE)
    assert first > 256
    assert len(later) == 2
    assert max(later) <= SKIPPED_CYCLES


def test_images_are_loaded_beside_the_pass_before(simulation: Simulation, run: Run) -> None:
    assert any(Flag.LOAD_AHEAD in i.flags for i in run.compiled.instructions)
    (outcome,) = simulation.run([run.job(PLAIN)])
    first, *later = cycles_of(run, outcome, Opcode.LOAD)
    assert max(later) < first / 2


def test_words_that_are_in_use_are_not_loaded_over(simulation: Simulation, config: EngineConfig, run: Run) -> None:
    """One layer earlier than the schedule says: refused with one pass and with several, and by the executor."""
    number = next(n for n, i in enumerate(run.compiled.instructions) if Flag.LOAD_AHEAD in i.flags)

    def earlier(words: Words) -> None:
        words[HEADER_WORDS + INSTRUCTION_WORDS * (number - 1)] |= Flag.LOAD_AHEAD << 8

    program = edited(run.compiled.program, earlier)
    jobs = [run.job(option, program=program, count=n) for n in (1, run.count) for option in (PLAIN, STALLS)]
    assert {outcome.error for outcome in simulation.run(jobs)} == {ErrorCode.ADDRESS}
    with pytest.raises(EngineFaultError) as fault:
        run_program(config, program, run.compiled.weights, run.images, run.count)
    assert fault.value.code is ErrorCode.ADDRESS


def test_a_pass_waits_for_images_that_are_loaded_late(simulation: Simulation, run: Run) -> None:
    """They are loaded from the last layer on, which is shorter than their load."""
    instructions = run.compiled.instructions
    early = next(n for n, i in enumerate(instructions) if Flag.LOAD_AHEAD in i.flags)
    last = max(n for n, i in enumerate(instructions) if i.opcode is Opcode.CONV)

    def later(words: Words) -> None:
        words[HEADER_WORDS + INSTRUCTION_WORDS * early] &= ~(Flag.LOAD_AHEAD << 8)
        words[HEADER_WORDS + INSTRUCTION_WORDS * last] |= Flag.LOAD_AHEAD << 8

    program = edited(run.compiled.program, later)
    quiet, stalled = simulation.run([run.job(option, program=program) for option in (PLAIN, STALLS)])
    assert run.equals(quiet.results)
    assert run.equals(stalled.results)
    assert min(cycles_of(run, quiet, Opcode.LOAD)) > SKIPPED_CYCLES


def test_a_reset_at_any_time_of_a_load_beside_compute(simulation: Simulation, run: Run) -> None:
    """The pass in which it happens, and the next one, which waits for it."""
    (quiet,) = simulation.run([run.job(PLAIN)])
    marks = range(quiet.cycles // 6, quiet.cycles, quiet.cycles // 10)
    options = [RunOptions(reset_at_cycle=at, watchdog_cycles=20_000, stall_probability=0.1, seed=at) for at in marks]
    outcomes = simulation.run([run.job(option) for option in options])
    assert all(run.equals(outcome.results) for outcome in outcomes)


def test_a_memory_that_fails_while_images_are_loaded_ahead(simulation: Simulation, run: Run) -> None:
    """Beats after the first pass's images: the engine ends with the bus's code, and the next start is good."""
    (quiet,) = simulation.run([run.job(PLAIN)])
    beats = range(quiet.beats_read[0] // 2, quiet.beats_read[0], 41)
    jobs = [
        job
        for beat in beats
        for job in (run.job(RunOptions(fail_read=(0, beat), watchdog_cycles=20_000)), run.job(STALLS))
    ]
    outcomes = simulation.run(jobs)
    assert {outcome.error for outcome in outcomes[::2]} == {6}
    assert all(run.equals(outcome.results) for outcome in outcomes[1::2])
