"""What a campaign runs: its jobs, and the random numbers of each."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Campaign:
    """What all jobs are drawn from.

    Attributes:
        seed: of everything.
        out: folder of the notebook and of the engines' builds.
        keep: folder of the finds.
        engines: how many engines are drawn.
        rtl_engines: how many of them are simulated as RTL.
    """

    seed: int
    out: Path
    keep: Path
    engines: int
    rtl_engines: int

    def random(self, kind: str, number: int) -> random.Random:
        """Return the generator of one job."""
        return random.Random(f"{self.seed} {kind} {number}")

    def on_rtl(self, number: int) -> bool:
        """Return whether a network is simulated too: every second one of the first engines'."""
        return number % self.engines < self.rtl_engines and number // self.engines % 2 == 0


@dataclass(frozen=True)
class Job:
    """One thing to run."""

    kind: str
    number: int
