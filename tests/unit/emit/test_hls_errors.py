"""A bad program ends with its error code, without a hang and without writing, for every bad field."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.unit.emit.hls_jobs import executor_code
from tests.unit.emit.hls_programs import Job, ProgramBuilder
from toolflow.emit.hls_native import build_native, run_native
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.engine.isa import LAYOUT, Opcode
from toolflow.engine.program import decode_program

CONFIG = EngineConfig(lanes_k=4, lanes_p=2, drain_k=2, bank_depth=512, weight_depth=64, input_lanes=4)


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("errors"), CONFIG, "single")


@pytest.fixture(scope="module")
def job() -> Job:
    """TABLE, LOAD, CONV with a residual, MAXPOOL, STORE_MAP, CONV to results, STORE_RESULT, END."""
    b = ProgramBuilder(CONFIG, np.random.default_rng(9))
    image = b.image(5, 5, 3)[0]
    hidden = b.conv(image, 6, (3, 3), pad=(1, 1))
    summed = b.conv(hidden, 6, (1, 1), residual=hidden)
    pooled = b.max_pool(summed, (2, 2), (2, 2), (0, 0))
    b.trace(pooled)
    b.conv(pooled, 7, (2, 2), to_result=True)
    return b.finish(3)


def run(binary: Path, job: Job, program: bytes, count: int | None = None) -> tuple[int, bytes]:
    images = job.count if count is None else count
    return run_native(binary, program, job.weights, job.images, images, job.result_bytes)


def with_crc(words: np.ndarray) -> bytes:
    """Return the program with a corrected CRC."""
    count = int(words[4])
    words[15] = zlib.crc32(words[:15].tobytes() + words[16 : 16 + 16 * count].tobytes())
    return words.tobytes()


def place_of(job: Job, opcode: Opcode, nth: int = 0) -> int:
    """Return the first word of the n-th instruction of an opcode."""
    _, instructions = decode_program(job.program)
    return 16 + 16 * [n for n, i in enumerate(instructions) if i.opcode is opcode][nth]


def change(job: Job, of: Opcode, nth: int, values: dict[str, int]) -> bytes:
    words = np.frombuffer(job.program, dtype="<u4").copy()
    for name, value in values.items():
        word, low, width, _ = LAYOUT[name]
        at = place_of(job, of, nth) + word
        words[at] = int(words[at]) & ~(((1 << width) - 1) << low) | value << low
    return with_crc(words)


def change_header(job: Job, word: int, value: int, *, crc: bool = True) -> bytes:
    words = np.frombuffer(job.program, dtype="<u4").copy()
    words[word] = value
    return with_crc(words) if crc else words.tobytes()


def refused(binary: Path, job: Job, program: bytes, count: int | None = None) -> int:
    """Check that nothing was written, and return the error code."""
    error, results = run(binary, job, program, count)
    assert not any(results)
    return error


def test_the_unchanged_program_runs(binary: Path, job: Job) -> None:
    error, results = run(binary, job, job.program)
    assert error == 0
    assert any(results)


@pytest.mark.parametrize(
    ("word", "value", "code"),
    [(0, 0x31465442, 1), (1, 1, 1), (1, 0, 1), (2, 1, 2), (3, 1, 2), (4, 0, 8), (10, 1, 8), (7, 0, 8),
     (8, 3 << 16 | 2 << 20, 8), (8, 1 << 16 | 9 << 20, 8), (4, 65537, 3),
     (7, 17, 5), (6, 16, 5), (6, 40, 5), (5, 16, 5), (5, 104, 5)],
)  # fmt: skip
def test_headers(binary: Path, job: Job, word: int, value: int, code: int) -> None:
    program = change_header(job, word, value)
    assert (refused(binary, job, program), executor_code(CONFIG, job, program)) == (code, code)


@pytest.mark.parametrize("word", [4, 5, 8, 9, 15])
def test_a_damaged_header_is_found_by_its_crc(binary: Path, job: Job, word: int) -> None:
    for bit in (0, 5, 31):
        value = int(np.frombuffer(job.program, dtype="<u4")[word]) ^ 1 << bit
        assert refused(binary, job, change_header(job, word, value, crc=False)) == 3


def test_any_damaged_bit_of_an_instruction_is_found_by_the_crc(binary: Path, job: Job) -> None:
    rng = np.random.default_rng(0)
    _, instructions = decode_program(job.program)
    for bit in rng.integers(512, 512 * (len(instructions) + 1), 12):
        damaged = bytearray(job.program)
        damaged[bit // 8] ^= 1 << bit % 8
        assert refused(binary, job, bytes(damaged)) == 3


def test_no_images(binary: Path, job: Job) -> None:
    assert refused(binary, job, job.program, 0) == 9


BAD = [
    (Opcode.TABLE, 0, {"opcode": 0}, 4),
    (Opcode.CONV, 2, {"opcode": 9}, 4),
    (Opcode.CONV, 0, {"tile": 2}, 4),  # an engine without tiles
    (Opcode.STORE_MAP, 0, {"opcode": 8, "in_base": 8 << 16}, 4),
    (Opcode.CONV, 1, {"flags": 64}, 4),
    (Opcode.LOAD, 0, {"flags": 32}, 4),
    (Opcode.STORE_MAP, 0, {"flags": 32}, 4),
    (Opcode.END, 0, {"flags": 32}, 4),
    (Opcode.CONV, 0, {"flags": 32}, 5),  # it reads what is loaded ahead
    (Opcode.END, 0, {"opcode": 255}, 4),
    (Opcode.END, 0, {"opcode": 5}, 4),  # no END
    (Opcode.TABLE, 0, {"sub_rows": 2}, 5),
    (Opcode.TABLE, 0, {"in_words": 8}, 5),
    (Opcode.TABLE, 0, {"in_words": 3}, 8),
    (Opcode.TABLE, 0, {"sub_rows": 0}, 8),
    (Opcode.LOAD, 0, {"opcode": 1}, 8),  # a second TABLE
    (Opcode.MAXPOOL, 0, {"opcode": 1, "in_base": 0, "in_words": 4}, 8),  # a TABLE after the LOAD
    (Opcode.LOAD, 0, {"out_base": 488}, 5),
    (Opcode.LOAD, 0, {"out_words": 60}, 5),
    (Opcode.LOAD, 0, {"out_height": 6}, 5),
    (Opcode.LOAD, 0, {"levels": 0}, 8),
    (Opcode.LOAD, 0, {"out_words": 0}, 8),
    (Opcode.CONV, 0, {"in_base": 488}, 5),
    (Opcode.CONV, 0, {"out_base": 488}, 5),
    (Opcode.CONV, 0, {"out_base": (1 << 32) - 1}, 5),
    (Opcode.CONV, 0, {"in_row_words": 65535}, 5),
    (Opcode.CONV, 0, {"channel_step": 65535}, 5),
    (Opcode.CONV, 1, {"residual_base": 500}, 5),
    (Opcode.CONV, 1, {"residual_row_words": 1000}, 5),
    (Opcode.CONV, 1, {"residual_offset": 1}, 5),
    (Opcode.CONV, 2, {"channels": 17, "groups": 5}, 5),
    (Opcode.CONV, 0, {"groups": 0}, 8),
    (Opcode.CONV, 0, {"groups": 3}, 8),
    (Opcode.CONV, 0, {"rows": 65}, 8),
    (Opcode.CONV, 0, {"rows": 0}, 8),
    (Opcode.CONV, 0, {"rows": 26}, 8),
    (Opcode.CONV, 0, {"kernel_h": 0}, 8),
    (Opcode.CONV, 0, {"kernel_h": 2, "rows": 18}, 8),  # the weight stream is longer
    (Opcode.CONV, 0, {"steps_last": 0}, 8),
    (Opcode.CONV, 0, {"sub_rows": 0, "steps": 1, "steps_last": 4}, 8),  # 3 rows to a tap, as the walk would take
    (Opcode.CONV, 0, {"sub_rows": 2, "steps": 0, "steps_last": 3}, 8),
    (Opcode.CONV, 0, {"sub_rows": 4, "steps": 1, "steps_last": 0}, 8),
    (Opcode.CONV, 0, {"levels": 0}, 8),
    (Opcode.CONV, 0, {"sub_rows": 0}, 8),
    (Opcode.CONV, 0, {"out_width": 0}, 8),
    (Opcode.CONV, 0, {"out_words": 0}, 8),
    (Opcode.MAXPOOL, 0, {"in_base": 512}, 5),
    (Opcode.MAXPOOL, 0, {"out_base": 509}, 5),
    (Opcode.MAXPOOL, 0, {"sub_rows": 0}, 8),
    (Opcode.MAXPOOL, 0, {"kernel_w": 0}, 8),
    (Opcode.STORE_MAP, 0, {"in_base": 510}, 5),
    (Opcode.STORE_MAP, 0, {"out_base": 1}, 5),
    (Opcode.STORE_MAP, 0, {"in_height": 0}, 8),
]


@pytest.mark.parametrize(("opcode", "nth", "values", "code"), BAD)
def test_instructions(binary: Path, job: Job, opcode: Opcode, nth: int, values: dict[str, int], code: int) -> None:
    program = change(job, opcode, nth, values)
    assert (refused(binary, job, program), executor_code(CONFIG, job, program)) == (code, code)


@pytest.mark.parametrize("far", [1 << 23, 1 << 26, (1 << 32) - CONFIG.bus_bytes])
def test_it_stops_where_a_buffer_ends(binary: Path, job: Job, far: int) -> None:
    """A program does not state the length of buffers. An access outside ends like a bus error and writes nothing."""
    assert refused(binary, job, change(job, Opcode.TABLE, 0, {"in_base": far})) == 6
    assert refused(binary, job, change_header(job, 5, far)) == 6
    assert run(binary, job, change(job, Opcode.STORE_MAP, 0, {"out_base": far}))[0] == 7
    few = run_native(binary, job.program, job.weights[: -2 * CONFIG.bus_bytes], job.images, job.count, job.result_bytes)
    assert few[0] == 6
    assert run(binary, job, job.program, 1 << 12)[0] == 6
    assert run_native(binary, job.program, job.weights, job.images, job.count, job.result_bytes // 2)[0] == 7


def test_no_field_can_make_it_hang_or_write_past_its_memories(binary: Path, job: Job) -> None:
    """Random values in random fields with a valid CRC: the engine ends with an error code or with results."""
    rng = np.random.default_rng(11)
    _, instructions = decode_program(job.program)
    codes = set()
    for _ in range(60):
        nth = int(rng.integers(len(instructions)))
        name = str(rng.choice(list(LAYOUT)))
        word, low, width, _ = LAYOUT[name]
        words = np.frombuffer(job.program, dtype="<u4").copy()
        at = 16 + 16 * nth + word
        mask = (1 << width) - 1
        value = int(rng.choice([0, 1, mask, mask >> 1, int(rng.integers(mask, endpoint=True))]))
        words[at] = int(words[at]) & ~(mask << low) | value << low
        codes.add(run(binary, job, with_crc(words))[0])
    assert codes <= {0, 4, 5, 6, 7, 8}
    assert len(codes) >= 3


def test_the_comparison_sees_single_bits(binary: Path, job: Job) -> None:
    """Flipped bits of the last layer's weights change the results as the executor says they do."""
    good = run(binary, job, job.program)[1]
    rng = np.random.default_rng(3)
    seen = 0
    for bit in rng.integers(8 * (len(job.weights) - 96), 8 * len(job.weights), 30):
        weights = bytearray(job.weights)
        weights[bit // 8] ^= 1 << bit % 8
        error, bad = run_native(binary, job.program, bytes(weights), job.images, job.count, job.result_bytes)
        expected = run_program(CONFIG, job.program, bytes(weights), job.images, job.count)
        pitch = 32 * job.count  # records only: traces hold undefined elements
        assert (error, bad[:pitch]) == (0, expected[:pitch])
        seen += bad != good
    assert seen >= 3
