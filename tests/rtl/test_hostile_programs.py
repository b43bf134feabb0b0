"""Programs with a good CRC and one wrong field: executor, HLS and RTL end, in the same code, and write nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtl_sim.simulate.job import Job, RunOptions
from rtl_sim.simulate.runner import Simulation
from tests.rtl.units import Run, Words, build_unit, edited, fitted, make_run
from toolflow.engine.errors import EngineFaultError
from toolflow.engine.executor import run_program
from toolflow.engine.isa import INSTRUCTION_WORDS, LAYOUT, Flag, Opcode
from toolflow.engine.program import HEADER_WORDS

# engines that drain two channels at once, without tiles, with them, and with two precisions; each with a network that
# has a residual, the last as a narrow program
NETWORKS = {
    "twelve": "add/residual,8ch,signed=False",
    "tile_4_slots": "winograd/modes,F4",
    "two_precisions_dsp48e1": "add/residual,8ch,signed=False",
}
OPTIONS = RunOptions(watchdog_cycles=50_000, limit_cycles=4_000_000, stall_probability=0.1)
FAULTS = 150


@pytest.fixture(scope="module", params=NETWORKS)
def shape(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def simulations(shape: str, simulators: Path) -> dict[str, Simulation]:
    config = fitted(shape)
    return {
        "rtl": build_unit(config, "rtl", simulators / f"rtl_{shape}"),
        "hls": build_unit(config, "hls", simulators / f"hls_{shape}"),
    }


@pytest.fixture(scope="module")
def run(shape: str) -> Run:
    return make_run(fitted(shape).precisions[-1], NETWORKS[shape], count=3, seed=2, trace=True)


def with_field(run: Run, number: int, name: str, value: int) -> bytes:
    """Return the program with one field of one instruction changed and a good CRC."""
    word, low, width, _ = LAYOUT[name]

    def edit(words: Words) -> None:
        index = HEADER_WORDS + INSTRUCTION_WORDS * number + word
        mask = ((1 << width) - 1) << low
        words[index] = words[index] & ~mask | value << low & mask

    return edited(run.compiled.program, edit)


def codes(simulation: Simulation, jobs: list[Job]) -> list[int]:
    return [outcome.error for outcome in simulation.run(jobs, OPTIONS)]


def _ahead_programs(run: Run) -> dict[str, tuple[int, bytes]]:
    """Return programs that load ahead what they still use, and what is out of its order."""
    instructions = run.compiled.instructions
    load = next(n for n, i in enumerate(instructions) if i.opcode is Opcode.LOAD)
    convs = [n for n, i in enumerate(instructions) if i.opcode is Opcode.CONV]
    ends = [n for n, i in enumerate(instructions) if i.opcode in (Opcode.STORE_RESULT, Opcode.END)]

    def flagged(number: int) -> bytes:
        return with_field(run, number, "flags", Flag.LOAD_AHEAD | instructions[number].flags)

    return {
        "the first layer reads the images": (5, flagged(convs[0])),
        **{f"nothing to do with images, {n}": (4, flagged(n)) for n in (load, *ends)},
        "a second TABLE": (8, with_field(run, load, "opcode", Opcode.TABLE)),
    }


@pytest.mark.parametrize("dut", ["rtl", "hls"])
def test_directed(simulations: dict[str, Simulation], run: Run, dut: str) -> None:
    instructions = run.compiled.instructions
    adds = next(n for n, i in enumerate(instructions) if i.residual_channels)
    stores = next(n for n, i in enumerate(instructions) if i.opcode is Opcode.STORE_MAP)
    programs = {
        "unknown flag": (4, with_field(run, adds, "flags", 128 | int(instructions[adds].flags))),
        **_ahead_programs(run),
        "residual between the channels of a chunk, 1": (5, with_field(run, adds, "residual_offset", 1)),
        "residual between the channels of a chunk, 3": (5, with_field(run, adds, "residual_offset", 3)),
        "residual between the channels of a chunk, 7": (5, with_field(run, adds, "residual_offset", 7)),
        "residual of no channel": (0, with_field(run, adds, "residual_channels", 0)),
        "residual of channels that are not there": (0, with_field(run, adds, "residual_offset", 1 << 14)),
        "map not at a beat": (5, with_field(run, stores, "out_base", instructions[stores].out_base + 1)),
        "no maps in external memory, FILL": (4, with_field(run, stores, "opcode", Opcode.FILL)),
        "no maps in external memory, SPILL": (4, with_field(run, stores, "opcode", Opcode.SPILL)),
        "another precision": (
            0 if run.compiled.config.narrow else 4,
            edited(run.compiled.program, lambda words: words.__setitem__(11, words[11] ^ 1)),
        ),
    }
    got = codes(simulations[dut], [run.job(program=program) for _, program in programs.values()])
    assert dict(zip(programs, got, strict=True)) == {name: code for name, (code, _) in programs.items()}


def _tile_programs(run: Run) -> dict[str, tuple[int, bytes]]:
    """Return what breaks a rule of a tile or of TAPS, or just does not, with the code that it must end in."""
    instructions = run.compiled.instructions
    taps = next(n for n, i in enumerate(instructions) if i.opcode is Opcode.TAPS)
    tiled = {i.tile: n for n, i in enumerate(instructions) if i.tile}
    adds = next(n for n, i in enumerate(instructions) if i.tile and i.residual_channels)
    changes: tuple[tuple[int, int, str, int], ...] = (
        (4, taps, "in_base", 8),
        (0, taps, "in_base", 7),
        (8, taps, "rows", 1),  # other steps of four taps
        (8, taps, "residual_base", 0xFFFFFFFF),
        (0, taps, "residual_channels", 0xFFFF),  # beyond the steps
        (0, taps, "out_width", instructions[taps].out_width | 0xFF00),  # beyond the exponents
        (4, taps, "flags", 32),
        *((4, number, "tile", value) for number in tiled.values() for value in (1, 3, 5, 8, 255)),
        *((8, tiled[4], name, 2) for name in ("tile", "kernel_h", "kernel_w", "stride_h", "stride_w")),
        *((8, tiled[4], name, 2) for name in ("dilation_h", "dilation_w", "levels", "channel_step")),
        *((8, tiled[4], "levels", value) for value in (0, 3, 255)),
        (8, tiled[2], "tile", 4),
        (8, tiled[4], "tile", 0),
        (8, tiled[4], "flags", Flag.TO_RESULT | instructions[tiled[4]].flags),
        (8, tiled[4], "sub_rows", 0xFFFF),
        (8, tiled[4], "rows", instructions[tiled[4]].rows - 1),
        (8, tiled[4], "steps_last", instructions[tiled[4]].steps_last + 1),
        (8, tiled[4], "out_words", 0),
        (8, tiled[4], "groups", instructions[tiled[4]].groups + 1),
        (5, tiled[4], "out_height", 0xFFFF),
        (5, tiled[4], "out_width", 0xFFFF),
        (5, tiled[4], "out_words", 0xFFFF),
        (5, tiled[4], "in_row_words", 0xFFFF),
        (5, tiled[4], "in_base", 0xFFFF),
        (5, adds, "residual_base", 0xFFFF),
        (5, adds, "residual_row_words", 0xFFFF),
    )
    return {
        f"{number}: {name} = {value}": (code, with_field(run, number, name, value))
        for code, number, name, value in changes
    }


@pytest.mark.parametrize("shape", ["tile_4_slots"], indirect=True)
@pytest.mark.parametrize("dut", ["rtl", "hls", "executor"])
def test_tiles(simulations: dict[str, Simulation], run: Run, dut: str) -> None:
    programs = _tile_programs(run)
    if dut == "executor":
        got = [executor_code(run, program) for _, program in programs.values()]
    else:
        got = codes(simulations[dut], [run.job(program=program) for _, program in programs.values()])
    assert dict(zip(programs, got, strict=True)) == {name: code for name, (code, _) in programs.items()}


def executor_code(run: Run, program: bytes) -> int:
    try:
        run_program(run.compiled.config, program, run.compiled.weights, run.images, run.count)
    except EngineFaultError as fault:
        return fault.code
    return 0


def test_all_engines_end_alike(simulations: dict[str, Simulation], run: Run) -> None:
    """Random values, extremes among them, in random fields."""
    rng = np.random.default_rng(5)
    faults: list[tuple[str, bytes]] = []
    while len(faults) < FAULTS:
        number = int(rng.integers(len(run.compiled.instructions)))
        name = str(rng.choice(list(LAYOUT)))
        opcode, mask = run.compiled.instructions[number].opcode, (1 << LAYOUT[name][2]) - 1
        value = int(rng.choice([0, 1, 2, mask, mask >> 1, int(rng.integers(mask, endpoint=True))]))
        if (opcode, name) in ((Opcode.STORE_MAP, "out_base"), (Opcode.TABLE, "in_base")):
            continue  # no program states where the buffers end; the bus does
        faults.append((f"{opcode.name}.{name} = {value}", with_field(run, number, name, value)))
    jobs = [run.job(program=program) for _, program in faults]
    rtl, hls = codes(simulations["rtl"], jobs), codes(simulations["hls"], jobs)
    executor = [executor_code(run, program) for _, program in faults]
    differing = {
        name: every for (name, _), *every in zip(faults, rtl, hls, executor, strict=True) if len(set(every)) > 1
    }
    assert differing == {}
    assert {0, 4, 5, 8} <= set(rtl)


def test_the_executor_stops_where_a_buffer_ends(run: Run) -> None:
    """Read past, program and images give what a bus answers where it has nothing."""
    far = 1 << 24
    fills = next(n for n, i in enumerate(run.compiled.instructions) if i.opcode is Opcode.TABLE)
    assert executor_code(run, with_field(run, fills, "in_base", far)) == 6

    def longer_pitch(words: Words) -> None:
        words[5] = far

    assert executor_code(run, edited(run.compiled.program, longer_pitch)) == 6
