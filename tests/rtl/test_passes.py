"""Starts of several passes: what a later pass does not do again, and that its results are those of any pass."""

from __future__ import annotations

from pathlib import Path

from rtl_sim.simulate.job import RunOptions
from tests.rtl.units import build_unit, fitted, make_run
from toolflow.engine.isa import Opcode

SHAPE = "odd"
CASE = "conv/9to20,3x3,pads=(1,1,1,1)"
SKIPPED_CYCLES = 24  # of an instruction that has nothing to do: it is fetched and decoded
STALLS = RunOptions(seed=5, stall_probability=0.3, watchdog_cycles=20_000)


def test_only_the_first_pass_fills_the_tables(simulators: Path) -> None:
    config = fitted(SHAPE)
    simulation = build_unit(config, "rtl", simulators / f"rtl_{SHAPE}")
    run = make_run(config, CASE, count=2 * config.lanes_p + 1, seed=1)
    quiet, stalled = simulation.run([run.job(RunOptions(watchdog_cycles=20_000)), run.job(STALLS)])
    assert run.equals(quiet.results)
    assert run.equals(stalled.results)
    instructions = run.compiled.instructions
    table = next(n for n, i in enumerate(instructions) if i.opcode is Opcode.TABLE)
    first, *later = quiet.instruction_cycles[table :: len(instructions)]
    assert first > 256
    assert len(later) == 2
    assert max(later) <= SKIPPED_CYCLES
