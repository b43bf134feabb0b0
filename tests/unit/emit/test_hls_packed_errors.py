"""What a packed array does not take ends with an error code, and nothing is written: indices, and excluded weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.emit.hls_jobs import executor_code
from tests.unit.emit.hls_programs import Job, ProgramBuilder
from tests.unit.emit.test_hls_engine import compare
from tests.unit.emit.test_hls_errors import change, run
from toolflow.emit.hls_native import build_native
from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Opcode
from toolflow.engine.program import decode_program
from toolflow.engine.stream import Packet, pack, unpack

CONFIG = EngineConfig(
    lanes_k=4, lanes_p=2, slots=2, drain_k=2, bank_depth=512, weight_depth=128, gather=False,
    dsp_primitive="dsp48e1", pack_k=2, chain=2,
)  # fmt: skip
SMALLEST = -128


TWO = EngineConfig(
    lanes_k=4, lanes_p=2, slots=8, drain_k=2, bank_depth=512, weight_depth=128, gather=False, narrow_bits=4,
    dsp_primitive="dsp48e2", pack_k=2, chain=8,
)  # fmt: skip


def _changed(job: Job, change_packet: Callable[[int, Packet], Packet], config: EngineConfig = CONFIG) -> Job:
    """Return the job with every packet of its weight stream changed, by its number."""
    stream, packets = memoryview(job.weights), list[bytes]()
    _, instructions = decode_program(job.program)
    for i in (i for i in instructions if i.opcode is Opcode.CONV):
        for group in range(i.groups):
            channels = min(config.lanes_k, i.channels - group * config.lanes_k)
            packet, used = unpack(config, stream, channels, i.rows, False)
            packets.append(pack(config, change_packet(len(packets), packet)))
            stream = stream[used:]
    return replace(job, weights=b"".join(packets))


@pytest.fixture(scope="module")
def job() -> Job:
    """Two convolutions and a trace, with the smallest weight nowhere."""
    b = ProgramBuilder(CONFIG, np.random.default_rng(9))
    hidden = b.conv(b.image(5, 5, 3)[0], 6, (3, 3), pad=(1, 1))
    b.trace(hidden)
    b.conv(hidden, 7, (5, 5), to_result=True)
    return _changed(b.finish(3), lambda _, packet: replace(packet, values=np.maximum(packet.values, SMALLEST + 1)))


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("packed"), CONFIG, "single")


def test_all_other_weights_are_taken(binary: Path, job: Job) -> None:
    assert CONFIG.packing.weights.lower == SMALLEST + 1
    compare(CONFIG, binary, job)


def test_indices_are_refused(binary: Path, job: Job) -> None:
    program = change(job, Opcode.CONV, 1, {"flags": 16})
    error, results = run(binary, job, program)
    assert (error, executor_code(CONFIG, job, program)) == (4, 4)
    assert not any(results)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_excluded_weight_is_refused(number: int, binary: Path, job: Job) -> None:
    """In the first layer nothing is written; in the last one the map of the first layer may be, and no result."""

    def plant(at: int, packet: Packet) -> Packet:
        if at == number:
            packet.values[-1, 1, 1] = SMALLEST
        return packet

    bad = _changed(job, plant)
    error, results = run(binary, bad, bad.program)
    assert (error, executor_code(CONFIG, bad, bad.program)) == (10, 10)
    assert any(results) == (number == 2)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("two"), TWO, "single")


@pytest.mark.parametrize(
    ("narrow", "weight", "code"),
    [(True, 7, 0), (True, -8, 0), (True, 8, 10), (True, -9, 10), (True, -128, 10), (False, -127, 0), (False, -128, 10)],
)
def test_each_precision_has_its_own_weights(narrow: bool, weight: int, code: int, both: Path) -> None:
    """A row has the same width in both; chains of 8 exclude -128 in wide programs, and nothing in narrow ones."""
    seen = TWO.of(narrow)
    b = ProgramBuilder(seen, np.random.default_rng(9))
    b.conv(b.image(5, 5, 3)[0], 6, (5, 5), to_result=True)

    def plant(at: int, packet: Packet) -> Packet:
        values = np.clip(packet.values, seen.packing.weights.lower, seen.packing.weights.upper)
        values[-1, 1, 1] = weight
        return replace(packet, values=values)

    job = _changed(b.finish(3), plant, seen)
    error, results = run(both, job, job.program)
    assert (error, executor_code(TWO, job, job.program), any(results)) == (code, code, code == 0)
