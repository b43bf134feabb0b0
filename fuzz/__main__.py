"""`make fuzz`: run random networks, damaged files and damaged projects for a time or a number of jobs.

    python -m fuzz --out build/fuzz --seed 1 --minutes 5

The results are kept in the folder. A second run with the same folder and seed continues there. The exit code is 1 if
there is a find.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from fuzz.campaign import Campaign, Job
from fuzz.notebook import FINDS, Entry, Notebook
from fuzz.work import run_all

RATIO = {
    "network": 8,
    "planned": 1,
    "file": 8,
    "project": 8,
}  # jobs of each kind in a row, if only the time ends the run


@dataclass(frozen=True)
class Wanted:
    """When a campaign is complete.

    Attributes:
        networks, rtl, planned, files, projects: number of jobs that must have ended. Refused networks and planned
            networks do not count. None for as many as the time allows.
    """

    networks: int | None = None
    rtl: int | None = None
    planned: int | None = None
    files: int | None = None
    projects: int | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign and return the exit code."""
    options = _options(arguments)
    campaign = Campaign(options.seed, options.out, options.keep, options.engines, options.rtl_engines)
    options.out.mkdir(parents=True, exist_ok=True)
    notebook = Notebook(options.out / f"seed-{options.seed}-engines-{options.engines}-{options.rtl_engines}.jsonl")
    wanted = Wanted(options.networks, options.rtl, options.planned, options.files, options.projects)
    started = time.monotonic()
    told = [started]

    def keep(entry: Entry) -> None:
        notebook.add(entry)
        if entry.outcome in FINDS:
            print(f"{entry.kind} {entry.number}: {entry.outcome} at {entry.stage}: {entry.text}", flush=True)
        if time.monotonic() > told[0] + options.tell_s:
            told[0] = time.monotonic()
            print(_line(notebook, told[0] - started), flush=True)

    run_all(campaign, _jobs(campaign, notebook, wanted, started + 60 * options.minutes), options.workers, keep)
    print(_line(notebook, time.monotonic() - started))
    summary = notebook.summary()
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(summary, indent=2))
    return 1 if notebook.finds() else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fuzz", description="Random networks on every level, damaged files and damaged projects."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/fuzz"), help="folder of the results and of the built engines"
    )
    parser.add_argument("--keep", type=Path, default=Path("tests/regressions"), help="folder of the minimised finds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0, help="no job starts after this time")
    parser.add_argument("--engines", type=int, default=8, help="number of engines")
    parser.add_argument("--rtl-engines", type=int, default=1, help="number of them that are simulated as RTL too")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tell-s", type=float, default=10.0, help="seconds between two lines of progress")
    for kind in ("networks", "rtl", "planned", "files", "projects"):
        parser.add_argument(
            f"--{kind}", type=int, help=f"number of {kind} jobs to end; without such numbers only the time ends the run"
        )
    return parser.parse_args(arguments)


def _jobs(campaign: Campaign, notebook: Notebook, wanted: Wanted, end: float) -> Iterator[Job]:
    """Yield jobs that have not run yet, each kind in turn, until enough have ended or the time is over."""
    done = notebook.done()
    numbers = {kind: (n for n in count() if (kind, n) not in done) for kind in RATIO}
    targets = {"network": wanted.networks, "planned": wanted.planned, "file": wanted.files, "project": wanted.projects}
    bounded = any(target is not None for target in (*targets.values(), wanted.rtl))
    while True:
        open_kinds = []
        for kind, target in targets.items():
            kinds_done = notebook.ended(kind)
            if (target is None and not bounded) or (target is not None and kinds_done < target):
                open_kinds.append(kind)
        rtl_only = "network" not in open_kinds and wanted.rtl is not None
        if rtl_only and notebook.ended("network", "rtl") < (wanted.rtl or 0):
            open_kinds.append("network")
        if not open_kinds:
            return
        for kind in open_kinds:
            for _ in range(RATIO[kind]):
                number = next(numbers[kind])
                while kind == "network" and rtl_only and not campaign.on_rtl(number):
                    number = next(numbers[kind])
                if time.monotonic() > end:
                    return
                yield Job(kind, number)


def _line(notebook: Notebook, seconds: float) -> str:
    summary = notebook.summary()
    parts = [f"{seconds / 60:.1f} min"]
    for kind, outcomes in summary["jobs"].items():
        parts.append(f"{kind}: " + ", ".join(f"{number} {name}" for name, number in outcomes.items() if number))
    parts.append("levels: " + ", ".join(f"{number} {name}" for name, number in summary["levels"].items()))
    return "; ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
