"""Cycle model of the port that reads the weight stream."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from toolflow.engine.config import EngineConfig
from toolflow.engine.stream import parameter_beats, row_beats

PACKET = 4  # cycles in which no beat is taken, two before each section of a packet
FREED = 3  # cycles from a step to the row that takes the place of its own


class _Leaving(NamedTuple):
    """Rows that leave the ring one by one, a row a cycle.

    Attributes:
        first, end: the first row and the one behind the last, counted from the start of the engine on.
        time: at which the first one is used for the last time.
    """

    first: int
    end: int
    time: int


class WeightPort:
    """When each packet has arrived: one beat a cycle, while the ring has room and a set of parameters is free."""

    def __init__(self, config: EngineConfig, start: int) -> None:
        self.config = config
        self.arrived = start
        self.rows_sent = 0
        self.leaving: deque[_Leaving] = deque()  # of each group, as far back as a packet may wait for
        self.ended: deque[int] = deque(maxlen=config.parameter_sets)  # when each group gave its parameters' set back

    def packet(self, channels: int, rows: int, indexed: bool, begin: int) -> int:
        """Return the time at which the next packet is complete, whose group begins at `begin` at the earliest."""
        first, end = self.rows_sent, self.rows_sent + rows
        set_free = self.ended[0] if len(self.ended) == self.config.parameter_sets else 0
        beats = parameter_beats(self.config, channels) + row_beats(self.config, rows, indexed)
        arrived = max(self.arrived, set_free) + beats + PACKET
        needed = first - self.config.ring_rows, end - self.config.ring_rows  # rows in whose places these come
        while self.leaving and self.leaving[0].end <= needed[0]:
            self.leaving.popleft()
        # A group that does not fit leaves while it comes.
        for run in (*self.leaving, _Leaving(first, end, begin)):
            for row in {max(run.first, needed[0]), min(run.end, needed[1]) - 1}:
                if run.first <= row < min(run.end, needed[1]):
                    free = run.time + row - run.first + FREED
                    arrived = max(arrived, free + row_beats(self.config, needed[1] - row, indexed))
        self.rows_sent, self.arrived = end, arrived
        return arrived

    def finished(self, rows: int, cycles: int, time: int) -> None:
        """Note that a group of so many rows ended at `time`, its last position having taken so many cycles."""
        self.leaving.append(_Leaving(self.rows_sent - rows, self.rows_sent, time - cycles))
        self.ended.append(time)

    def state(self, time: int) -> tuple[object, ...]:
        """Return all that later packets depend on, seen from `time`."""
        leaving = tuple((run.first - self.rows_sent, run.end - self.rows_sent, run.time - time) for run in self.leaving)
        return self.arrived - time, leaving, tuple(at - time for at in self.ended)

    def skip(self, passes: int, cycles: int, time: int) -> int:
        """Move on by passes of so many cycles that leave the state as it is; return the time afterwards."""
        later = passes * cycles
        self.arrived += later
        self.leaving = deque(run._replace(time=run.time + later) for run in self.leaving)
        self.ended = deque((at + later for at in self.ended), maxlen=self.config.parameter_sets)
        return time + later
