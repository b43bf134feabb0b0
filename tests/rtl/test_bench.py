"""The bench can fail: a unit that breaks one rule at a time, and a good one beside it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rtl_sim
from rtl_sim.simulate.job import FILL, Job, RunOptions, SimulationError
from rtl_sim.simulate.runner import Simulation, build_simulation
from toolflow.emit.rtl import emit_rtl
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import NotRunError, ToolflowError

BYTES = 320
GOOD = 1
STALLS = RunOptions(stall_probability=0.5, watchdog_cycles=5_000, latency_cycles=200)
# image count -> what the bench must say
FAULTS = {
    2: "m_axi_gmem0 read address not held until ready",
    3: "m_axi_gmem0 write address not held until ready",
    4: "m_axi_gmem0 write data not held until ready",
    5: "a burst crosses 4,096 bytes",
    6: "a burst's address is not a multiple of the beat",
    7: "a burst's size is not the bus width or its type is not INCR",
    8: "wlast in the wrong beat",
    9: "a write outside results and maps; 1 beats outside, the last one at 0x",
    10: "done",
    11: "done while bursts were under way",
    12: "nothing moved for 5,000 cycles",
    14: "a deliberate failure",
}
SOURCES = Path(rtl_sim.__file__).parent / "rtl"


@pytest.fixture(scope="module")
def unit(simulators: Path) -> Simulation:
    config = EngineConfig(lanes_k=1, lanes_p=1, sub_row=4, bus_bits=64)
    sources = simulators / "faulty" / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    for name in ("cascade_pkg.sv", "cascade_control.sv"):
        shutil.copy(SOURCES / name, sources)
    text = (Path(__file__).parent / "faulty_unit.sv").read_text()
    (sources / "cascade_single.sv").write_text(text.replace("SIGNATURE", f"{config.signature:016x}"))
    return build_simulation(config, "rtl", simulators / "faulty" / "build", sources)


def _job(fault: int, options: RunOptions = STALLS) -> tuple[Job, bytes]:
    draw = np.random.default_rng(fault)
    images, weights = draw.integers(0, 256, (2, BYTES), dtype=np.uint8)
    return Job(
        bytes(64), weights.tobytes(), images.tobytes(), fault, BYTES, options, f"fault {fault}"
    ), images.tobytes()


def test_a_good_unit_passes(unit: Simulation) -> None:
    """Without a fault: stalls, latencies and a reset in flight change cycles, never bytes."""
    options = [
        RunOptions(),
        RunOptions(latency_cycles=2),
        RunOptions(latency_cycles=300, by_interrupt=True),
        *(replace(STALLS, seed=seed, stall_probability=seed / 10) for seed in range(1, 10)),
        *(replace(STALLS, reset_at_cycle=cycle) for cycle in (1, 100, 240)),
    ]
    jobs = [_job(GOOD, option) for option in options]
    outcomes = unit.run([job for job, _ in jobs])
    for (_, expected), outcome in zip(jobs, outcomes, strict=True):
        assert outcome.results == expected
        assert outcome.outside_reads == (0, 0)
    plain, fast, slow = outcomes[:3]
    assert plain.beats_read == (40, 40)
    assert plain.beats_written == 40
    # a read burst and a write burst, each with one latency
    assert fast.cycles_seen + 2 * 62 == plain.cycles_seen
    assert plain.cycles_seen + 2 * 236 == slow.cycles_seen
    assert all(outcome.reset_in_flight for outcome in outcomes[-3:])


def test_the_same_seed_gives_the_same_cycles(unit: Simulation) -> None:
    def cycles(seed: int) -> int:
        (outcome,) = unit.run([_job(GOOD, replace(STALLS, seed=seed))[0]])
        return outcome.cycles_seen

    assert cycles(5) == cycles(5)
    assert len({cycles(seed) for seed in (5, 7, 8)}) == 3


@pytest.mark.parametrize("fault", FAULTS)
def test_every_broken_rule_is_seen(unit: Simulation, fault: int) -> None:
    with pytest.raises(SimulationError) as caught:
        unit.run([_job(GOOD)[0], _job(fault)[0]])
    assert FAULTS[fault] in str(caught.value)


def test_a_valid_during_reset_is_seen(unit: Simulation) -> None:
    options = RunOptions(stall_probability=0.9, reset_at_cycle=2)
    with pytest.raises(SimulationError, match="valid during reset"):
        unit.run([_job(13, replace(options, seed=seed))[0] for seed in range(1, 9)])


def test_a_hang_shows_every_channel(unit: Simulation) -> None:
    with pytest.raises(SimulationError) as caught:
        unit.run([_job(12)[0]])
    text = str(caught.value)
    assert "job 1 'fault 12'" in text
    assert "m_axi_gmem1.r" in text
    assert "beats read: 40 and 40, written: 0; instructions retired: 0" in text


def test_a_job_that_never_ends_is_ended(unit: Simulation) -> None:
    options = RunOptions(limit_cycles=300, stall_probability=0.9)
    with pytest.raises(SimulationError, match="not done after 300 cycles"):
        unit.run([_job(GOOD, options)[0]])


def test_injected_faults_reach_the_unit(unit: Simulation) -> None:
    """A flipped bit changes one bit; a failed beat changes data; the unit, which ignores responses, goes on."""
    (flipped, expected), (failed, _) = (
        _job(GOOD, RunOptions(flip_read=(0, 7))),
        _job(GOOD, RunOptions(fail_read=(0, 7))),
    )
    first, second = unit.run([flipped, failed])
    difference = np.frombuffer(first.results, np.uint8) ^ np.frombuffer(expected, np.uint8)
    assert np.unpackbits(difference).sum() == 1
    assert difference[48:56].any()
    assert second.results[48:56] == bytes(255 - byte for byte in expected[48:56])


def test_results_start_from_the_fill(unit: Simulation) -> None:
    """What the unit does not write stays what it was."""
    job, expected = _job(GOOD)
    (outcome,) = unit.run([replace(job, result_bytes=BYTES + 40)])
    assert outcome.results == expected + bytes([FILL]) * 40


def test_options_out_of_range() -> None:
    with pytest.raises(ToolflowError, match=r"stall_probability must lie within \[0, 0.9\], not 1.0"):
        RunOptions(stall_probability=1.0)
    with pytest.raises(ToolflowError, match="latency_cycles must be at least 2, not 1"):
        RunOptions(latency_cycles=1)


def test_a_job_beyond_the_memory(unit: Simulation) -> None:
    job, _ = _job(GOOD)
    with pytest.raises(ToolflowError, match="its buffers must fit the bench's 67,108,864 bytes"):
        unit.run([replace(job, images=bytes(1 << 26))])


def test_sources_of_another_engine(tmp_path: Path) -> None:
    config = EngineConfig(bus_bits=64)
    (tmp_path / "cascade_low.sv").write_text("module cascade_low; endmodule\n")
    with pytest.raises(
        ToolflowError, match=r"must hold a unit with the signature \w+, not cascade_low\.sv: emit it again"
    ):
        build_simulation(config, "rtl", tmp_path / "build", tmp_path)


def test_sources_that_do_not_compile(tmp_path: Path) -> None:
    config = EngineConfig(bus_bits=64)
    (tmp_path / "cascade_low.sv").write_text(f"module cascade_low; {config.signature:016x} endmodule\n")
    with pytest.raises(NotRunError, match=r"could not be built in .*:(.|\n)*syntax error"):
        build_simulation(config, "rtl", tmp_path / "build", tmp_path)


def test_parameters_that_the_sources_refuse(tmp_path: Path) -> None:
    """An elaboration check stops the build, though warnings do not."""
    config = EngineConfig(bus_bits=64, sub_row=4)
    emit_rtl(config, "low", tmp_path)
    top = tmp_path / "cascade_low.sv"
    top.write_text(top.read_text().replace("drain_k: 1,", "drain_k: 3,"))
    with pytest.raises(NotRunError, match=r"could not be built in .*:(.|\n)*drain_k must divide .* = 4, not be 3"):
        build_simulation(config, "rtl", tmp_path / "build", tmp_path)
