"""A program binary as text that a person reads, and as a document that a script reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.program import VERSION, Header, decode_program


def disassemble(binary: bytes) -> str:
    """Return the listing of a program binary: the header, then one entry per instruction.

    Raises:
        ToolflowError: the binary is no intact program (see `decode_program`).
    """
    header, instructions = decode_program(binary)
    lines = [*_header_lines(header, len(instructions)), ""]
    for index, instruction in enumerate(instructions):
        first, *rest = _DESCRIBE[instruction.opcode](instruction)
        lines.append(f"{index:4d}  {instruction.opcode.name:<12}  {first}")
        if Flag.LOAD_AHEAD in instruction.flags:
            rest.append("the images of the next pass may be loaded from here on")
        if Flag.STRIPED in instruction.flags:
            rest.append("on stripes of one image")
        lines += [" " * 20 + text for text in rest]
    return "\n".join(lines)


def program_document(binary: bytes) -> Mapping[str, Any]:
    """Return header and instructions as plain values, ready for JSON.

    Raises:
        ToolflowError: the binary is no intact program (see `decode_program`).
    """
    header, instructions = decode_program(binary)
    return {
        "version": VERSION,
        "header": {**vars(header), "signature": f"0x{header.signature:016x}"},
        "instructions": [
            {
                "opcode": instruction.opcode.name,
                "flags": [flag.name for flag in Flag if flag and flag in instruction.flags],
                **_fields(instruction),
            }
            for instruction in instructions
        ],
    }


def _fields(instruction: Instruction) -> Mapping[str, Any]:
    if instruction.opcode is Opcode.TAPS:
        found = {"exponents": instruction.exponents(), "steps": instruction.tap_steps()}
        return {name: values.reshape(-1).tolist() for name, values in found.items()}
    return instruction.used_fields()


def _header_lines(header: Header, count: int) -> list[str]:
    confidence = "every result counts as confident"
    if header.confidence_n:
        confidence = (
            f"the {header.confidence_m} largest against the rest of the {header.confidence_n} largest, "
            f"k = {header.confidence_k}, threshold {header.threshold / 65536:.6f} ({header.threshold} / 65536)"
        )
    precision = "of the narrow precision, " if header.narrow else ""
    layout = "of one image in each pass, " if header.striped else ""
    signature = f"engine signature 0x{header.signature:016x}"
    return [
        f"program     version {VERSION}, {precision}{layout}{count} instructions, {signature}",
        f"images      one every {header.image_pitch_bytes} bytes",
        f"results     one every {header.result_pitch_bytes} bytes, {header.classes} values each",
        f"weights     {header.weight_beats} beats a pass",
        f"maps        {header.map_bytes} bytes in memory",
        f"confidence  {confidence}",
    ]


def _table(i: Instruction) -> list[str]:
    return [f"{i.sub_rows} word(s) x 256 x {i.in_words} entries from program + {i.in_base}"]


def _load(i: Instruction) -> list[str]:
    digits = f", cut into {i.levels} digits" if i.levels > 1 else ""
    start = f" from byte {_offset(i, i.in_base)}" if i.in_base else ""
    pitch = f", a lane's rows every {i.residual_base} bytes" if Flag.STRIPED in i.flags else ""
    return [
        f"{i.out_height}x{i.out_width} pixels of {i.sub_rows} x {i.in_words} bytes{start}{pitch} "
        f"-> @{i.out_base}, {i.out_words} word(s) a pixel{digits}"
    ]


def _conv(i: Instruction) -> list[str]:
    target = f"@{i.out_base}, {i.out_words} word(s) a pixel"
    if Flag.TO_RESULT in i.flags:
        target = f"results from {i.out_base}" if i.out_base else "results"
    steps = f"{i.steps} step(s)" if i.steps == i.steps_last else f"{i.steps} step(s), {i.steps_last} in the last"
    order = "indexed" if Flag.INDEXED in i.flags else "dense"
    advance = f", {i.channel_step} input channels further per group" if i.channel_step else ""
    levels = f", {i.levels} levels of digits" if i.levels > 1 else ""
    tile = f", F({i.tile}x{i.tile},3x3)" if i.tile else ""
    lines = [
        f"{_source(i)} -> {i.out_height}x{i.out_width} {target}",
        f"{i.channels} channels in {i.groups} group(s) of {i.rows} {order} rows: "
        f"{i.sub_rows} sub-row(s) of {steps}{advance}{levels}{tile}",
        f"{_window(i)}, dilation {i.dilation_h}x{i.dilation_w}; clip to [{i.lower}, {i.upper}]",
    ]
    if Flag.RESIDUAL in i.flags:
        sign = "signed" if Flag.RESIDUAL_SIGNED in i.flags else "unsigned"
        last = i.residual_offset + i.residual_channels - 1
        lines.append(
            f"plus {sign} @{i.residual_base} on channels {i.residual_offset} to {last}, "
            f"{i.residual_pixel_words} word(s) a pixel, {i.residual_row_words} a row"
        )
    return lines


def _maxpool(i: Instruction) -> list[str]:
    return [
        f"{_source(i)} -> {i.out_height}x{i.out_width} @{i.out_base}, {i.out_words} word(s) a pixel",
        f"{i.sub_rows} sub-row(s), {_window(i)}",
    ]


def _store_result(i: Instruction) -> list[str]:
    return ["class, confidence and results of every image"]


def _store_map(i: Instruction) -> list[str]:
    return [f"{i.in_height} row(s) of {i.in_row_words} words from @{i.in_base} -> results + {i.out_base}"]


def _fill(i: Instruction) -> list[str]:
    return [
        f"{i.out_height}x{i.out_width} pixels of {i.sub_rows} word(s) from maps + {_offset(i, i.in_base)}, one every "
        f"{i.residual_base} bytes -> @{i.out_base}, {i.out_words} word(s) a pixel"
    ]


def _spill(i: Instruction) -> list[str]:
    return [
        f"{i.in_height}x{i.in_width} pixels of {i.sub_rows} word(s) @{i.in_base}, {i.in_words} word(s) a pixel, "
        f"{i.in_row_words} a row -> maps + {_offset(i, i.out_base)}, one every {i.residual_base} bytes"
    ]


def _stripes(i: Instruction) -> list[str]:
    return [f"each lane has {i.out_height} of {i.in_height} rows, behind {i.pad_top} row(s) of the lane before"]


def _shift(i: Instruction) -> list[str]:
    return [
        f"{i.out_height}x{i.out_width} pixels of {i.sub_rows} word(s) @{i.in_base}, {i.in_words} word(s) a pixel, "
        f"{i.in_row_words} a row -> @{i.out_base} of the {'previous' if i.levels else 'next'} lane, "
        f"{i.out_words} word(s) a pixel"
    ]


def _taps(i: Instruction) -> list[str]:
    found = {"left shifts": i.exponents(), "steps": i.tap_steps()}
    pairs = {what: of.reshape(-1, 2 * len(of)).tolist() for what, of in found.items()}  # of rows
    return [f"{what} of the taps: {', '.join(' '.join(map(str, row)) for row in of)}" for what, of in pairs.items()]


def _end(i: Instruction) -> list[str]:
    return ["end of the pass"]


def _offset(i: Instruction, offset: int) -> int:
    """Return a byte offset, which may be negative if rows of stripes lie before the map."""
    return offset - (1 << 32) if Flag.STRIPED in i.flags and offset >> 31 else offset


def _source(i: Instruction) -> str:
    sign = "signed" if Flag.INPUT_SIGNED in i.flags else "unsigned"
    return f"{i.in_height}x{i.in_width} {sign} @{i.in_base}, {i.in_words} word(s) a pixel, {i.in_row_words} a row"


def _window(i: Instruction) -> str:
    return (
        f"kernel {i.kernel_h}x{i.kernel_w}, stride {i.stride_h}x{i.stride_w}, pad {i.pad_top} above, {i.pad_left} left"
    )


_DESCRIBE: Mapping[Opcode, Callable[[Instruction], list[str]]] = {
    Opcode.TABLE: _table,
    Opcode.LOAD: _load,
    Opcode.CONV: _conv,
    Opcode.MAXPOOL: _maxpool,
    Opcode.STORE_RESULT: _store_result,
    Opcode.STORE_MAP: _store_map,
    Opcode.END: _end,
    Opcode.TAPS: _taps,
    Opcode.FILL: _fill,
    Opcode.SPILL: _spill,
    Opcode.STRIPES: _stripes,
    Opcode.SHIFT: _shift,
}
