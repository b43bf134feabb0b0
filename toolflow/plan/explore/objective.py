"""The objective of the choice of engines: many images a second, or few cycles from a start to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from toolflow.ir.errors import ToolflowError

Goal = Literal["throughput", "latency"]
# Of a start for throughput: images of all passes but the first are loaded beside compute. A host that sends more images
# gains a little more.
PASSES = 4


@dataclass(frozen=True)
class Objective:
    """The objective of a design.

    Attributes:
        goal: "throughput": images a second, the units of a pair at work side by side; "latency": the time from a start
            to its last result, in which a forwarded image waits for one unit after the other.
        batch: images of a start; None for `PASSES` full passes of the engine.

    Raises:
        ToolflowError: there is no such goal, or a start has no image.
    """

    goal: Goal = "throughput"
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.goal not in get_args(Goal):
            raise ToolflowError(f"the objective must be one of {', '.join(get_args(Goal))}, not {self.goal!r}")
        if self.batch is not None and (not isinstance(self.batch, int) or self.batch < 1):
            raise ToolflowError(f"--batch must be 1 or more, not {self.batch!r}")

    @classmethod
    def of(cls, goal: Goal, batch: int | None) -> Objective:
        """Return the objective; without a batch, latency is the time of a single image."""
        return cls(goal, 1 if batch is None and goal == "latency" else batch)

    def images(self, lanes_p: int) -> int:
        """Return the images of the start that an engine of so many lanes is chosen for."""
        return PASSES * lanes_p if self.batch is None else self.batch

    def batches(self, lanes_p: int) -> tuple[int, ...]:
        """Return the batches that a report shows for an engine: one image, every lane, and last the planned batch."""
        planned = self.images(lanes_p)
        return (*(count for count in dict.fromkeys((1, lanes_p)) if count != planned), planned)

    def pair_cycles(self, low: float, high: float, forwarded_share: float) -> float:
        """Return the cycles per image of two resident units, from the cycles of each and the forwarded share."""
        if self.goal == "latency":
            return in_turn_cycles(low, high, forwarded_share)
        return max(low, forwarded_share * high)


def in_turn_cycles(low: float, high: float, forwarded_share: float) -> float:
    """Return the cycles per image of two programs that run one after the other, from the cycles of each."""
    return low + forwarded_share * high


THROUGHPUT = Objective()
