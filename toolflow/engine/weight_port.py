"""Cycle model of the port that reads the weight stream."""

from __future__ import annotations

from collections import deque

from toolflow.engine.config import EngineConfig
from toolflow.engine.stream import parameter_beats, row_beats

PARAMETER_BANKS = 2  # groups whose parameters the drain holds: the one at work and the next


class WeightPort:
    """When each packet has arrived: one beat a cycle, while the row FIFO has room and a parameter bank is free."""

    def __init__(self, config: EngineConfig, start: int) -> None:
        self.config = config
        self.arrived = start
        self.rows_sent = 0
        self.rows_taken = 0
        # (rows taken in all, time at which the last of them was), as far back as a packet may wait for
        self.taken: deque[tuple[int, int]] = deque()
        # time at which each group ended and gave its parameter bank back
        self.ended: deque[int] = deque(maxlen=PARAMETER_BANKS)

    def packet(self, channels: int, rows: int, indexed: bool) -> int:
        """Return the time at which the next packet is complete."""
        self.rows_sent += rows
        room_needed = self.rows_sent - self.config.weight_depth
        while self.taken and self.taken[0][0] < room_needed:
            self.taken.popleft()
        ready = self.taken[0][1] if self.taken and room_needed > 0 else 0
        beats = parameter_beats(self.config, channels) + row_beats(self.config, rows, indexed)
        bank_free = self.ended[0] if len(self.ended) == PARAMETER_BANKS else 0
        self.arrived = max(max(self.arrived, bank_free) + beats, ready + 1)
        return self.arrived

    def consumed(self, rows: int, time: int) -> None:
        """Note that a group's first position ended at `time`: its rows have left the FIFO."""
        self.rows_taken += rows
        self.taken.append((self.rows_taken, time))

    def finished(self, time: int) -> None:
        """Note that a group ended at `time`."""
        self.ended.append(time)

    def state(self, time: int) -> tuple[object, ...]:
        """Return all that later packets depend on, seen from `time`."""
        taken = tuple((rows - self.rows_sent, at - time) for rows, at in self.taken)
        return self.arrived - time, taken, self.rows_taken - self.rows_sent, tuple(at - time for at in self.ended)

    def skip(self, passes: int, cycles: int, time: int) -> int:
        """Move on by passes of so many cycles that leave the state as it is; return the time afterwards."""
        later = passes * cycles
        self.arrived += later
        self.taken = deque((rows, at + later) for rows, at in self.taken)
        self.ended = deque((at + later for at in self.ended), maxlen=PARAMETER_BANKS)
        return time + later
