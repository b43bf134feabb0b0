"""The conformance check of RTL and HLS: all cases on one engine shape, compared with the numpy executor."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from rtl_sim.simulate.job import RunOptions
from rtl_sim.simulate.runner import Dut, Simulation
from tests.conformance.cases import cases_of, sweep_of
from tests.conformance.engine_shapes import SHAPES
from tests.rtl.units import Run, build_unit, fitted, make_run, smallest_bank_of
from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import InstructionCycles, predict
from toolflow.engine.isa import Flag, Opcode

WATCHDOG_CYCLES = 50_000
PREDICTION_ERROR = 0.05  # of the cycles of one small layer, where nothing stalls
# Cycles by which a direct layer of a position or two may be late: weights that begin to be read, of the layer and of
# each group.
START, SLOW_START, GROUP = 24, 100, 6
# Cycles by which a FILL or SPILL may be late: the last burst of each lane's rows is written before the next one's.
MOVE = 16
# The same as PREDICTION_ERROR where a row of weights takes several beats, as the reader's restarts are not counted; and
# of words of one channel, where a residual's many words find the bank's port free more often than the model has it.
SLOW_WEIGHTS_ERROR = 0.1
PASS_ERROR = 0.02  # of the cycles of a whole pass of a striped program
# Beside an instruction of fewer cycles than this, cycles move from one to the other: weights are read ahead or late.
# There the time counts at which an instruction ends.
SHORT = 256
SIMULATED_LEVELS: Mapping[Dut, str] = {"rtl": "rtl", "hls": "cosim"}  # by what the bench simulates
SEVERAL_PASSES = "add/small_maps"  # a case with room to load the images of the next pass beside a pass


def _options(seed: int, stalls: bool) -> RunOptions:
    draw = random.Random(seed)
    return RunOptions(
        seed=seed,
        stall_probability=draw.choice([0.1, 0.3, 0.7]) if stalls else 0.0,
        latency_cycles=draw.choice([2, 20, 64, 200]) if stalls else 64,
        by_interrupt=draw.random() < 0.5,
        watchdog_cycles=WATCHDOG_CYCLES,
    )


def _check(simulation: Simulation, config: EngineConfig, runs: list[Run], options: list[RunOptions]) -> None:
    """Run back to back without a reset and compare every byte."""
    outcomes = simulation.run([run.job(option) for run, option in zip(runs, options, strict=True)])
    for run, option, outcome in zip(runs, options, outcomes, strict=True):
        what = f"{run.name}, {run.count} images, {option}"
        assert outcome.error == 0, what
        assert run.equals(outcome.results), what
        assert outcome.outside_reads == (0, 0), what
        if simulation.dut == "rtl":
            passes = -(-run.count // run.compiled.schedule.images_of_pass)
            assert outcome.cycles == outcome.cycles_seen, what
            assert outcome.signature == config.signature, what
            assert len(outcome.instruction_cycles) == passes * len(run.compiled.instructions), what
            if option.stall_probability == 0:
                _check_prediction(run, outcome.instruction_cycles)


def _check_prediction(run: Run, cycles: tuple[int, ...]) -> None:
    """Compare the cycles of convolutions with the cycle model."""
    c = run.compiled
    config = c.config
    predicted = predict(config, c.schedule.steps, run.count).instructions
    if c.header.striped:
        whole, counted = sum(cost.cycles for cost in predicted), sum(cycles[-len(predicted) :])
        assert abs(whole - counted) <= PASS_ERROR * counted, f"{run.name}: {whole} for {counted}"
    elapsed = late = 0
    before = SHORT
    for i, cost, taken in zip(c.instructions, predicted, cycles[-len(predicted) :], strict=True):
        if i.opcode in (Opcode.TABLE, Opcode.LOAD) and cost.bound == "control":  # passed over: it waits to be decoded
            waits = taken > cost.cycles and i.opcode is Opcode.LOAD and _loads_ahead_in_time(run, predicted, cycles)
            assert cost.cycles == taken or waits, f"{run.name}: {i.name}, {cost.cycles} for {taken}"
        if i.opcode is Opcode.CONV:
            slow = config.beats_per_row(Flag.INDEXED in i.flags) > 1
            allowed = (SLOW_WEIGHTS_ERROR if slow or config.sub_row == 1 else PREDICTION_ERROR) * taken
            if not i.tile:
                allowed = max(allowed, SLOW_START if slow else START, GROUP * i.groups)
            elapsed, late = elapsed + taken, late + cost.cycles - taken
            ends_in_time = min(before, taken) < SHORT and abs(late) <= PREDICTION_ERROR * elapsed
            assert abs(cost.cycles - taken) <= allowed or ends_in_time, (
                f"{run.name}: {i.name}, {cost.cycles} for {taken}"
            )
            before = taken
        if i.opcode in (Opcode.FILL, Opcode.SPILL):
            assert abs(cost.cycles - taken) <= max(MOVE, PREDICTION_ERROR * taken), (
                f"{run.name}: {i.name}, {cost.cycles} for {taken}"
            )


def _loads_ahead_in_time(run: Run, predicted: Sequence[InstructionCycles], cycles: tuple[int, ...]) -> bool:
    """Return whether the images loaded beside compute are there when the cycle model says, within its error.

    A LOAD that finds almost all of them waits for the last ones where what runs beside it ends a little earlier.
    """
    code = run.compiled.instructions
    ahead = next(n for n, i in enumerate(code) if Flag.LOAD_AHEAD in i.flags)
    load = next(n for n, i in enumerate(code) if i.opcode is Opcode.LOAD)
    counted = sum(cycles[ahead - 2 * len(code) : load + 1 - len(code)])
    whole = sum(cost.cycles for cost in (*predicted[ahead:], *predicted[: load + 1]))
    return abs(whole - counted) <= PREDICTION_ERROR * counted


def check_runs(simulation: Simulation, config: EngineConfig, runs: list[Run]) -> None:
    """Run networks without stalls and with them."""
    for stalls in (False, True):
        _check(simulation, config, runs, [_options(seed, stalls) for seed in range(len(runs))])


def check_shape(shape: str, dut: Dut, simulators: Path) -> list[str]:
    """Run all cases in batches below and above the lanes, every other one with random stalls: which, differs by shape.

    An engine with two precisions runs each case in both, in turn. Returns the cases that were compared.
    """
    config = fitted(shape)
    simulation = build_unit(config, dut, simulators / f"{dut}_{shape}")
    runs, options = _runs(shape)
    _check(simulation, config, runs, options)
    return [run.name for run in runs]


@lru_cache(maxsize=1)  # the tests of a shape's RTL and HLS follow each other
def _runs(shape: str) -> tuple[list[Run], list[RunOptions]]:
    """Return what `check_shape` runs: to compile it and to execute it takes as long as to simulate it."""
    config = fitted(shape)
    runs, options = [], []
    odd = [*SHAPES].index(shape) % 2
    for number, name in enumerate(cases_of(config)):
        stalls = number % 2 == odd
        for turn, seen in enumerate(config.precisions):
            seed = 2 * number + turn
            count = 1 + (number + 2 * stalls) % (seen.lanes_p + 1)
            if name.startswith(SEVERAL_PASSES):
                count += 2 * seen.lanes_p
            runs.append(make_run(seen, name, count=count, seed=seed, extreme=number % 3 == 2, trace=number % 4 == 1))
            options.append(_options(seed, stalls != bool(turn)))
    return runs, options


def check_bands(shape: str, dut: Dut, simulators: Path) -> list[str]:
    """Run cases in bands of rows, without stalls and with them; returns the cases.

    The banks hold the smallest bands of three cases in four, and the whole maps of few.
    """
    config = fitted(shape)
    least = {name: smallest_bank_of(config, name) for name in cases_of(config)}
    depth = sorted(least.values())[3 * len(least) // 4]
    small = config.fitted({"bank_depth": depth, "external_maps": True})
    runs: list[Run] = []
    options = []
    for name in (name for name, words in least.items() if words <= depth):
        number = len(runs)
        run = make_run(small, name, count=1 + number // 2 % (small.lanes_p + 2), seed=number, trace=number % 8 < 2)
        if run.compiled.header.map_bytes:
            runs.append(run)
            options.append(_options(number, number % 2 == 1))
    simulation = build_unit(small, dut, simulators / f"{dut}_{shape}_bands")
    _check(simulation, small, runs, options)
    return [run.name for run in runs]


def check_sweep(shape: str, dut: Dut, simulators: Path) -> None:
    """Run every mode, n and weight width, with all maps traced; some networks are extreme, some have stalls."""
    config = fitted(shape)
    simulation = build_unit(config, dut, simulators / f"{dut}_{shape}")
    runs, options = [], []
    for seed, name in enumerate(sweep_of(config)):
        runs.append(make_run(config, name, count=1 + seed % 3, seed=seed, extreme=seed % 2 == 1, trace=True))
        options.append(_options(seed, seed % 4 > 1))
    _check(simulation, config, runs, options)


def check_shape_at_length(shape: str, dut: Dut, simulators: Path) -> None:
    """Run random and extreme networks with all maps traced, several seeds of stalls and up to three passes."""
    config = fitted(shape)
    simulation = build_unit(config, dut, simulators / f"{dut}_{shape}")
    for seed in range(100, 103):
        draw = random.Random(seed)
        runs = [
            make_run(seen, name, count=draw.randint(1, 3 * seen.lanes_p), seed=seed + n, extreme=extreme, trace=True)
            for n, name in enumerate(cases_of(config))
            for extreme in (False, True)
            for seen in config.precisions
        ]
        _check(simulation, config, runs, [_options(seed + n, n % 3 != 0) for n in range(len(runs))])
