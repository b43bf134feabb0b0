"""A campaign, and its jobs with their random numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Campaign:
    """The parameters that all jobs follow from.

    Attributes:
        seed: seed of all random numbers.
        out: folder of the results and of the built engines.
        keep: folder of the minimised finds.
        engines: number of engines.
        rtl_engines: number of them that are simulated as RTL too.
    """

    seed: int
    out: Path
    keep: Path
    engines: int
    rtl_engines: int

    def random(self, kind: str, number: int) -> random.Random:
        """Return the random number generator of one job."""
        return random.Random(f"{self.seed} {kind} {number}")

    def on_rtl(self, number: int) -> bool:
        """Return whether a network is simulated as RTL: every second network of the first `rtl_engines` engines."""
        return number % self.engines < self.rtl_engines and number // self.engines % 2 == 0


@dataclass(frozen=True)
class Job:
    """One job: its kind, and its number within the kind."""

    kind: str
    number: int
