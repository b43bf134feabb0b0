"""From the steps of a schedule to the fields of their instructions (PROGRAM.md)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TypedDict

import numpy as np

from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.places import BankPlace, Region, ResultPlace, map_row_bytes
from toolflow.engine.program import table_offset_bytes
from toolflow.engine.steps import (
    Compute,
    Fill,
    Load,
    Part,
    Pool,
    Residual,
    SetStripes,
    Shift,
    Spill,
    Step,
    StoreMap,
    StoreResults,
    Window,
)

OFFSETS = 1 << 32  # stripes with rows above the map begin before it: offsets are modulo this


class _Walked(TypedDict):
    """The fields by which CONV and MAXPOOL walk over two maps."""

    in_base: int
    in_height: int
    in_width: int
    in_words: int
    in_row_words: int
    out_base: int
    out_height: int
    out_width: int
    out_words: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    dilation_h: int
    dilation_w: int


class _Residual(TypedDict, total=False):
    """The fields by which CONV finds what it adds."""

    residual_base: int
    residual_pixel_words: int
    residual_row_words: int
    residual_offset: int
    residual_channels: int


def encode_steps(steps: tuple[Step, ...], config: EngineConfig) -> tuple[Instruction, ...]:
    """Return the instructions of a schedule's steps, in order.

    Raises:
        ValueError: a step computes a region that no instruction can.
    """
    count = sum(len(step.parts) for step in steps)
    tables = table_offset_bytes(count, config.bus_bytes)
    ahead = {step.ahead for step in steps if isinstance(step, Load)}
    return tuple(_ahead(_encode(step, part, config, tables), step, ahead) for step in steps for part in step.parts)


def _ahead(instruction: Instruction, step: Step, names: Collection[str]) -> Instruction:
    """Return the instruction, with LOAD_AHEAD if its step is named."""
    if isinstance(step, Compute | Pool) and step.name in names and instruction.opcode is not Opcode.TAPS:
        return replace(instruction, flags=instruction.flags | Flag.LOAD_AHEAD)
    return instruction


def _encode(step: Step, part: Part, config: EngineConfig, tables: int) -> Instruction:
    match step:
        case Load():
            return _table(step, part, tables) if part.opcode is Opcode.TABLE else _load(step, part)
        case SetStripes():
            return _stripes(step, part)
        case Shift():
            return _shift(step, part)
        case Compute():
            return _taps(step, part) if part.opcode is Opcode.TAPS else _conv(step, part, config)
        case Pool():
            return _max_pool(step, part)
        case Fill():
            return _fill(step, part, config)
        case Spill():
            return _spill(step, part, config)
        case StoreMap():
            return _store_map(step, part)
        case StoreResults():
            return Instruction(part.opcode, name=part.name)


def _table(step: Load, part: Part, tables: int) -> Instruction:
    image = step.image
    return Instruction(part.opcode, in_base=tables, in_words=image.slice_bytes, sub_rows=image.words, name=part.name)


def _load(step: Load, part: Part) -> Instruction:
    pitch = 0 if step.stripes is None else step.stripes.rows * step.image.row_bytes
    return Instruction(
        part.opcode,
        _striped(step),
        levels=step.digits,
        in_base=step.first_byte % OFFSETS,
        residual_base=pitch,
        in_words=step.image.slice_bytes,
        sub_rows=step.image.words,
        out_base=step.out.base,
        out_height=step.out.height,
        out_width=step.out.width,
        out_words=step.out.pixel_words,
        name=part.name,
    )


def _taps(step: Compute, part: Part) -> Instruction:
    assert step.exponent is not None
    return Instruction.taps(step.exponent, np.array(step.walk.tap_steps, dtype=np.int64), part.name)


def _conv(step: Compute, part: Part, config: EngineConfig) -> Instruction:
    if step.tile and (step.region.top % step.tile or step.region.left % step.tile):
        raise ValueError(f"a region of '{step.name}' must begin at a tile of {step.tile}, not at {step.region[:2]}")
    flags = _read(step)
    if step.walk.indexed:
        flags |= Flag.INDEXED
    if isinstance(step.out, ResultPlace):
        flags |= Flag.TO_RESULT
    residual: _Residual = {}
    if step.residual is not None:
        flags |= Flag.RESIDUAL | (Flag.RESIDUAL_SIGNED if step.residual.signed else Flag.NONE)
        residual = _residual(step.residual, step.region)
    return Instruction(
        part.opcode,
        flags,
        levels=step.weights.levels,
        **_convolved(step),
        channels=step.channels,
        groups=len([*step.groups(config.lanes_k)]),
        sub_rows=step.walk.sub_rows,
        steps=step.walk.steps,
        steps_last=step.walk.steps_last,
        channel_step=step.walk.channel_step,
        lower=step.rule.lower,
        upper=step.rule.upper,
        rows=step.rows,
        tile=step.tile,
        **residual,
        name=part.name,
    )


def _convolved(step: Compute) -> _Walked:
    """Return how a step walks over its maps, each part of a divided pixel as a pixel."""
    if step.divided == 1:
        return _walked(step.source, step.out, step.region, step.window)
    assert isinstance(step.out, BankPlace)
    source, out = (
        replace(place, width=place.width * step.divided, pixel_words=place.pixel_words // step.divided)
        for place in (step.source, step.out)
    )
    region, window = step.region, step.window
    return _walked(
        source,
        out,
        region._replace(left=region.left * step.divided, width=region.width * step.divided),
        Window(
            window.kernel,
            (window.stride[0], 1),
            (window.pads[0], window.pads[1] * step.divided),
            (window.dilation[0], window.dilation[1] * step.divided),
        ),
    )


def _residual(residual: Residual, region: Region) -> _Residual:
    """Return the fields of a residual of a step that computes a region."""
    row_words = residual.source.row_words * residual.stride[0]
    pixel_words = residual.source.pixel_words * residual.stride[1]
    return {
        "residual_base": residual.source.base + region.top * row_words + region.left * pixel_words,
        "residual_pixel_words": pixel_words,
        "residual_row_words": row_words,
        "residual_offset": residual.first_channel,
        "residual_channels": len(residual.source.channel),
    }


def _max_pool(step: Pool, part: Part) -> Instruction:
    return Instruction(
        part.opcode,
        _read(step),
        **_walked(step.source, step.out, step.region, step.window),
        sub_rows=step.source.words,
        name=part.name,
    )


def _stripes(step: SetStripes, part: Part) -> Instruction:
    stripes = step.stripes
    return Instruction(
        part.opcode, in_height=stripes.height, out_height=stripes.rows, pad_top=stripes.above, name=part.name
    )


def _shift(step: Shift, part: Part) -> Instruction:
    source, out = step.source, step.out
    region = Region(0, 0, out.height, out.width)
    return Instruction(
        part.opcode,
        levels=int(step.up),
        **_walked(source, out, region, Window((1, 1))),
        sub_rows=source.words,
        name=part.name,
    )


def _fill(step: Fill, part: Part, config: EngineConfig) -> Instruction:
    row_bytes = map_row_bytes(step.out, config)
    return Instruction(
        part.opcode,
        _striped(step),
        in_base=(step.source.offset_bytes + step.first_row * row_bytes) % OFFSETS,
        residual_base=step.source.pitch_bytes if step.stripes is None else step.stripes.rows * row_bytes,
        out_base=step.out.base,
        out_height=step.out.height,
        out_width=step.out.width,
        out_words=step.out.pixel_words,
        sub_rows=step.out.words,
        name=part.name,
    )


def _spill(step: Spill, part: Part, config: EngineConfig) -> Instruction:
    row_bytes = map_row_bytes(step.source, config)
    return Instruction(
        part.opcode,
        _striped(step),
        in_base=step.source.base,
        in_height=step.source.height,
        in_width=step.source.width,
        in_words=step.source.pixel_words,
        in_row_words=step.source.row_words,
        sub_rows=step.source.words,
        out_base=(step.out.offset_bytes + step.first_row * row_bytes) % OFFSETS,
        residual_base=step.out.pitch_bytes if step.stripes is None else step.stripes.rows * row_bytes,
        name=part.name,
    )


def _store_map(step: StoreMap, part: Part) -> Instruction:
    height, row_words = step.rows
    return Instruction(
        part.opcode,
        _striped(step),
        in_base=step.source.base,
        in_height=height,
        in_row_words=row_words,
        out_base=step.out.offset_bytes,
        name=part.name,
    )


def _striped(step: Load | Fill | Compute | Pool | Spill | StoreMap) -> Flag:
    return Flag.NONE if step.stripes is None else Flag.STRIPED


def _read(step: Compute | Pool) -> Flag:
    """Return how a step reads its map."""
    return _striped(step) | (Flag.INPUT_SIGNED if step.signed else Flag.NONE)


def _walked(source: BankPlace, out: BankPlace | ResultPlace, region: Region, window: Window) -> _Walked:
    """Return the fields of a step that computes a region: it reads the map from the region's first window on."""
    top, pad_top = _start(region.top * window.stride[0] - window.pads[0])
    left, pad_left = _start(region.left * window.stride[1] - window.pads[1])
    if top >= source.height or left >= source.width:
        raise ValueError(
            f"the first window of a region must begin above and left of the map's end, not at {top}, {left}"
        )
    out_base, out_words = _out(out, region)
    return {
        "in_base": source.base + top * source.row_words + left * source.pixel_words,
        "in_height": source.height - top,
        "in_width": source.width - left,
        "in_words": source.pixel_words,
        "in_row_words": source.row_words,
        "out_base": out_base,
        "out_height": region.height,
        "out_width": region.width,
        "out_words": out_words,
        "kernel_h": window.kernel[0],
        "kernel_w": window.kernel[1],
        "stride_h": window.stride[0],
        "stride_w": window.stride[1],
        "pad_top": pad_top,
        "pad_left": pad_left,
        "dilation_h": window.dilation[0],
        "dilation_w": window.dilation[1],
    }


def _start(first: int) -> tuple[int, int]:
    """Return where a window begins in the map, and how much of it lies before the map."""
    return max(first, 0), max(-first, 0)


def _out(out: BankPlace | ResultPlace, region: Region) -> tuple[int, int]:
    """Return where a region's first output goes, and the words from one output to the next."""
    if isinstance(out, ResultPlace):
        if region != (0, 0, out.height, out.width):
            raise ValueError(f"results must be computed by one step, not {region} of {out.height}x{out.width}")
        return out.first, 0
    base = out.base + region.top * out.row_words + region.left * out.pixel_words
    if region.width == out.width or region.height == 1:
        return base, out.pixel_words
    if region.width == 1:
        return base, out.row_words
    raise ValueError(f"a region must be whole rows or part of one row or column, not {region} of width {out.width}")
