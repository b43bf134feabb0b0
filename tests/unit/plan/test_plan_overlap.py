"""No instruction of a planned program reads a word that it writes: engines may store and load in any order."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable

import pytest

from tests.conformance.cases import cases_of
from tests.conformance.engine_shapes import SHAPES
from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.program import decode_program
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths


def pixels(height: int, width: int) -> Iterable[tuple[int, int]]:
    return ((y, x) for y in range(height) for x in range(width))


def words_read(i: Instruction, config: EngineConfig) -> set[int]:
    """Words of the input map that CONV or MAXPOOL may touch; what a last group reads behind a pixel's is not used."""
    first = {g * i.channel_step // config.sub_row for g in range(max(i.groups, 1))}
    return {
        i.in_base + y * i.in_row_words + x * i.in_words + f + q
        for y, x in pixels(i.in_height, i.in_width)
        for f in first
        for q in range(min(i.sub_rows, i.in_words - f))
    }


def words_written(i: Instruction, config: EngineConfig) -> dict[int, tuple[int, int]]:
    """Words of the output map, with the position whose output each holds."""
    words = i.sub_rows if i.opcode is Opcode.MAXPOOL else math.ceil(i.channels / config.sub_row)
    return {
        i.out_base + (y * i.out_width + x) * i.out_words + q: (y, x)
        for y, x in pixels(i.out_height, i.out_width)
        for q in range(words)
    }


def residual_words(i: Instruction, config: EngineConfig) -> dict[int, tuple[int, int]]:
    if not i.flags & Flag.RESIDUAL:
        return {}
    return {
        i.residual_base + y * i.residual_row_words + x * i.residual_pixel_words + q: (y, x)
        for y, x in pixels(i.out_height, i.out_width)
        for q in range(math.ceil(i.residual_channels / config.sub_row))
    }


def overlaps(binary: bytes, config: EngineConfig) -> list[str]:
    """Return the instructions that write a word which they read, but for a position's own residual."""
    found = []
    _, instructions = decode_program(binary)
    for n, i in enumerate(instructions):
        if i.opcode not in (Opcode.CONV, Opcode.MAXPOOL) or i.flags & Flag.TO_RESULT:
            continue
        written, residual = words_written(i, config), residual_words(i, config)
        if written.keys() & words_read(i, config):
            found.append(f"{n}: output over input")
        if any(word in written and written[word] != position for word, position in residual.items()):
            found.append(f"{n}: output over another position's residual")
    return found


@pytest.mark.parametrize("shape", ["odd", "twelve", "tile_4", "one_lane"])
def test_planned_programs_keep_what_they_read(shape: str) -> None:
    for name, case in cases_of(SHAPES[shape]).items():
        config = SHAPES[shape]
        builder, output = case.build(config.weight_bits, config.activation_bits, zlib.crc32(name.encode()), False)
        graph = builder.build(output)
        config = fit_depths(graph, config)
        assert overlaps(compile_program(graph, config).program, config) == [], name
