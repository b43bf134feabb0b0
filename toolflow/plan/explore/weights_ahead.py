"""Let an engine's weights run further ahead of its array, in the memory that a board has left."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace

from toolflow.engine.config import MOST_ROWS_AHEAD, EngineConfig
from toolflow.engine.cycles import predict
from toolflow.plan.boards.board import Board
from toolflow.plan.explore.estimate import amounts_on
from toolflow.plan.schedule.schedule import Schedule

MOST_SETS = 64  # of parameters: more take as much memory as the rows do
LEAST_GAIN = 1.02  # of all weights ahead, for which a ring is sized
ROWS = 256  # of which a ring has a multiple: block RAMs have no fewer words


def with_weights_ahead(schedule: Schedule, board: Board, images: int) -> Iterator[Schedule]:
    """Yield the schedule on engines whose rings are as deep as the board allows, in block RAM and in UltraRAM.

    The port for weights then reads what later layers need while layers compute that need few. There is none if that
    would not pay.

    Args:
        schedule: of a network on an engine without rows ahead.
        board: the board that the engine has for itself.
        images: of a start.
    """
    config = schedule.config.built
    groups = [step.groups(schedule.config.lanes_k) for step in schedule.computes]
    packets = [len([*each]) for each in groups]
    rows = sum(step.rows * count for step, count in zip(schedule.computes, packets, strict=True))
    sets = min(1 << max(sum(packets) - 1, 1).bit_length(), MOST_SETS)
    ahead = min(max(rows - config.ring_rows, 0), MOST_ROWS_AHEAD)
    now = predict(schedule.config, schedule.steps, images).total_cycles
    every = _ahead(schedule, rows=ahead, sets=sets, memory="block")
    if now < LEAST_GAIN * predict(every.config, every.steps, images).total_cycles:
        return
    for memory in ("block", "ultra") if board.available.urams else ("block",):

        def held(parts: int, memory: str = memory) -> Schedule:
            return _ahead(schedule, rows=min(parts * ROWS, ahead), sets=sets, memory=memory)

        # sizes that do not fit come after those that do
        most = bisect_left(range(1, -(-ahead // ROWS) + 1), True, key=lambda parts: not _fits(held(parts), board))
        if most:
            yield held(most)


def _fits(schedule: Schedule, board: Board) -> bool:
    return not amounts_on(schedule.config, board).over(board.usable)


def _ahead(schedule: Schedule, rows: int, sets: int, memory: str) -> Schedule:
    """Return the schedule on the engine with so many rows ahead; it depends on none of them."""
    config = schedule.config
    values = {"rows_ahead": rows, "parameter_sets": sets, "weight_memory": memory}
    engine = EngineConfig.model_validate({**config.built.model_dump(), **values})
    return replace(schedule, config=engine.of(config.narrow))
