"""A bad tile ends with its error code before anything is written, for every bad field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.emit.hls_jobs import executor_code
from tests.unit.emit.hls_programs import Job, ProgramBuilder
from tests.unit.emit.test_hls_errors import change, refused, run, with_crc
from toolflow.emit.hls_native import build_native
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.engine.isa import LAYOUT, Flag, Opcode
from toolflow.engine.program import decode_program

CONFIG = EngineConfig(
    lanes_k=4, lanes_p=2, drain_k=2, bank_depth=256, weight_depth=600, accumulator_bits=36, bias_bits=40,
    tile=4, transform_cycles=2, transform_depth=64,
)  # fmt: skip


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("tiles"), CONFIG, "single")


@pytest.fixture(scope="module")
def job() -> Job:
    """TABLE, LOAD, CONV, TAPS, of tiles of 4 with a residual, of tiles of 2, of two levels, and to results."""
    b = ProgramBuilder(CONFIG, np.random.default_rng(3))
    image = b.image(5, 6, 3)[0]
    hidden = b.conv(image, 7, (1, 1))
    b.taps()
    fours = b.conv(hidden, 7, (3, 3), pad=(1, 1), tile=4, residual=hidden)
    twos = b.conv(fours, 6, (3, 3), pad=(0, 1), tile=2, indexed=True)
    b.trace(twos)
    levels = b.conv(twos, 6, (3, 3), pad=(1, 1), tile=2, levels=2)
    b.trace(levels)
    b.conv(levels, 5, (3, 6), to_result=True)
    return b.finish(3)


FOURS, TWOS, LEVELS = 1, 2, 3  # which CONV

BAD = [
    (Opcode.CONV, 0, {"tile": 2}, 8),  # 1 x 1
    (Opcode.CONV, FOURS, {"tile": 1}, 4),
    (Opcode.CONV, FOURS, {"tile": 3}, 4),
    (Opcode.CONV, FOURS, {"tile": 6}, 4),
    (Opcode.CONV, FOURS, {"tile": 8}, 4),
    (Opcode.CONV, FOURS, {"tile": 255}, 4),
    (Opcode.CONV, FOURS, {"tile": 2}, 8),  # fewer rows
    (Opcode.CONV, FOURS, {"tile": 0}, 8),
    (Opcode.CONV, FOURS, {"kernel_h": 2}, 8),
    (Opcode.CONV, FOURS, {"kernel_w": 6}, 8),
    (Opcode.CONV, FOURS, {"stride_h": 2}, 8),
    (Opcode.CONV, FOURS, {"stride_w": 0}, 8),
    (Opcode.CONV, FOURS, {"dilation_h": 2}, 8),
    (Opcode.CONV, FOURS, {"dilation_w": 0}, 8),
    (Opcode.CONV, FOURS, {"levels": 0}, 8),
    (Opcode.CONV, FOURS, {"levels": 2}, 8),  # half of its rows
    (Opcode.CONV, FOURS, {"levels": 2, "rows": 252}, 8),  # another weight stream
    (Opcode.CONV, LEVELS, {"levels": 1}, 8),
    (Opcode.CONV, LEVELS, {"levels": 3}, 8),
    (Opcode.CONV, LEVELS, {"levels": 255}, 8),
    (Opcode.CONV, FOURS, {"channel_step": 8}, 8),
    (Opcode.CONV, TWOS, {"flags": int(Flag.TO_RESULT | Flag.INDEXED)}, 8),
    (Opcode.CONV, FOURS, {"rows": 251}, 8),
    (Opcode.CONV, FOURS, {"rows": 63}, 8),  # what a direct convolution takes
    (Opcode.CONV, FOURS, {"sub_rows": 2, "steps": 7, "rows": 504}, 8),  # 72 words exceed transform_depth
    (Opcode.CONV, FOURS, {"sub_rows": 0}, 8),
    (Opcode.CONV, FOURS, {"out_height": 0}, 8),
    (Opcode.CONV, FOURS, {"in_base": 230}, 5),
    (Opcode.CONV, FOURS, {"in_row_words": 60}, 5),
    (Opcode.CONV, FOURS, {"out_base": 230}, 5),
    (Opcode.CONV, FOURS, {"residual_base": 230}, 5),
    (Opcode.CONV, FOURS, {"residual_offset": 1}, 5),
    (Opcode.TAPS, 0, {"in_base": 8}, 4),
    (Opcode.TAPS, 0, {"in_width": 0x9000}, 4),
    (Opcode.TAPS, 0, {"out_height": 0xF000}, 4),
    (Opcode.TAPS, 0, {"flags": 32}, 4),
]


def test_the_unchanged_program_runs(binary: Path, job: Job) -> None:
    error, results = run(binary, job, job.program)
    assert error == 0
    assert any(results)


@pytest.mark.parametrize(("opcode", "nth", "values", "code"), BAD)
def test_instructions(binary: Path, job: Job, opcode: Opcode, nth: int, values: dict[str, int], code: int) -> None:
    program = change(job, opcode, nth, values)
    assert refused(binary, job, program) == code
    assert executor_code(CONFIG, job, program) == code


def test_a_tile_beyond_the_outputs_must_lie_in_the_banks(binary: Path, job: Job) -> None:
    """A tile reads rows that no output needs, as long as they are inside the map."""
    map_height = {"in_height": 12, "out_height": 5, "pad_top": 0}
    start = {"in_base": 256 - 6 * 8}  # eight rows, the last tile's, and not nine
    assert run(binary, job, change(job, Opcode.CONV, FOURS, {**map_height, "in_base": 256 - 6 * 10}))[0] == 0
    assert refused(binary, job, change(job, Opcode.CONV, FOURS, {**map_height, **start})) == 5


def test_an_engine_for_small_tiles_refuses_large_ones(tmp_path: Path) -> None:
    small = CONFIG.model_copy(update={"tile": 2})
    for tile, code in ((2, 0), (4, 4)):
        b = ProgramBuilder(small, np.random.default_rng(4))
        image = b.image(5, 5, 3)[0]
        tiled = b.conv(image, 5, (3, 3), pad=(1, 1), tile=tile)
        b.conv(tiled, 3, (5, 5), to_result=True)
        job = b.finish(1)
        assert run(build_native(tmp_path, small, "single"), job, job.program)[0] == code


def test_taps_that_are_not_used_are_free(binary: Path, job: Job) -> None:
    """Exponents beyond the 36 of the largest tile."""
    expected = run(binary, job, job.program)
    assert run(binary, job, change(job, Opcode.TAPS, 0, {"out_width": 0xFFFF})) == expected


def test_no_field_can_make_it_hang_or_write_past_its_memories(binary: Path, job: Job) -> None:
    """Random values in random fields of tiles with a valid CRC: the engine ends with the executor's error code."""
    rng = np.random.default_rng(12)
    _, instructions = decode_program(job.program)
    places = [n for n, i in enumerate(instructions) if i.tile or i.opcode is Opcode.TAPS]
    codes = []
    for _ in range(80):
        name = str(rng.choice(list(LAYOUT)))
        word, low, width, _ = LAYOUT[name]
        words = np.frombuffer(job.program, dtype="<u4").copy()
        at = 16 + 16 * int(rng.choice(places)) + word
        mask = (1 << width) - 1
        value = int(rng.choice([0, 1, mask, mask >> 1, int(rng.integers(mask, endpoint=True))]))
        words[at] = int(words[at]) & ~(mask << low) | value << low
        program = with_crc(words)
        codes.append(run(binary, job, program)[0])
        assert codes[-1] == executor_code(CONFIG, job, program), f"{name} = {value}"
    assert set(codes) <= {0, 4, 5, 8}
    assert len(set(codes)) == 4


def test_results_are_the_executors(binary: Path, job: Job) -> None:
    """Flipped bits in weights, biases and shifts of tiles change the results exactly as in the executor."""
    rng = np.random.default_rng(5)
    good = run(binary, job, job.program)[1]
    seen = 0
    for bit in rng.integers(0, 8 * len(job.weights), 80):
        weights = bytearray(job.weights)
        weights[bit // 8] ^= 1 << bit % 8
        bad = run(binary, replace(job, weights=bytes(weights)), job.program)
        pitch = 32 * job.count  # records only: traces hold undefined elements
        assert (bad[0], bad[1][:pitch]) == (0, run_program(CONFIG, job.program, bytes(weights), job.images, 3)[:pitch])
        seen += bad[1] != good
    assert seen >= 3
