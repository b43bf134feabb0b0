"""Striped programs on the executor, instruction by instruction: rows by PROGRAM.md's formulas, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from toolflow.engine.config import EngineConfig
from toolflow.engine.disassemble import disassemble
from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.executor import run_program
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.places import Stripes
from toolflow.engine.program import Header, encode_program, table_offset_bytes

# An image of 7 x 2 pixels of four bytes: a word of four elements each, and eight bytes in a beat, which is a row.
ENGINE = EngineConfig(
    lanes_k=4, lanes_p=4, slots=4, sub_row=4, bus_bits=64, bank_depth=64, weight_depth=8, result_depth=8,
    external_maps=True, stripes=True,
)  # fmt: skip
HEIGHT, WIDTH, COUNT, ROW = 7, 2, 2, 8
# Two rows a lane with one of the lane before and one of the lane behind: the last lane has one row of its own.
ROWS, ABOVE, HELD = 2, 1, 4
WINDOW = Instruction(Opcode.STRIPES, in_height=HEIGHT, out_height=ROWS, pad_top=ABOVE)
LOAD = Instruction(
    Opcode.LOAD, Flag.STRIPED, levels=1, in_base=-ABOVE * ROW % 2**32, in_words=4, sub_rows=1, out_height=HELD,
    out_width=WIDTH, out_words=1, residual_base=ROWS * ROW,
)  # fmt: skip
WHOLE = Instruction(Opcode.LOAD, levels=1, in_words=4, sub_rows=1, out_height=HEIGHT, out_width=WIDTH, out_words=1)
OWN = replace(WINDOW, pad_top=0)
SPILL = Instruction(
    Opcode.SPILL, Flag.STRIPED, in_base=ABOVE * WIDTH, in_height=ROWS, in_width=WIDTH, in_words=1, in_row_words=WIDTH,
    sub_rows=1, out_base=16, residual_base=ROWS * ROW,
)  # fmt: skip
FILL = Instruction(
    Opcode.FILL, Flag.STRIPED, in_base=(16 - ABOVE * ROW) % 2**32, residual_base=ROWS * ROW, sub_rows=1, out_base=32,
    out_height=HELD, out_width=WIDTH, out_words=1,
)  # fmt: skip
SHIFT = Instruction(
    Opcode.SHIFT, in_height=1, in_width=WIDTH, in_words=1, in_row_words=WIDTH, out_height=1, out_width=WIDTH,
    out_words=1, kernel_h=1, kernel_w=1, stride_h=1, stride_w=1, dilation_h=1, dilation_w=1, sub_rows=1,
)  # fmt: skip
POOL = Instruction(
    Opcode.MAXPOOL, Flag.STRIPED, in_height=HELD, in_width=WIDTH, in_words=1, in_row_words=WIDTH, out_base=32,
    out_height=ROWS, out_width=WIDTH, out_words=1, kernel_h=3, kernel_w=1, stride_h=1, stride_w=1, dilation_h=1,
    dilation_w=1, sub_rows=1,
)  # fmt: skip
LATE = replace(LOAD, out_base=64 - HELD * WIDTH)  # the image behind everything else
AHEAD = replace(POOL, flags=POOL.flags | Flag.LOAD_AHEAD)
STORE = Instruction(Opcode.STORE_MAP, Flag.STRIPED, in_height=HELD, in_row_words=WIDTH)


def run(
    *steps: Instruction, striped: int = 1, config: EngineConfig = ENGINE, map_bytes: int = 16 + HEIGHT * ROW
) -> bytes:
    """Run the steps on images of random bytes, whose tables change nothing."""
    code = (Instruction(Opcode.TABLE, in_words=4, sub_rows=1), *steps, Instruction(Opcode.END))
    code = (replace(code[0], in_base=table_offset_bytes(len(code), config.bus_bytes)), *code[1:])
    table = np.arange(256).repeat(4).astype(np.uint8).tobytes()
    found = Header(config.signature, HEIGHT * ROW, 24, 1, map_bytes=map_bytes, striped=striped)
    return run_program(config, encode_program(found, code, table, 8), b"", images().tobytes(), COUNT)


def images() -> npt.NDArray[np.uint8]:
    """Return (images, height, width, 4) bytes."""
    return np.random.default_rng(1).integers(0, 256, (COUNT, HEIGHT, WIDTH, 4), dtype=np.uint8)


def code_of(*steps: Instruction, striped: int = 1, config: EngineConfig = ENGINE, map_bytes: int = 72) -> int:
    try:
        run(*steps, striped=striped, config=config, map_bytes=map_bytes)
    except EngineFaultError as fault:
        return fault.code
    return ErrorCode.NONE


def stored(raw: bytes, rows: int = HELD) -> npt.NDArray[np.uint8]:
    """Return (images, lanes, rows, width, 4)."""
    return np.frombuffer(raw, dtype=np.uint8).reshape(COUNT, ENGINE.lanes_p, rows, WIDTH, 4)


def rows_of(lane: int) -> list[tuple[int, int]]:
    """Return the rows of a lane's place that lie in the image, each with its row of the image."""
    return [(j, lane * ROWS + j - ABOVE) for j in range(HELD) if 0 <= lane * ROWS + j - ABOVE < HEIGHT]


def test_each_lane_loads_its_rows_and_their_halo() -> None:
    found = stored(run(WINDOW, LOAD, STORE))
    for lane in range(ENGINE.lanes_p):
        for j, row in rows_of(lane):
            assert np.array_equal(found[:, lane, j], images()[:, row])
    assert not found[:, 0, 0].any()  # a row outside the image stays as it was
    assert not found[:, 3, 2:].any()


def test_a_halo_from_memory_may_exceed_a_lane_s_own_rows() -> None:
    window = replace(WINDOW, out_height=1, pad_top=3)
    load = replace(LOAD, in_base=-3 * ROW % 2**32, residual_base=ROW)
    found = stored(run(window, load, STORE))
    for lane, j in np.ndindex(ENGINE.lanes_p, HELD):
        row = lane + j - 3
        assert np.array_equal(found[:, lane, j], images()[:, row] if row >= 0 else 0 * images()[:, 0])


def test_rows_go_to_memory_and_come_back_with_their_halo() -> None:
    found = stored(run(WINDOW, LOAD, OWN, SPILL, WINDOW, FILL, replace(STORE, in_base=32)))
    for lane in range(ENGINE.lanes_p):
        for j, row in rows_of(lane):
            assert np.array_equal(found[:, lane, j], images()[:, row])


def test_a_map_changes_its_layout_in_memory() -> None:
    whole = replace(FILL, flags=Flag.NONE, in_base=16, residual_base=HEIGHT * ROW, out_base=0, out_height=HEIGHT)
    store = replace(STORE, flags=Flag.NONE, in_height=HEIGHT)
    raw = np.frombuffer(run(WINDOW, LOAD, OWN, SPILL, whole, store), dtype=np.uint8)
    assert np.array_equal(raw.reshape(COUNT, HEIGHT, WIDTH, 4), images())
    spill = replace(SPILL, flags=Flag.NONE, in_base=0, in_height=HEIGHT, residual_base=HEIGHT * ROW)
    found = stored(run(WHOLE, spill, WINDOW, FILL, replace(STORE, in_base=32)))
    for lane in range(ENGINE.lanes_p):
        for j, row in rows_of(lane):
            assert np.array_equal(found[:, lane, j], images()[:, row])


def test_rows_are_shifted_to_the_next_and_the_previous_lane() -> None:
    down = replace(SHIFT, in_base=2 * WIDTH, out_base=32)
    up = replace(SHIFT, in_base=1 * WIDTH, out_base=34, levels=1)
    found = stored(run(WINDOW, LOAD, down, up, replace(STORE, in_base=32, in_height=2)), 2)
    for lane in range(ENGINE.lanes_p):
        if lane > 0:
            assert np.array_equal(found[:, lane, 0], images()[:, ROWS * lane - 1])
        if lane < ENGINE.lanes_p - 1:
            assert np.array_equal(found[:, lane, 1], images()[:, ROWS * (lane + 1)])


@pytest.mark.parametrize("signed", [False, True])
def test_rows_outside_the_map_are_left_out_of_a_pool(signed: bool) -> None:
    pool = replace(POOL, flags=POOL.flags | Flag.INPUT_SIGNED) if signed else POOL
    found = stored(run(WINDOW, LOAD, pool, replace(STORE, in_base=32, in_height=ROWS)), ROWS)
    rows = images().view(np.int8) if signed else images()
    for row in range(HEIGHT):
        expected = rows[:, max(row - 1, 0) : row + 2].max(axis=1)
        assert np.array_equal(found[:, row // ROWS, row % ROWS].view(rows.dtype), expected)


def test_a_window_is_that_of_the_steps() -> None:
    """`places.Stripes` is what schedules reckon with."""
    for stripes in (Stripes(7, 2, 1), Stripes(7, 1, 3), Stripes(3, 2), Stripes(8, 4, 2).from_row(3)):
        for lane in range(5):
            rows = [row for row in range(6) if 0 <= lane * stripes.rows + row - stripes.above < stripes.height]
            first, end = stripes.window(lane, 6)
            assert [*range(first, end)] == rows
        assert stripes.held(6, 5) == sum(end - first for first, end in (stripes.window(lane, 6) for lane in range(5)))
    assert Stripes(8, 4, 2).from_row(3) == Stripes(7, 4, 0)
    assert Stripes(7, 2).rows_of_map(1, 1) == 3


REFUSED = {
    "no rows of the map": (ErrorCode.COUNT, (replace(WINDOW, in_height=0),)),
    "no rows of a lane": (ErrorCode.COUNT, (replace(WINDOW, out_height=0),)),
    "a kernel that is shifted": (ErrorCode.COUNT, (replace(SHIFT, kernel_h=3, out_base=32),)),
    "a third direction": (ErrorCode.COUNT, (replace(SHIFT, levels=2, out_base=32),)),
    "a shift in one place": (ErrorCode.COUNT, (replace(SHIFT, out_words=0, out_base=32),)),
    "a shift from beyond the banks": (ErrorCode.ADDRESS, (replace(SHIFT, in_base=63),)),
    "a shift to beyond the banks": (ErrorCode.ADDRESS, (replace(SHIFT, out_base=63),)),
    "a row before the image": (ErrorCode.ADDRESS, (replace(WINDOW, pad_top=0), LOAD)),
    "a row behind the image": (ErrorCode.ADDRESS, (replace(WINDOW, in_height=HEIGHT + 1), LOAD)),
    "a load without a window": (ErrorCode.ADDRESS, (LOAD,)),
    "rows of half a beat": (ErrorCode.ADDRESS, (WINDOW, replace(LOAD, out_width=1))),
    "lanes between beats": (ErrorCode.ADDRESS, (WINDOW, replace(LOAD, residual_base=12))),
    "a row before the maps": (ErrorCode.ADDRESS, (WINDOW, replace(FILL, in_base=2**32 - 16))),
    "a row behind the maps": (ErrorCode.ADDRESS, (WINDOW, replace(FILL, in_base=16))),
    "lanes that overlap in memory": (ErrorCode.ADDRESS, (OWN, replace(SPILL, residual_base=ROW))),
    "a spill behind the maps": (ErrorCode.ADDRESS, (OWN, replace(SPILL, out_base=24))),
    "a load ahead of a shift": (ErrorCode.OPCODE, (WINDOW, LOAD, replace(SHIFT, flags=Flag.LOAD_AHEAD, out_base=32))),
    "a fill beside a load ahead": (ErrorCode.COUNT, (WINDOW, LATE, AHEAD, FILL)),
    "a spill before the load of a program that loads ahead": (ErrorCode.COUNT, (OWN, SPILL, WINDOW, LATE, AHEAD)),
    "a shift over the next image": (ErrorCode.ADDRESS, (WINDOW, LATE, AHEAD, replace(SHIFT, out_base=63))),
    "a window in stripes": (ErrorCode.OPCODE, (replace(WINDOW, flags=Flag.STRIPED),)),
    "a shift in stripes": (ErrorCode.OPCODE, (replace(SHIFT, flags=Flag.STRIPED, out_base=32),)),
    "taps in stripes": (ErrorCode.OPCODE, (Instruction(Opcode.TAPS, Flag.STRIPED),)),
    "results in stripes": (ErrorCode.OPCODE, (Instruction(Opcode.STORE_RESULT, Flag.STRIPED),)),
    "an end in stripes": (ErrorCode.OPCODE, (Instruction(Opcode.END, Flag.STRIPED),)),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_hostile_programs_end_with_their_code(what: str) -> None:
    code, steps = REFUSED[what]
    assert code_of(*steps) == code


@pytest.mark.parametrize(
    "step", [WINDOW, replace(SHIFT, out_base=32), replace(LOAD, in_base=0), POOL, FILL, SPILL, STORE]
)
def test_only_striped_programs_have_stripes(step: Instruction) -> None:
    assert code_of(step, striped=0) == ErrorCode.OPCODE


def test_maps_move_between_the_load_and_the_flag() -> None:
    assert code_of(WINDOW, LATE, FILL, OWN, SPILL, AHEAD) == ErrorCode.NONE


def test_only_engines_with_stripes_run_striped_programs() -> None:
    plain = EngineConfig(**{**ENGINE.model_dump(), "stripes": False})
    assert plain.signature != ENGINE.signature
    assert code_of(WHOLE, striped=0, config=plain) == ErrorCode.NONE
    assert code_of(WHOLE, config=plain) == ErrorCode.OPCODE
    with pytest.raises(ValueError, match="with narrow_bits=4 stripes must be false, not true"):
        EngineConfig(lanes_p=2, narrow_bits=4, dsp_primitive="dsp48e2", pack_k=2, gather=False, lanes_k=2, stripes=True)


def test_lane_0_alone_needs_memory_in_image_layout() -> None:
    spill = replace(SPILL, flags=Flag.NONE, in_base=0, in_height=HEIGHT, out_base=0, residual_base=HEIGHT * ROW)
    assert code_of(WHOLE, spill, map_bytes=HEIGHT * ROW) == ErrorCode.NONE
    assert code_of(WHOLE, spill, map_bytes=HEIGHT * ROW - 8) == ErrorCode.ADDRESS
    assert code_of(WHOLE, replace(spill, residual_base=HEIGHT * ROW - 8)) == ErrorCode.ADDRESS


def test_a_listing_names_stripes() -> None:
    code = (WINDOW, LOAD, replace(SHIFT, levels=1, out_base=32), Instruction(Opcode.END))
    text = disassemble(encode_program(Header(striped=1), code, b"", 8))
    assert text.startswith("program     version 7, of one image in each pass, 4 instructions")
    assert "each lane has 2 of 7 rows, behind 1 row(s) of the lane before" in text
    assert "4x2 pixels of 1 x 4 bytes from byte -8, a lane's rows every 16 bytes -> @0, 1 word(s) a pixel" in text
    assert "on stripes of one image" in text
    assert (
        "1x2 pixels of 1 word(s) @0, 1 word(s) a pixel, 2 a row -> @32 of the previous lane, 1 word(s) a pixel" in text
    )
