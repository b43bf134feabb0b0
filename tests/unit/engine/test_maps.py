"""FILL, SPILL and LOADs of rows on the executor: bytes against PROGRAM.md's formulas, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.executor import run_program
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.program import Header, encode_program, table_offset_bytes

# An image of 8 x 2 pixels of two bytes: a word of four elements each, and eight bytes in a beat.
ENGINE = EngineConfig(
    lanes_k=4, lanes_p=2, slots=4, sub_row=4, bus_bits=64, bank_depth=64, weight_depth=8, result_depth=8,
    input_lanes=2, external_maps=True,
)  # fmt: skip
HEIGHT, WIDTH, COUNT = 8, 2, 3
PITCH = 64  # bytes from a lane's map to the next one's: 8 rows of 8 bytes
LOAD = Instruction(
    Opcode.LOAD, levels=1, in_words=2, sub_rows=1, out_base=0, out_height=HEIGHT, out_width=WIDTH, out_words=1
)
# Rows 2 to 6 of the image, whose words lie apart, to the second row of the map; then rows 1 to 4 of the map elsewhere.
SPILL = Instruction(
    Opcode.SPILL, in_base=4, in_height=5, in_width=WIDTH, in_words=1, in_row_words=2, sub_rows=1,
    out_base=128 + 8, residual_base=PITCH,
)  # fmt: skip
FILL = Instruction(
    Opcode.FILL, in_base=128 + 8, residual_base=PITCH, sub_rows=1, out_base=20, out_height=4, out_width=WIDTH,
    out_words=3,
)  # fmt: skip
STORE = Instruction(Opcode.STORE_MAP, in_base=20, in_height=4, in_row_words=6)
CONV = Instruction(
    Opcode.CONV, Flag.TO_RESULT, levels=1, in_base=0, in_height=1, in_width=1, in_words=1, in_row_words=1,
    out_height=1, out_width=1, channels=1, groups=1, kernel_h=1, kernel_w=1, stride_h=1, stride_w=1, dilation_h=1,
    dilation_w=1, sub_rows=1, steps=1, steps_last=1, lower=-128, upper=127, rows=1,
)  # fmt: skip
CONV_BEATS = 4  # a record of 16 bytes, and a row of as many


def run(*steps: Instruction, weight_beats: int = 0) -> bytes:
    """Run the steps on images of random bytes, whose tables change nothing."""
    code = (Instruction(Opcode.TABLE, in_words=2, sub_rows=1), *steps, Instruction(Opcode.END))
    code = (replace(code[0], in_base=table_offset_bytes(len(code), ENGINE.bus_bytes)), *code[1:])
    table = np.arange(256).repeat(2).astype(np.uint8).tobytes()
    found = Header(ENGINE.signature, 32, 24, 1, map_bytes=256, weight_beats=weight_beats)
    program = encode_program(found, code, table, ENGINE.bus_bytes)
    return run_program(ENGINE, program, bytes(8 * weight_beats), images().tobytes(), COUNT)


def images() -> np.ndarray:
    """Return (images, height, width, 2) bytes."""
    return np.random.default_rng(1).integers(0, 256, (COUNT, HEIGHT, WIDTH, 2), dtype=np.uint8)


def code_of(*steps: Instruction, weight_beats: int = 0) -> int:
    try:
        run(*steps, weight_beats=weight_beats)
    except EngineFaultError as fault:
        return fault.code
    return ErrorCode.NONE


def test_rows_leave_the_banks_and_come_back() -> None:
    raw = np.frombuffer(run(LOAD, SPILL, FILL, STORE), dtype=np.uint8).reshape(COUNT, 4, WIDTH, 3, 4)
    assert np.array_equal(raw[:, :, :, 0, :2], images()[:, 2:6])
    assert not raw[:, :, 1, 1:].any()  # words between the pixels stay as they were
    assert not raw[..., 2:].any()


def test_a_load_begins_at_a_row() -> None:
    band = replace(LOAD, in_base=8, out_base=20, out_height=4, out_words=3)
    raw = np.frombuffer(run(LOAD, band, STORE), dtype=np.uint8).reshape(COUNT, 4, WIDTH, 3, 4)
    assert np.array_equal(raw[:, :, :, 0, :2], images()[:, 2:6])


@pytest.mark.parametrize("step", [SPILL, FILL])
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ErrorCode.NONE),
        ({"residual_base": 32}, ErrorCode.ADDRESS),  # less than five rows, and less than four with the next lane's
        ({"residual_base": 68}, ErrorCode.ADDRESS),
        ({"residual_base": 128}, ErrorCode.ADDRESS),  # the second lane's rows end behind the maps
        ({"sub_rows": 0}, ErrorCode.COUNT),
        ({"sub_rows": 9}, ErrorCode.ADDRESS),
    ],
)
def test_what_a_fill_and_a_spill_must_be(step: Instruction, changes: dict[str, Any], code: ErrorCode) -> None:
    if step is FILL and changes.get("residual_base") == 32:
        changes = {"residual_base": 24}
    assert code_of(LOAD, replace(step, **changes)) == code


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (replace(SPILL, out_base=132), ErrorCode.ADDRESS),
        (replace(SPILL, out_base=160), ErrorCode.ADDRESS),
        (replace(SPILL, in_base=55), ErrorCode.ADDRESS),
        (replace(SPILL, in_base=54), ErrorCode.NONE),
        (replace(SPILL, in_height=0), ErrorCode.COUNT),
        (replace(SPILL, in_width=0), ErrorCode.COUNT),
        (replace(FILL, in_base=132), ErrorCode.ADDRESS),
        (replace(FILL, out_base=43), ErrorCode.ADDRESS),
        (replace(FILL, out_base=42), ErrorCode.NONE),
        (replace(FILL, out_height=0), ErrorCode.COUNT),
        (replace(FILL, out_words=0), ErrorCode.COUNT),
        (replace(LOAD, in_base=8), ErrorCode.ADDRESS),
        (replace(LOAD, in_base=8, out_height=6), ErrorCode.NONE),
        (replace(LOAD, in_base=4, out_height=4), ErrorCode.ADDRESS),
    ],
)
def test_where_rows_must_lie(step: Instruction, code: ErrorCode) -> None:
    assert code_of(LOAD, step) == code


@pytest.mark.parametrize("step", [replace(LOAD, out_base=8), SPILL, FILL])
def test_nothing_is_moved_beside_the_images_of_the_next_pass(step: Instruction) -> None:
    ahead = replace(CONV, flags=CONV.flags | Flag.LOAD_AHEAD)
    assert code_of(replace(LOAD, out_base=8), ahead, weight_beats=CONV_BEATS) == ErrorCode.NONE
    assert code_of(replace(LOAD, out_base=8), ahead, step, weight_beats=CONV_BEATS) == ErrorCode.COUNT
    between = ErrorCode.COUNT if step.opcode is Opcode.LOAD else ErrorCode.NONE
    assert code_of(replace(LOAD, out_base=8), step, ahead, weight_beats=CONV_BEATS) == between
    assert code_of(step, replace(LOAD, out_base=8), ahead, weight_beats=CONV_BEATS) == ErrorCode.COUNT


def test_results_begin_at_an_index() -> None:
    for first, code in ((7, ErrorCode.NONE), (8, ErrorCode.ADDRESS)):
        assert code_of(LOAD, replace(CONV, out_base=first), weight_beats=CONV_BEATS) == code
