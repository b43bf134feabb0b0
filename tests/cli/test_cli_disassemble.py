"""The listing agrees with the words of the program."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from toolflow.cli.main import app
from toolflow.engine.disassemble import disassemble, program_document
from toolflow.engine.isa import LAYOUT, Flag, Instruction, Opcode
from toolflow.engine.program import Header, encode_program

HEADER = Header(
    signature=0x0123456789ABCDEF,
    image_pitch_bytes=4096,
    result_pitch_bytes=48,
    classes=10,
    confidence_k=369,
    confidence_m=1,
    confidence_n=3,
    threshold=-32768,
    weight_beats=17,
)
CONV = Instruction(
    Opcode.CONV,
    Flag.INPUT_SIGNED | Flag.RESIDUAL | Flag.INDEXED,
    levels=2,
    in_base=7,
    in_height=32,
    in_width=31,
    in_words=2,
    in_row_words=62,
    out_base=2000,
    out_height=16,
    out_width=15,
    out_words=4,
    residual_pixel_words=3,
    channels=30,
    groups=2,
    kernel_h=3,
    kernel_w=5,
    stride_h=2,
    stride_w=1,
    pad_top=1,
    pad_left=0,
    dilation_h=1,
    dilation_w=2,
    sub_rows=2,
    steps=8,
    steps_last=5,
    channel_step=16,
    residual_offset=8,
    lower=-128,
    upper=127,
    rows=390,
    residual_row_words=45,
    residual_base=3000,
    residual_channels=16,
    tile=4,
)
INSTRUCTIONS = (
    Instruction(Opcode.TABLE, sub_rows=1, in_words=4, in_base=768),
    Instruction(Opcode.LOAD, levels=2, out_height=32, out_width=31, sub_rows=1, in_words=4, out_base=7, out_words=2),
    CONV,
    replace(CONV, flags=Flag.TO_RESULT, levels=1, steps_last=8, channel_step=0, tile=0),
    Instruction.taps(np.arange(36).reshape(6, 6) % 8, np.arange(36).reshape(6, 6) % 5),
    Instruction(
        Opcode.MAXPOOL, Flag.LOAD_AHEAD,
        in_height=4, in_width=4, in_words=1, in_row_words=4, out_base=9, out_height=2, out_width=2, out_words=1,
        kernel_h=2, kernel_w=2, stride_h=2, stride_w=2, sub_rows=1,
    ),
    Instruction(Opcode.STORE_RESULT),
    Instruction(Opcode.STORE_MAP, in_base=9, in_height=2, in_row_words=2, out_base=4096),
    Instruction(
        Opcode.SPILL, in_base=9, in_height=2, in_width=3, in_words=2, in_row_words=6, sub_rows=1, out_base=64,
        residual_base=128,
    ),
    Instruction(
        Opcode.FILL, in_base=64, residual_base=128, out_base=40, out_height=2, out_width=3, out_words=2, sub_rows=1
    ),
    Instruction(Opcode.END),
)  # fmt: skip
PROGRAM = encode_program(HEADER, INSTRUCTIONS, b"tables", 16)
LISTING = """\
program     version 7, 11 instructions, engine signature 0x0123456789abcdef
images      one every 4096 bytes
results     one every 48 bytes, 10 values each
weights     17 beats a pass
maps        0 bytes in memory
confidence  the 1 largest against the rest of the 3 largest, k = 369, threshold -0.500000 (-32768 / 65536)

   0  TABLE         1 word(s) x 256 x 4 entries from program + 768
   1  LOAD          32x31 pixels of 1 x 4 bytes -> @7, 2 word(s) a pixel, cut into 2 digits
   2  CONV          32x31 signed @7, 2 word(s) a pixel, 62 a row -> 16x15 @2000, 4 word(s) a pixel
                    30 channels in 2 group(s) of 390 indexed rows: 2 sub-row(s) of 8 step(s), 5 in the last, \
16 input channels further per group, 2 levels of digits, F(4x4,3x3)
                    kernel 3x5, stride 2x1, pad 1 above, 0 left, dilation 1x2; clip to [-128, 127]
                    plus unsigned @3000 on channels 8 to 23, 3 word(s) a pixel, 45 a row
   3  CONV          32x31 unsigned @7, 2 word(s) a pixel, 62 a row -> 16x15 results from 2000
                    30 channels in 2 group(s) of 390 dense rows: 2 sub-row(s) of 8 step(s)
                    kernel 3x5, stride 2x1, pad 1 above, 0 left, dilation 1x2; clip to [-128, 127]
   4  TAPS          left shifts of the taps: 0 1 2 3 4 5 6 7 0 1 2 3, 4 5 6 7 0 1 2 3 4 5 6 7, \
0 1 2 3 4 5 6 7 0 1 2 3
                    steps of the taps: 0 1 2 3 4 0 1 2 3 4 0 1, 2 3 4 0 1 2 3 4 0 1 2 3, \
4 0 1 2 3 4 0 1 2 3 4 0
   5  MAXPOOL       4x4 unsigned @0, 1 word(s) a pixel, 4 a row -> 2x2 @9, 1 word(s) a pixel
                    1 sub-row(s), kernel 2x2, stride 2x2, pad 0 above, 0 left
                    the images of the next pass may be loaded from here on
   6  STORE_RESULT  class, confidence and results of every image
   7  STORE_MAP     2 row(s) of 2 words from @9 -> results + 4096
   8  SPILL         2x3 pixels of 1 word(s) @9, 2 word(s) a pixel, 6 a row -> maps + 64, one every 128 bytes
   9  FILL          2x3 pixels of 1 word(s) from maps + 64, one every 128 bytes -> @40, 2 word(s) a pixel
  10  END           end of the pass"""


def test_listing() -> None:
    assert disassemble(PROGRAM) == LISTING


def test_a_program_without_confidence_unit_says_so() -> None:
    program = encode_program(replace(HEADER, confidence_n=0), INSTRUCTIONS, b"", 16)
    assert "confidence  every result counts as confident" in disassemble(program)


def test_the_document_holds_every_field() -> None:
    document = json.loads(json.dumps(program_document(PROGRAM)))
    assert document["header"]["threshold"] == -32768
    assert document["header"]["signature"] == "0x0123456789abcdef"
    conv = document["instructions"][2]
    assert conv.pop("opcode") == "CONV"
    assert conv.pop("flags") == ["INPUT_SIGNED", "RESIDUAL", "INDEXED"]
    taps = document["instructions"][4]
    steps = [n % 5 for n in range(36)]
    assert taps == {"opcode": "TAPS", "flags": [], "exponents": [n % 8 for n in range(36)], "steps": steps}
    assert conv == {name: getattr(CONV, name) for name in LAYOUT if name not in ("opcode", "flags", "pad_left")}


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_the_command_prints_either(tmp_path: Path, json_option: list[str]) -> None:
    path = tmp_path / "program.bin"
    path.write_bytes(PROGRAM)
    result = CliRunner().invoke(app, ["disassemble", str(path), *json_option])
    assert result.exit_code == 0
    if json_option:
        assert json.loads(result.stdout) == json.loads(json.dumps(program_document(PROGRAM)))
    else:
        assert result.stdout == LISTING + "\n"


def test_a_damaged_program_is_a_mistake_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "program.bin"
    path.write_bytes(PROGRAM[:70])
    result = CliRunner().invoke(app, ["disassemble", str(path)])
    assert result.exit_code == 2
    assert "a program of 11 instructions must have 768 bytes, not 70" in result.stderr


def test_a_file_of_another_kind_is_no_program(tmp_path: Path) -> None:
    path = tmp_path / "low.weights.bin"
    path.write_bytes(bytes(100))
    result = CliRunner().invoke(app, ["disassemble", str(path)])
    assert result.exit_code == 2
    assert "is not a program; programs are weights/*.program.bin" in " ".join(result.stderr.split())
