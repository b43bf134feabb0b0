"""The instruction that computes a part of a layer's output once more, with another requantisation."""

from __future__ import annotations

from dataclasses import replace

from toolflow.engine.isa import Instruction
from toolflow.operators.convolution import Region


def edge_instruction(whole: Instruction, region: Region, name: str) -> Instruction:
    """Return `whole` for a part of its output: some whole rows, or a part of one column.

    It reads the map from the part's first window on, and writes where `whole` writes.

    Args:
        whole: a direct CONV into the banks.
        region: the part; its windows touch the map.
        name: of the instruction.
    """
    top, pad_top = _start(region.top * whole.stride_h - whole.pad_top)
    left, pad_left = _start(region.left * whole.stride_w - whole.pad_left)
    column = region.width == 1 and region.height > 1
    return replace(
        whole,
        name=name,
        in_base=whole.in_base + top * whole.in_row_words + left * whole.in_words,
        in_height=whole.in_height - top,
        in_width=whole.in_width - left,
        pad_top=pad_top,
        pad_left=pad_left,
        out_base=whole.out_base + (region.top * whole.out_width + region.left) * whole.out_words,
        out_height=region.height,
        out_width=region.width,
        out_words=whole.out_words * whole.out_width if column else whole.out_words,
    )


def _start(first: int) -> tuple[int, int]:
    """Return where a window begins in the map, and how much of it lies before the map."""
    return max(first, 0), max(-first, 0)
