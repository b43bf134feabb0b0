"""Instructions that move or compare words of the banks and multiply nothing."""

from __future__ import annotations

from toolflow.engine.isa import LAYOUT, Flag, Instruction, Opcode
from toolflow.ir.quantised import QuantisedNode
from toolflow.operators import MaxPool
from toolflow.plan.schedule.memory import Place


def max_pool(node: QuantisedNode, source: Place, out: Place, size: tuple[int, int], signed: bool) -> Instruction:
    """Return the MAXPOOL of a node whose output has `size` = (H', W')."""
    op = node.op
    assert isinstance(op, MaxPool)
    return Instruction(
        Opcode.MAXPOOL,
        Flag.INPUT_SIGNED if signed else Flag.NONE,
        in_base=source.base,
        in_height=source.height,
        in_width=source.width,
        in_words=source.pixel_words,
        in_row_words=source.row_words,
        out_base=out.base,
        out_height=size[0],
        out_width=size[1],
        out_words=out.pixel_words,
        kernel_h=op.kernel[0],
        kernel_w=op.kernel[1],
        stride_h=op.stride[0],
        stride_w=op.stride[1],
        pad_top=op.pads[0],
        pad_left=op.pads[1],
        dilation_h=op.dilation[0],
        dilation_w=op.dilation[1],
        sub_rows=source.words,
        name=node.name,
    )


def store_map(place: Place, tensor: str) -> Instruction:
    """Return the STORE_MAP of a tensor's words, as one row where the count fits its field."""
    last = place.base + place.height * place.row_words - place.pixel_words + place.words
    words = min(place.height * place.row_words, last - place.base)
    height, row = (1, words) if words <= LAYOUT["in_row_words"].highest else (place.height, place.row_words)
    return Instruction(Opcode.STORE_MAP, in_base=place.base, in_height=height, in_row_words=row, name=f"store {tensor}")
