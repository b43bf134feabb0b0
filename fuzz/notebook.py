"""The results of a campaign: one JSON document in each line. A rerun continues where the last run stopped."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

EQUAL, REFUSED, UNHELPFUL, DIFFERENCE, DEFECT = "equal", "refused", "unhelpful", "difference", "defect"
OUTCOMES = (EQUAL, REFUSED, UNHELPFUL, DIFFERENCE, DEFECT)
FINDS = (UNHELPFUL, DIFFERENCE, DEFECT)


@dataclass(frozen=True)
class Entry:
    """The result of one job.

    Attributes:
        kind: "network", "planned", "file" or "project".
        number: number of the job within its kind; the job follows from it and the campaign's seed.
        outcome: one of `OUTCOMES`. "refused" has a message that the user can act on, "unhelpful" has none.
        stage: the stage at which the job ended.
        text: the refusal, the difference, or the end of the trace.
        levels: the levels that were compared and are equal.
        seconds: wall time of each stage.
        engine: signature of the engine, "" if there is none.
        relative_error: error energy over signal energy of the quantised output.
    """

    kind: str
    number: int
    outcome: str
    stage: str = ""
    text: str = ""
    levels: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    engine: str = ""
    relative_error: float | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Kind and number."""
        return self.kind, self.number


class Notebook:
    """The entries of one campaign, on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = list(_read(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:  # the last line may be cut off
            file.write("\n")

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        self.entries.append(entry)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")

    def done(self) -> set[tuple[str, int]]:
        """Return kind and number of the jobs that have run."""
        return {entry.place for entry in self.entries}

    def ended(self, kind: str, level: str | None = None) -> int:
        """Return how many jobs of a kind have ended, or are equal on `level`. Refused networks do not count."""
        counted = (EQUAL,) if kind in ("network", "planned") else OUTCOMES
        return sum(
            entry.kind == kind and (entry.outcome in counted if level is None else level in entry.levels)
            for entry in self.entries
        )

    def finds(self) -> list[Entry]:
        """Return the entries of the finds."""
        return [entry for entry in self.entries if entry.outcome in FINDS]

    def summary(self) -> dict[str, Any]:
        """Return counts: jobs by kind and outcome, levels, engines, seconds by stage, refused networks by text."""
        counts: dict[str, dict[str, int]] = {}
        levels: Counter[str] = Counter()
        seconds: Counter[str] = Counter()
        refusals: Counter[str] = Counter()
        for entry in self.entries:
            outcomes = counts.setdefault(entry.kind, dict.fromkeys(OUTCOMES, 0))
            outcomes[entry.outcome] += 1
            levels.update(entry.levels if entry.kind in ("network", "planned") else ())
            seconds.update(entry.seconds)
            if entry.outcome == REFUSED and entry.kind in ("network", "planned"):
                refusals[kind_of(entry.text)] += 1
        return {
            "jobs": counts,
            "levels": dict(levels),
            "engines": len({entry.engine for entry in self.entries if entry.kind == "network" and entry.levels}),
            "seconds": {stage: round(total, 1) for stage, total in seconds.items()},
            "refusals": dict(refusals.most_common()),
        }


def _read(path: Path) -> Iterator[Entry]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            document = json.loads(line)
        except json.JSONDecodeError:  # empty or cut off: the job runs again
            continue
        yield Entry(**{**document, "levels": tuple(document["levels"])})


def kind_of(text: str) -> str:
    """Return a text without names and numbers, so that similar refusals count as one."""
    words = " ".join(text.split()).split("'")
    plain = "'…'".join(words[::2])
    return re.sub(r"[\d.e+-]*\d", "#", plain)[:160]
