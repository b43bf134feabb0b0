"""Engines whose lanes hold rows of one image: when the planner tries them, and what one takes and needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from toolflow.engine.config import EngineConfig
from toolflow.plan.boards.board import Board
from toolflow.plan.explore.bank_options import BankOptions
from toolflow.plan.explore.demand import Demand, LayerCost
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.estimate import module_amounts
from toolflow.plan.resources.family import family_of
from toolflow.plan.resources.memory import ULTRA_BITS, ULTRA_WORDS


class Striped(NamedTuple):
    """An engine with stripes: its shape but for the lanes, the cycles of an image, and what it takes."""

    column: EngineConfig
    cycles: float
    amounts: ResourceCount


def layouts_tried(fixed: Mapping[str, int | str]) -> tuple[bool, ...]:
    """Return the values of `stripes` to try: both, unless the user fixed it."""
    if "stripes" in fixed:
        return (EngineConfig.model_validate({"stripes": fixed["stripes"]}).stripes,)
    return False, True


def striped(
    demand: Demand,
    costs: Sequence[LayerCost],
    column: EngineConfig,
    lanes_p: int,
    amounts: ResourceCount,
    options: BankOptions,
    board: Board,
    is_too_slow: Callable[[float], bool] = lambda _: False,
) -> Striped:
    """Return an engine with stripes, its banks no deeper than its maps need or the board allows.

    Args:
        demand: of the network.
        costs: of its layers on the shape.
        column: the shape with the depths that the network needs in image layout.
        lanes_p: of the engine.
        amounts: what the engine takes without stripes.
        options: depths of its banks.
        board: the board.
        is_too_slow: whether a shape that takes at least so many cycles is of no use; it is not scheduled in bands.

    Returns:
        With endless cycles if its banks do not hold a band of one layer.
    """
    column = column.model_copy(update={"lanes_p": lanes_p, "stripes": True})
    image = demand.one_image(column, None)
    assert image is not None
    whole = options.at(image.words)
    amounts += whole.saved * -lanes_p + module_amounts("stripes", column, board.family)
    depth = image.words
    banks = options.most(lanes_p, amounts + whole.saved * lanes_p, board.usable)
    if banks is not None and banks.depth < depth:
        if is_too_slow(image.cycles(costs, math.inf)):
            return Striped(column, math.inf, amounts)
        amounts += whole.saved * lanes_p + banks.saved * -lanes_p
        depth, image = banks.depth, demand.one_image(column, banks.depth)
        if image is None:
            return Striped(column, math.inf, amounts)
    shape = column.model_copy(update={"bank_depth": depth})
    traffic = image.beats(costs) * shape.bus_bytes + image.moved_words * shape.sub_row
    cycles = image.cycles(costs, _room(amounts, board) / shape.bus_bits)
    return Striped(shape, max(cycles, traffic / board.sustained_bytes_per_cycle), amounts)


def _room(amounts: ResourceCount, board: Board) -> float:
    """Return the bits of weights that the memory holds which an engine leaves: of block RAM, or of UltraRAM."""
    blocks, ultra = board.usable.block_rams - amounts.block_rams, board.usable.urams - amounts.urams
    return max(blocks * family_of(board.family).block_ram.bits, ultra * ULTRA_WORDS * ULTRA_BITS, 0)
