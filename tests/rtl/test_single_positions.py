"""Layers with one output position, on RTL and HLS: their weight rows go through, many more than the engine keeps."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from rtl_sim.simulate.job import RunOptions
from rtl_sim.simulate.runner import Dut, Simulation
from tests.conformance.casebook import RESULT, NetworkBuilder
from tests.conformance.engine_shapes import SHAPES
from tests.rtl.units import DEPTHS, Run, Words, build_unit, edited
from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import predict
from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.executor import run_program
from toolflow.engine.isa import INSTRUCTION_WORDS, LAYOUT, Flag, Opcode
from toolflow.engine.program import HEADER_WORDS
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.srbs import Pattern
from toolflow.numerics.types import IntegerType
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths

# Rows of several in a beat and of several beats, with indices and without, in digits, and beside tiles.
ENGINES = ("odd", "tile_2", "two_precisions")
UNITS = (("rtl", "odd"), ("rtl", "tile_2"), ("rtl", "two_precisions"), ("hls", "odd"), ("hls", "tile_2"))
QUIET = RunOptions(watchdog_cycles=20_000)
STALLS = RunOptions(seed=3, stall_probability=0.3, latency_cycles=20, watchdog_cycles=20_000)
SLOW = RunOptions(seed=4, stall_probability=0.8, latency_cycles=200, watchdog_cycles=20_000)
RESETS = range(1500, 8000, 900)
PREDICTION_ERROR = 0.02
FEW_CYCLES = 6  # that a layer of few cycles may be late
SIZE = 6, 8


@pytest.fixture(scope="module", params=UNITS, ids="-".join)
def unit(request: pytest.FixtureRequest) -> tuple[Dut, str]:
    chosen: tuple[Dut, str] = request.param
    return chosen


@pytest.fixture(scope="module")
def name(unit: tuple[Dut, str]) -> str:
    return unit[1]


def graph_of(seen: EngineConfig) -> tuple[NetworkBuilder, QuantisedGraph]:
    """Return layers of one position between layers of several, which need few rows.

    One is a tile if the engine has tiles, and one is indexed if it has indices.
    """
    b = NetworkBuilder((3, *SIZE), seen.weight_bits, seen.activation_bits, 8, seed=7)
    out = IntegerType(seen.activation_bits, signed=False)
    first = b.conv("first", "image", 16, 1, weight_bits=8, out=out)
    whole = b.conv("whole", first, 13, SIZE, weight_bits=8, out=out)
    second = b.conv("second", first, 16, 1, out=out)
    pattern = Pattern(2, seen.sub_row) if seen.gather else None
    sparse = b.conv("sparse", second, 18, SIZE, pattern=pattern, out=out)
    joined = [whole, sparse, b.avg_pool("mean", second, AvgPool(SIZE, (1, 1)), out)]
    if seen.tile:
        corner = b.conv("corner", second, 16, SIZE, out=out)
        joined.append(b.winograd("tiled", corner, 9, seen.tile, pads=(1, 1, 1, 1), out=out))
    flat = b.flatten("flat", b.concat("joined", tuple(joined)))
    return b, b.build(b.linear("logits", flat, 5, weight_bits=16, out=RESULT))


@cache
def engine(name: str) -> EngineConfig:
    """Return the shape, no deeper than its precisions need."""
    needs = [fit_depths(graph_of(seen)[1], seen) for seen in SHAPES[name].precisions]
    return SHAPES[name].fitted({depth: max(getattr(need, depth) for need in needs) for depth in DEPTHS})


@cache
def runs(name: str) -> tuple[Run, ...]:
    """Return a run of three passes, the last not full, in each precision."""
    found = []
    for seen in engine(name).precisions:
        builder, graph = graph_of(seen)
        images = builder.images(2 * seen.lanes_p + 1)
        traced = [node.name for node in graph.nodes if node.name in compile_program(graph, seen).schedule.traceable]
        compiled = compile_program(graph, seen, trace=traced, trace_images=len(images))
        packed = compiled.pack_images(images)
        expected = run_program(seen, compiled.program, compiled.weights, packed, len(images))
        found.append(Run(name, compiled, packed, len(images), expected))
    return tuple(found)


@pytest.fixture(scope="module")
def simulation(unit: tuple[Dut, str], simulators: Path) -> Simulation:
    dut, name = unit
    return build_unit(engine(name), dut, simulators / f"{dut}_single_{name}")


@pytest.mark.parametrize("name", ENGINES)
def test_the_networks_have_rows_that_no_ring_holds(name: str) -> None:
    for run in runs(name):
        single = {
            i.name: i for i in run.compiled.instructions if i.opcode is Opcode.CONV and i.out_height * i.out_width == 1
        }
        assert max(i.rows for i in single.values()) > 2 * engine(name).ring_rows
        assert any(Flag.INDEXED in i.flags for i in single.values()) == engine(name).gather
        assert any(i.tile for i in single.values()) == (engine(name).tile > 0)


def test_more_rows_than_the_engine_keeps(simulation: Simulation, name: str) -> None:
    jobs = [(run, option) for run in runs(name) for option in (QUIET, STALLS, SLOW, QUIET)]
    outcomes = simulation.run([run.job(option) for run, option in jobs])
    for (run, _), outcome in zip(jobs, outcomes, strict=True):
        assert outcome.error == 0
        assert run.equals(outcome.results)
        assert outcome.outside_reads == (0, 0)
    if simulation.dut == "rtl":
        for run, outcome in zip(runs(name), outcomes[::4], strict=True):
            check_prediction(run, outcome.instruction_cycles)


def check_prediction(run: Run, cycles: tuple[int, ...]) -> None:
    """Compare the last pass of a quiet run with the cycle model, layer by layer."""
    predicted = predict(run.compiled.config, run.compiled.schedule.steps, run.count).instructions
    last = cycles[-len(predicted) :]
    for i, cost, taken in zip(run.compiled.instructions, predicted, last, strict=True):
        if i.opcode is Opcode.CONV:
            assert abs(cost.cycles - taken) <= max(PREDICTION_ERROR * taken, FEW_CYCLES), f"{i.name}: {cost}, {taken}"


@pytest.mark.parametrize("unit", [UNITS[0], UNITS[3]], indirect=True, ids="-".join)
def test_a_reset_while_rows_go_through(simulation: Simulation, name: str) -> None:
    run = runs(name)[0]
    options = [RunOptions(seed=at, stall_probability=0.1, reset_at_cycle=at, watchdog_cycles=20_000) for at in RESETS]
    outcomes = simulation.run([run.job(option) for option in options])
    assert all(run.equals(outcome.results) for outcome in outcomes)
    assert any(outcome.reset_in_flight for outcome in outcomes)


@pytest.mark.parametrize("unit", [UNITS[0], UNITS[3]], indirect=True, ids="-".join)
def test_rows_of_a_second_position_must_be_kept(simulation: Simulation, name: str) -> None:
    """With another output row or column they are too many: executor, RTL and HLS say so, and the next job is right."""
    run = runs(name)[0]
    instructions = run.compiled.instructions
    number = next(n for n, i in enumerate(instructions) if i.name == "whole")
    programs = [edited(run.compiled.program, _set(number, axis, 2)) for axis in ("out_height", "out_width")]
    jobs = [job for program in programs for job in (run.job(STALLS, program=program), run.job(STALLS))]
    outcomes = simulation.run(jobs)
    assert [outcome.error for outcome in outcomes] == [ErrorCode.COUNT, ErrorCode.NONE] * len(programs)
    assert all(run.equals(outcome.results) for outcome in outcomes[1::2])
    for program in programs:
        with pytest.raises(EngineFaultError, match=r"rows exceed weight_depth") as fault:
            run_program(engine(name), program, run.compiled.weights, run.images, run.count)
        assert fault.value.code is ErrorCode.COUNT


def _set(number: int, name: str, value: int) -> Callable[[Words], None]:
    """Return what sets a field of an instruction."""
    word, low, width, _ = LAYOUT[name]

    def edit(words: Words) -> None:
        index = HEADER_WORDS + INSTRUCTION_WORDS * number + word
        words[index] = words[index] & ~(((1 << width) - 1) << low) | value << low

    return edit
